/*
 * Every system call number from 0 to 450 with wild arguments: bad pointers, absurd lengths, descriptors of every kind.
 *
 * Idea: a worker process makes the calls of one number and notes its progress in shared memory. A call that kills it, stops it or
 * keeps it waiting ends that worker, and a fresh one goes on with the next pattern. What the calls answer is of no interest
 * here: the sandbox has to live, and an ordinary call after each number has to work.
 *
 * On Linux as root this would mount, set the clock and reboot as far as it can: see only_inside().
 * `wild-arguments [FIRST LAST]` narrows the numbers.
 */
#include "../syscalls/guest.h"
#include "hostile.h"
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define PATTERNS 48
#define PAGE 4096L

struct progress {
  volatile int pattern;
};
static struct progress *progress;
static char *good, *read_only, *edge;
static long values[40];
static int value_count;

static void add(long value) { values[value_count++] = value; }

static void prepare_memory(void) {
  progress = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  good = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  read_only = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(two + PAGE, PAGE);
  edge = two + PAGE - 4;
  memset(two, 'e', PAGE);
}

static void prepare_values(void) {
  add(0), add(3), add(4), add(7), add(9), add(13), add(64), add(4096), add(1000000), add(-1), add(-100), add(-4095);
  add(0x7fffffff), add(0x80000000L), add(0xffffffffL), add(0x100000000L), add(1L << 46), add(1L << 62), add((long)(1UL << 63)), add(0x7fffffffffffffffL);
  add(8), add(0x7ffffffff000L), add(0x7fffffffffffL), add(0x800000000000L), add((long)0xffff800000000000UL), add((long)0xffffffffff600000UL);
  add((long)good), add((long)good + 1), add((long)good + PAGE), add((long)read_only), add((long)edge), add((long)edge + 3), add((long)edge + 4);
}

static uint64_t seed;
static long choose(void) {
  seed = seed * 6364136223846793005UL + 1442695040888963407UL;
  return values[(seed >> 33) % value_count];
}

/* Memory that looks a little like structures: small numbers, pointers to itself, absurd lengths, a path. */
static void fill_good(void) {
  long *words = (long *)good;
  for (int i = 0; i < 16 * PAGE / 8; i++) words[i] = choose();
  strcpy(good + PAGE, "wild-name");
  strcpy(good + 8 * PAGE, "/proc/self/fd");
}

/* Descriptors of every kind from 3 on, so that calls get past the first check. */
static void open_everything(void) {
  int p[2], null = open("/dev/null", O_RDWR);
  dup2(null, 0), dup2(null, 1), dup2(null, 2);
  if (null > 2) close(null);
  open("wild-file", O_RDWR | O_CREAT, 0644);
  if (pipe(p) == -1) return;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, p) == -1) return;
  epoll_create1(0);
  open(".", O_RDONLY | O_DIRECTORY);
  eventfd(5, 0);
  timerfd_create(CLOCK_MONOTONIC, 0);
  socket(AF_UNIX, SOCK_DGRAM, 0);
  open("/proc/self/status", O_RDONLY);
  open("/dev/zero", O_RDWR);
  open("/dev/ptmx", O_RDWR | O_NOCTTY);
  syscall(SYS_memfd_create, "wild", 3);
}

/* Signals go to the caller only: init and the parent are not what is tested. */
static int is_signalling(int nr) {
  return nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_rt_tgsigqueueinfo || nr == 424;
}

static void arguments(int nr, int pattern, long a[6]) {
  seed = (uint64_t)nr * 1000003 + pattern * 7919 + 1;
  for (int i = 0; i < 8; i++) choose();
  for (int i = 0; i < 6; i++) a[i] = pattern < value_count && pattern < 24 ? values[(pattern * 3 + (nr & 1)) % value_count] : choose();
  if (is_signalling(nr)) a[0] = getpid();
}

static void work(int nr, int from) {
  setsid();
  open_everything();
  pid_t me = getpid();
  for (int pattern = from; pattern < PATTERNS; pattern++) {
    long a[6];
    progress->pattern = pattern;
    arguments(nr, pattern, a);
    fill_good();
    syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (syscall(SYS_getpid) != me) syscall(SYS_exit_group, 0);
  }
  progress->pattern = PATTERNS;
  syscall(SYS_exit_group, 0);
}

/* Waits for the worker as long as it makes progress; false when it had to be killed. */
static int watch(pid_t worker) {
  int last = -1, patience = 0, status;
  for (;;) {
    pid_t got = waitpid(worker, &status, WNOHANG | __WALL);
    if (got == worker || (got == -1 && errno == ECHILD)) return 1;
    if (progress->pattern == last && ++patience > 60) break;
    if (progress->pattern != last) last = progress->pattern, patience = 0;
    sleep_ms(patience < 5 ? 1 : 4);
  }
  kill(worker, SIGKILL);
  waitpid(worker, &status, __WALL);
  return 0;
}

int main(int argc, char **argv) {
  int first = argc > 2 ? atoi(argv[1]) : 0, last = argc > 2 ? atoi(argv[2]) : 450, workers = 0, waited = 0;
  begin();
  only_inside();
  scratch();
  signal(SIGCHLD, SIG_DFL);
  prepare_memory();
  prepare_values();
  for (int nr = first; nr <= last; nr++) {
    progress->pattern = 0;
    for (int from = 0; from < PATTERNS;) {
      pid_t worker = fork();
      if (worker == -1) {
        sleep_ms(5);
        continue;
      }
      if (worker == 0) work(nr, from);
      workers++;
      waited += !watch(worker);
      from = progress->pattern + 1;
    }
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) continue;
    /* The kernel still does ordinary work, in a directory that a worker may have closed to others. */
    chmod(scratch_path, 0755), unlink("alive");
    put_file("alive", "yes", 0644);
    if (strcmp(get_file("alive"), "yes") != 0) {
      say("after call %d a file cannot be written and read\n", nr);
      return 1;
    }
  }
  CHECK(workers > last - first);
  CHECK(waited < workers);
  say("numbers %d to %d made\n", first, last);
  return 0;
}
