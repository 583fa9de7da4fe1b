/*
 * Costs of single operations as a program sees them: `micro NAME` prints one line, the nanoseconds of one operation.
 *
 * A measurement is a number of batches; a batch is as many operations as take about a millisecond or more, found by doubling, and
 * the median batch counts. So one program serves environments that differ by three orders of magnitude, within 300 ms each. The operation
 * is repeated for half a second before: what a program pays in the long run is measured, and not how soon an environment gets there.
 * The current directory must be writable. `micro` alone prints the names; getppid-cold is measured apart.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BATCHES = 512, WARM_UP_NS = 500 * 1000 * 1000, BUDGET_NS = 300 * 1000 * 1000, BATCH_NS = 2 * 1000 * 1000, PAGE = 4096, FAULT_PAGES = 4096 };

static char buffer[PAGE];
static const char *self;
static int data_fd, tmpfs_fd = -1, pipe_fds[2];

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* One operation each; what they need is prepared by main. */

static void do_getppid(void) { syscall(SYS_getppid); }

static void do_stat(void) {
  struct stat st;
  must(stat("micro.data", &st) == 0, "stat");
}

static void do_stat_host(void) {
  struct stat st;
  must(stat(self, &st) == 0, self);
}

static void do_open(void) {
  int fd = open("micro.data", O_RDONLY);
  must(fd >= 0 && close(fd) == 0, "open");
}

static void do_open_host(void) {
  int fd = open(self, O_RDONLY);
  must(fd >= 0 && close(fd) == 0, self);
}

static void do_pread(void) { must(pread(data_fd, buffer, PAGE, 0) == PAGE, "pread"); }

static void write_page(int fd) {
  static unsigned turn;
  if (turn++ % 256 == 0) lseek(fd, 0, SEEK_SET);
  must(write(fd, buffer, PAGE) == PAGE, "write");
}

static void do_write(void) { write_page(data_fd); }

/* A file without a name in whichever of the usual places is a tmpfs. */
static int open_tmpfs(void) {
  static const char *const names[] = {"/dev/shm/micro.tmpfs", "/tmp/micro.tmpfs"};
  for (int i = 0; i < 2; i++) {
    struct statfs st;
    int fd = open(names[i], O_RDWR | O_CREAT, 0600);
    if (fd < 0) continue;
    unlink(names[i]);
    if (fstatfs(fd, &st) == 0 && st.f_type == 0x01021994) return fd;
    close(fd);
  }
  must(0, "no tmpfs");
  return -1;
}

static void do_write_tmpfs(void) {
  if (tmpfs_fd < 0) tmpfs_fd = open_tmpfs();
  write_page(tmpfs_fd);
}

static void do_pipe(void) {
  char byte = 'x';
  must(write(pipe_fds[1], &byte, 1) == 1 && read(pipe_fds[0], &byte, 1) == 1, "pipe");
}

static void do_mmap(void) {
  char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(p != MAP_FAILED, "mmap");
  *(volatile char *)p = 1;
  munmap(p, 16 * PAGE);
}

static void reap(pid_t child) {
  int status;
  must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "child");
}

static void do_fork(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  reap(child);
}

static void do_fork_exec(void) {
  pid_t child = fork();
  if (child == 0) {
    execl(self, self, "nothing", (char *)NULL);
    _exit(127);
  }
  reap(child);
}

static void do_vfork_exec(void) {
  pid_t child = vfork();
  if (child == 0) {
    execl(self, self, "nothing", (char *)NULL);
    _exit(127);
  }
  reap(child);
}

static void *no_work(void *argument) { return argument; }

static void do_thread(void) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, no_work, NULL) == 0, "pthread_create");
  pthread_join(thread, NULL);
}

/* Two threads hand a token to and fro, each asleep while the other has it. */
static uint32_t token;

static void pass(uint32_t from, uint32_t to) {
  uint32_t seen;
  while ((seen = __atomic_load_n(&token, __ATOMIC_ACQUIRE)) != from) syscall(SYS_futex, &token, FUTEX_WAIT_PRIVATE, seen, NULL);
  __atomic_store_n(&token, to, __ATOMIC_RELEASE);
  syscall(SYS_futex, &token, FUTEX_WAKE_PRIVATE, 1);
}

static void *futex_partner(void *argument) {
  for (;;) pass(1, 0);
  return argument;
}

static void do_futex(void) {
  static int started;
  if (!started++) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, futex_partner, NULL) == 0, "pthread_create");
  }
  pass(0, 1);
}

/* The same between two processes, with a byte that the other one sends back. */
static void echo(int in, int out) {
  char byte;
  while (read(in, &byte, 1) == 1)
    if (write(out, &byte, 1) != 1) break;
  _exit(0);
}

