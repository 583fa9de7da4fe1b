/*
 * uname(2), sysinfo(2), getrusage(2), times(2), getrandom(2), getcpu(2), sched_*(2), hostname, and other small calls.
 */
#include "guest.h"
#include <sched.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>

static void identity(void) {
  struct utsname name;
  SECTION("uname");
  SHOW(uname(&name));
  say("%s %s\n", name.sysname, name.machine);
  CHECK(name.release[0] >= '3' && name.release[0] <= '9');
  CHECK(name.nodename[0] != 0 && name.version[0] == '#');
  SHOW(syscall(SYS_uname, (void *)8));
  char host[65];
  CHECK(gethostname(host, sizeof host) == 0 && strcmp(host, name.nodename) == 0);
  char file[80];
  snprintf(file, sizeof file, "%s\n", name.nodename);
  CHECK(strcmp(get_file("/proc/sys/kernel/hostname"), file) == 0);
  snprintf(file, sizeof file, "%s\n", name.release);
  CHECK(strcmp(get_file("/proc/sys/kernel/osrelease"), file) == 0);
  CHECK(strstr(get_file("/proc/version"), name.release) != NULL);
}

static void information(void) {
  struct sysinfo info;
  SECTION("sysinfo");
  memset(&info, 0xff, sizeof info);
  SHOW(sysinfo(&info));
  CHECK(info.uptime >= 0 && info.procs >= 1 && info.mem_unit >= 1);
  CHECK(info.totalram > 0 && info.freeram <= info.totalram);
  SHOW(sysinfo((void *)8));
  CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
  SHOW(sysconf(_SC_PAGESIZE));
  SHOW(sysconf(_SC_CLK_TCK));
}

static void usage(void) {
  struct rusage self, children;
  struct tms ticks;
  SECTION("getrusage and times");
  for (volatile int i = 0; i < 30000000; i++) continue;
  SHOW(getrusage(RUSAGE_SELF, &self));
  CHECK(self.ru_utime.tv_sec > 0 || self.ru_utime.tv_usec > 1000);
  CHECK(self.ru_maxrss > 0);
  SHOW(getrusage(RUSAGE_CHILDREN, &children));
  SHOW(children.ru_utime.tv_sec);
  CHILD_BEGIN
  for (volatile int i = 0; i < 30000000; i++) continue;
  CHILD_END("child");
  SHOW(getrusage(RUSAGE_CHILDREN, &children));
  CHECK(children.ru_utime.tv_sec > 0 || children.ru_utime.tv_usec > 1000);
  SHOW(getrusage(RUSAGE_THREAD, &self));
  SHOW(getrusage(99, &self));
  SHOW(getrusage(RUSAGE_SELF, (void *)8));
  CHECK(times(&ticks) != (clock_t)-1);
  CHECK(ticks.tms_utime >= 0 && ticks.tms_cutime >= 0);
  struct timespec cpu;
  SHOW(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu));
  CHECK(cpu.tv_sec > 0 || cpu.tv_nsec > 1000000);
}

static void chance(void) {
  unsigned char a[32] = {0}, b[32] = {0};
  SECTION("getrandom");
  SHOW(getrandom(a, sizeof a, 0));
  SHOW(getrandom(b, sizeof b, GRND_NONBLOCK));
  CHECK(memcmp(a, b, sizeof a) != 0);
  SHOW(getrandom(a, sizeof a, GRND_RANDOM));
  SHOW(getrandom(a, 0, 0));
  SHOW(getrandom(a, 1, 99));
  SHOW(getrandom((void *)8, 1, 0));
  static unsigned char large[100000];
  SHOW(getrandom(large, sizeof large, 0));
  int counts[256] = {0}, empty = 0;
  for (size_t i = 0; i < sizeof large; i++) counts[large[i]]++;
  for (int i = 0; i < 256; i++) empty += counts[i] < 200 || counts[i] > 600;
  SHOW(empty);
}

static void scheduling(void) {
  SECTION("scheduling");
  cpu_set_t set, one;
  CPU_ZERO(&set);
  SHOW(sched_getaffinity(0, sizeof set, &set));
  CHECK(CPU_COUNT(&set) >= 1);
  CHECK(syscall(SYS_sched_getaffinity, 0, sizeof set, &set) > 0);
  SHOW(syscall(SYS_sched_getaffinity, 0, 1, &set));
  SHOW(syscall(SYS_sched_getaffinity, 1 << 22, sizeof set, &set));
  int first = 0;
  while (!CPU_ISSET(first, &set)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  SHOW(sched_setaffinity(0, sizeof one, &one));
  SHOW(sched_getaffinity(0, sizeof one, &one));
  SHOW(CPU_COUNT(&one));
  unsigned cpu = 999, node = 999;
  SHOW(syscall(SYS_getcpu, &cpu, &node, NULL));
  CHECK((int)cpu == first && node < 64);
  CHECK(sched_getcpu() == first);
  CPU_ZERO(&one);
  SHOW(sched_setaffinity(0, sizeof one, &one));
  SHOW(sched_setaffinity(0, sizeof set, &set));
  struct sched_param parameter = {99};
  SHOW(sched_getscheduler(0));
  SHOW(sched_getparam(0, &parameter));
  SHOW(parameter.sched_priority);
  parameter.sched_priority = 1;
  SHOW(sched_setscheduler(0, SCHED_OTHER, &parameter));
  parameter.sched_priority = 0;
  SHOW(sched_setscheduler(0, SCHED_OTHER, &parameter));
  SHOW(sched_setscheduler(0, SCHED_BATCH, &parameter));
  SHOW(sched_getscheduler(0));
  SHOW(sched_setscheduler(0, 99, &parameter));
  SHOW(sched_getscheduler(1 << 22));
  SHOW(sched_get_priority_max(SCHED_FIFO));
  SHOW(sched_get_priority_min(SCHED_FIFO));
  SHOW(sched_get_priority_max(SCHED_OTHER));
  SHOW(sched_get_priority_max(99));
  struct timespec interval;
  SHOW(sched_rr_get_interval(0, &interval));
  SHOW(sched_yield());
}

static void vector(void) {
  SECTION("auxiliary vector");
  SHOW(getauxval(AT_PAGESZ));
  SHOW(getauxval(AT_CLKTCK));
  CHECK(getauxval(AT_PHDR) != 0 && getauxval(AT_PHNUM) > 0 && getauxval(AT_ENTRY) != 0);
  CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid() && getauxval(AT_GID) == getgid());
  SHOW(getauxval(AT_SECURE));
  CHECK(getauxval(AT_RANDOM) != 0);
  CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
  CHECK(memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4) == 0);
  say("platform %s\n", (char *)getauxval(AT_PLATFORM));
  CHECK(access((char *)getauxval(AT_EXECFN), X_OK) == 0);
  CHECK(getauxval(AT_MINSIGSTKSZ) >= 1024);
}

static void small(void) {
  SECTION("small calls");
  SHOW(syscall(SYS_membarrier, 0, 0, 0) >= 0);
  SHOW(syscall(SYS_membarrier, 1 << 30, 0, 0));
  SHOW(syscall(SYS_personality, 0xffffffffUL));
  char host[300];
  memset(host, 'h', sizeof host);
  SHOW(sethostname(host, 65) == -1);
  SHOW(getpid() == syscall(SYS_getpid));
  SHOW(syscall(SYS_getppid) == getppid());
  sync();
}

int main(void) {
  begin();
  identity();
  information();
  usage();
  chance();
  scheduling();
  vector();
  small();
  return 0;
}
