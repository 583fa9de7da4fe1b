/*
 * Resource limits: getrlimit(2), setrlimit(2), prlimit64(2), and the errors at the limits.
 */
#include "guest.h"
#include <sys/mman.h>
#include <sys/resource.h>

static int set(int resource, rlim_t soft, rlim_t hard) {
  struct rlimit limit = {soft, hard};
  return setrlimit(resource, &limit);
}

static void basics(void) {
  struct rlimit limit, old;
  SECTION("get and set");
  for (int i = 0; i < RLIM_NLIMITS; i++) {
    if (getrlimit(i, &limit) == -1) say("limit %d: %s\n", i, errno_name(errno));
    else if (limit.rlim_cur > limit.rlim_max) say("limit %d: soft above hard\n", i);
  }
  SHOW(getrlimit(99, &limit));
  SHOW(getrlimit(-1, &limit));
  SHOW(syscall(SYS_getrlimit, RLIMIT_NOFILE, (void *)8));
  SHOW(set(99, 1, 1));
  SHOW(set(RLIMIT_NOFILE, 100, 50));
  MUST(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = 64;
  SHOW(prlimit(0, RLIMIT_NOFILE, &limit, &old));
  CHECK(old.rlim_max == limit.rlim_max);
  SHOW(prlimit(getpid(), RLIMIT_NOFILE, NULL, &old));
  SHOW(old.rlim_cur);
  SHOW(prlimit(1 << 22, RLIMIT_NOFILE, NULL, &old));
  CHILD_BEGIN
  MUST(getrlimit(RLIMIT_NOFILE, &limit));
  SHOW(limit.rlim_cur);
  CHILD_END("child inherits");
  CHILD_BEGIN
  become_ordinary();
  SHOW(set(RLIMIT_NOFILE, 32, 32));
  SHOW(set(RLIMIT_NOFILE, 32, 64));
  SHOW(set(RLIMIT_NOFILE, 16, 32));
  SHOW(set(RLIMIT_NOFILE, 32, 32));
  CHILD_END("ordinary user lowers and cannot raise");
}

static void files(void) {
  SECTION("RLIMIT_NOFILE");
  CHILD_BEGIN
  MUST(set(RLIMIT_NOFILE, 10, 64));
  int opened = 0, p[2];
  while (open("/dev/null", O_RDONLY) >= 0) opened++;
  say("opened %d, then %s\n", opened, errno_name(errno));
  SHOW(dup(0));
  SHOW(pipe(p));
  SHOW(fcntl(0, F_DUPFD, 10));
  SHOW(dup2(0, 10));
  SHOW(dup2(0, 9));
  SHOW(syscall(SYS_epoll_create1, 0));
  SHOW(syscall(SYS_memfd_create, "x", 0));
  close(9), close(8);
  MUST(set(RLIMIT_NOFILE, 9, 64));
  SHOW(pipe(p));
  SHOW(fcntl(0, F_GETFD) >= -1);
  CHILD_END("child");
}

static volatile int signals;
static void on_signal(int number) { signals += number == SIGXFSZ; }

static void sizes(void) {
  SECTION("RLIMIT_FSIZE");
  CHILD_BEGIN
  int fd = (int)MUST(open("sized", O_RDWR | O_CREAT, 0644));
  static char block[10000];
  MUST(set(RLIMIT_FSIZE, 5000, 100000));
  signal(SIGXFSZ, on_signal);
  SHOW(write(fd, block, 10000));
  SHOW(write(fd, block, 1));
  SHOW(signals);
  SHOW(ftruncate(fd, 6000));
  SHOW(ftruncate(fd, 4000));
  SHOW(pwrite(fd, block, 2000, 4000));
  SHOW(fallocate(fd, 0, 0, 9000));
  SHOW(signals);
  signal(SIGXFSZ, SIG_DFL);
  SHOW(write(fd, block, 1));
  CHILD_END("default action");
}

static void memory(void) {
  SECTION("RLIMIT_AS and RLIMIT_DATA");
  CHILD_BEGIN
  MUST(set(RLIMIT_AS, 64 << 20, 64 << 20));
  SHOW(mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, 16 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
  SHOW(malloc(100 << 20) == NULL);
  CHILD_END("RLIMIT_AS");
  CHILD_BEGIN
  MUST(set(RLIMIT_DATA, 8 << 20, 8 << 20));
  char *start = (char *)syscall(SYS_brk, 0);
  CHECK((char *)syscall(SYS_brk, start + (16 << 20)) == start);
  SHOW(mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
  CHILD_END("RLIMIT_DATA");
  CHILD_BEGIN
  struct rlimit limit;
  MUST(getrlimit(RLIMIT_STACK, &limit));
  CHECK(limit.rlim_cur >= 1 << 20);
  CHILD_END("RLIMIT_STACK");
}

static void processor(void) {
  SECTION("RLIMIT_CPU");
  CHILD_BEGIN
  MUST(set(RLIMIT_CPU, 1, 2));
  struct rusage usage;
  for (volatile long i = 0;; i++)
    if (i % 10000000 == 0) {
      getrusage(RUSAGE_SELF, &usage);
      if (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec >= 3) break;
    }
  CHILD_END("child");
}

static void priorities(void) {
  SECTION("priority");
  SHOW(getpriority(PRIO_PROCESS, 0));
  SHOW(setpriority(PRIO_PROCESS, 0, 5));
  SHOW(getpriority(PRIO_PROCESS, 0));
  SHOW(syscall(SYS_getpriority, PRIO_PROCESS, 0));
  SHOW(nice(3));
  SHOW(setpriority(PRIO_PROCESS, 0, 100));
  SHOW(getpriority(PRIO_PROCESS, 0));
  SHOW(setpriority(99, 0, 1));
  SHOW(getpriority(PRIO_PROCESS, 1 << 22));
  CHILD_BEGIN
  SHOW(getpriority(PRIO_PROCESS, 0));
  become_ordinary();
  SHOW(setpriority(PRIO_PROCESS, 0, 1));
  CHILD_END("child");
}

int main(void) {
  begin();
  scratch();
  basics();
  files();
  sizes();
  memory();
  processor();
  priorities();
  return 0;
}
