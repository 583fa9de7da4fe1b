// Threads and processes that each do one thing for ever and count it in a page that all of them share, so that whoever can read the page sees
// whether anything of them still runs. Arguments: what to do, one thread for each.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Where container-sandbox.ts looks. Counters are 64 bytes apart.
#define COUNTERS ((volatile unsigned long *)0x10000000)
static __thread volatile unsigned long *mine;
static volatile unsigned long *ticks;
static int pipes[2][2];

static void spin(void) {
  for (;;) ++*mine;
}
static void ids(void) { // answered without a stop once it is known
  for (;;) getppid(), ++*mine;
}
static void calls(void) { // patched, and hot when it is alone
  struct stat st;
  for (;;) fstat(0, &st), ++*mine;
}
static void reads(void) { // patched, with bytes that come with the answer
  int fd = open("/proc/self/exe", O_RDONLY);
  char byte[64];
  for (;;) pread(fd, byte, sizeof byte, 0), ++*mine;
}
static void ping(void) {
  char byte = 0;
  for (;;) {
    if (write(pipes[0][1], &byte, 1) == 1 && read(pipes[1][0], &byte, 1) == 1) ++*mine;
  }
}
static void pong(void) {
  char byte;
  for (;;) {
    if (read(pipes[0][0], &byte, 1) == 1 && write(pipes[1][1], &byte, 1) == 1) ++*mine;
  }
}
static void naps(void) {
  struct timespec nap = {0, 1000000};
  for (;;) nanosleep(&nap, NULL), ++*mine;
}
static void maps(void) {
  for (;;) {
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[0] = 1;
    munmap(page, 4096);
    ++*mine;
  }
}
static void forks(void) {
  for (;;) {
    pid_t child = fork();
    if (child == 0) ++*mine, _exit(0);
    waitpid(child, NULL, 0);
  }
}
static void tick(int signo) {
  (void)signo;
  ++*ticks;
}
static void signals(void) {
  struct itimerval every = {{0, 1000}, {0, 1000}};
  sigset_t set;
  ticks = mine;
  signal(SIGALRM, tick);
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  setitimer(ITIMER_REAL, &every, NULL);
  for (;;) pause();
}

static const struct {
  const char *name;
  void (*run)(void);
} kinds[] = {{"spin", spin}, {"ids", ids},   {"calls", calls}, {"reads", reads}, {"ping", ping},
             {"pong", pong}, {"naps", naps}, {"maps", maps},   {"forks", forks}, {"signals", signals}};

static void *worker(void *argument) {
  char **argv = argument;
  mine = COUNTERS + 8 * atoi(argv[1]);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(argv[0], kinds[i].name) == 0) kinds[i].run();
  exit(1);
}

int main(int argc, char **argv) {
  void *page = mmap((void *)COUNTERS, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (page != (void *)COUNTERS || pipe(pipes[0]) != 0 || pipe(pipes[1]) != 0) return 1;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_t thread = 0;
  for (int i = 1; i < argc; i++) {
    char **pair = malloc(2 * sizeof *pair);
    pair[0] = argv[i];
    if (asprintf(&pair[1], "%d", i - 1) < 0 || pthread_create(&thread, NULL, worker, pair) != 0) return 1;
  }
  pthread_join(thread, NULL);
  return 0;
}