static void do_socket(void) {
  static int pair[2];
  static pid_t child;
  char byte = 'x';
  if (child == 0) {
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    child = fork();
    if (child == 0) {
      close(pair[0]);
      echo(pair[1], pair[1]);
    }
    close(pair[1]);
  }
  must(write(pair[0], &byte, 1) == 1 && read(pair[0], &byte, 1) == 1, "socket");
}

static void do_pipe_two(void) {
  static int there[2], back[2];
  static pid_t child;
  char byte = 'x';
  if (child == 0) {
    must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    child = fork();
    if (child == 0) {
      close(there[1]), close(back[0]);
      echo(there[0], back[1]);
    }
    close(there[0]), close(back[1]);
  }
  must(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe");
}

/* Reported for one page. */
static void do_faults(void) {
  char *p = mmap(NULL, (size_t)FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(p != MAP_FAILED, "mmap");
  for (int i = 0; i < FAULT_PAGES; i++) ((volatile char *)p)[(size_t)i * PAGE] = 1;
  munmap(p, (size_t)FAULT_PAGES * PAGE);
}

static void do_cpu(void) {
  uint64_t x = 88172645463325252u;
  for (int i = 0; i < 20 * 1000 * 1000; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  /* Kept, so that the loop is. Threads of cpu-2 must not share a cache line here. */
  __asm__ volatile("" : : "r"(x));
}

static void *cpu_thread(void *argument) {
  do_cpu();
  return argument;
}

/* As much in each of two threads at the same time. */
static void do_cpu_two(void) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, cpu_thread, NULL) == 0, "pthread_create");
  do_cpu();
  pthread_join(thread, NULL);
}

static const struct operation {
  const char *name;
  void (*run)(void);
  int per_run;
} operations[] = {
    {"getppid", do_getppid, 1},
    {"stat", do_stat, 1},
    {"stat-host", do_stat_host, 1},
    {"open+close", do_open, 1},
    {"open+close-host", do_open_host, 1},
    {"pread-4k", do_pread, 1},
    {"write-4k", do_write, 1},
    {"write-4k-tmpfs", do_write_tmpfs, 1},
    {"pipe", do_pipe, 1},
    {"pipe-2proc", do_pipe_two, 1},
    {"socket-2proc", do_socket, 1},
    {"futex", do_futex, 1},
    {"mmap+touch+munmap", do_mmap, 1},
    {"page-fault", do_faults, FAULT_PAGES},
    {"thread", do_thread, 1},
    {"fork+wait", do_fork, 1},
    {"fork+exec+wait", do_fork_exec, 1},
    {"vfork+exec+wait", do_vfork_exec, 1},
    {"cpu", do_cpu, 1},
    {"cpu-2", do_cpu_two, 1},
};

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double measure(const struct operation *operation) {
  double batches[MAX_BATCHES];
  int count = 0, size = 1;
  int64_t end = now_ns() + WARM_UP_NS;
  do operation->run();
  while (now_ns() < end);
  while (count < MAX_BATCHES && (count < 3 || now_ns() < end)) {
    int64_t start = now_ns();
    for (int i = 0; i < size; i++) operation->run();
    int64_t took = now_ns() - start;
    if (count == 0 && took < BATCH_NS && size < 1 << 20) {
      size *= 2;
      continue;
    }
    if (count == 0) end = start + BUDGET_NS;
    batches[count++] = (double)took / size / operation->per_run;
  }
  qsort(batches, (size_t)count, sizeof batches[0], by_value);
  return batches[count / 2];
}

/* A single call after a while without one, when whoever serves it is asleep. The loop of computing before it is not counted. */
static double measure_cold(void) {
  enum { CALLS = 400, PAUSE_NS = 300 * 1000 };
  static double took[CALLS];
  for (int i = 0; i < CALLS; i++) {
    int64_t until = now_ns() + PAUSE_NS, start = 0;
    while ((start = now_ns()) < until) continue;
    do_getppid();
    took[i] = (double)(now_ns() - start);
  }
  qsort(took, CALLS, sizeof took[0], by_value);
  return took[CALLS / 2];
}

int main(int argc, char **argv) {
  self = argv[0];
  if (argc > 1 && strcmp(argv[1], "nothing") == 0) return 0;
  if (argc > 1 && strcmp(argv[1], "getppid-cold") == 0) {
    printf("%.1f\n", measure_cold());
    return 0;
  }
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    if (argc < 2) puts(operations[i].name);
    if (argc < 2 || strcmp(argv[1], operations[i].name) != 0) continue;
    data_fd = open("micro.data", O_RDWR | O_CREAT, 0644);
    must(data_fd >= 0 && write(data_fd, buffer, PAGE) == PAGE, "micro.data");
    must(pipe(pipe_fds) == 0, "pipe");
    printf("%.1f\n", measure(&operations[i]));
    unlink("micro.data");
    return 0;
  }
  return argc < 2 ? 0 : 2;
}
