/*
 * Bursts: what several actors may do at the same time. Each works on its own memory, files, processes and signals only and tells what
 * did not come out as it has to, so that the log is the same however they are mixed.
 */
#ifndef BURSTS_H
#define BURSTS_H

#include "machine.h"

enum { YARD_PAGES = 32, BURST_SIGNAL = 40, TIMER_SIGNAL = 41 };

static char *yard(int page) { return (char *)ARENA_AT + 0x10000000L + (long)me * 0x1000000L + page * PAGE; }

/* Memory calls beside each other, checked against a model: 0 unmapped, 1 no access, 2 read-only, 3 writable. */
static int burst_memory(uint32_t random, int count) {
  static const int modes[] = {0, PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
  int model[YARD_PAGES] = {0}, wrong = 0;
  unsigned char held[YARD_PAGES] = {0};
  for (int i = 0; i < count; i++) {
    int page = (int)(next_random(&random) % YARD_PAGES), mode = (int)(next_random(&random) % 4), length = (int)(next_random(&random) % 4) + 1;
    unsigned action = next_random(&random) % 8;
    if (page + length > YARD_PAGES) length = YARD_PAGES - page;
    if (action < 2 && mode > 0) {
      wrong += mmap(yard(page), (size_t)(length * PAGE), modes[mode], MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != yard(page);
      for (int j = page; j < page + length; j++) model[j] = mode, held[j] = 0;
    } else if (action == 2) {
      wrong += munmap(yard(page), (size_t)(length * PAGE)) != 0;
      for (int j = page; j < page + length; j++) model[j] = 0;
    } else if (action == 3 && mode > 0 && model[page]) {
      wrong += mprotect(yard(page), PAGE, modes[mode]) != 0;
      model[page] = mode;
    } else if (action == 4 && model[page]) {
      wrong += madvise(yard(page), PAGE, MADV_DONTNEED) != 0;
      held[page] = 0;
    } else if (action == 5) {
      volatile char *at = yard(page) + 5;
      int well = TRY(*at = (char)i);
      wrong += well != (model[page] == 3);
      if (well) held[page] = (unsigned char)i;
    } else {
      volatile char *at = yard(page) + 5;
      volatile unsigned char seen = 0;
      int well = TRY(seen = (unsigned char)*at);
      wrong += well != (model[page] >= 2) || (well && seen != held[page]);
    }
  }
  munmap(yard(0), YARD_PAGES * PAGE);
  return wrong;
}

static int burst_files(uint32_t random, int count) {
  char name[32], other[32], text[600], back[600];
  int wrong = 0;
  for (int i = 0; i < count; i++) {
    size_t length = next_random(&random) % sizeof text;
    snprintf(name, sizeof name, "./b%d-%d", me, i % 5);
    snprintf(other, sizeof other, "./c%d", me);
    pattern(text, length, random);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd == -1) {
      wrong++;
      continue;
    }
    struct stat st;
    wrong += write(fd, text, length) != (ssize_t)length;
    wrong += pread(fd, back, sizeof back, 0) != (ssize_t)length || memcmp(text, back, length) != 0;
    wrong += fstat(fd, &st) != 0 || st.st_size != (off_t)length;
    close(fd);
    wrong += rename(name, other) != 0 || access(name, F_OK) != -1 || errno != ENOENT;
    wrong += stat(other, &st) != 0 || st.st_size != (off_t)length;
    wrong += unlink(other) != 0;
  }
  return wrong;
}

static int burst_forks(uint32_t random, int count) {
  int wrong = 0, status;
  for (int i = 0; i < count / 10 + 1; i++) {
    int code = (int)(next_random(&random) % 64);
    volatile int on_stack = code;
    pid_t child = fork();
    if (child == 0) {
      on_stack += 1;
      syscall(SYS_exit_group, on_stack);
    }
    pid_t got;
    while ((got = waitpid(child, &status, 0)) == -1 && errno == EINTR) continue;
    wrong += got != child || !WIFEXITED(status) || WEXITSTATUS(status) != code + 1 || on_stack != code;
  }
  return wrong;
}

static int burst_spawns(uint32_t random, int count) {
  int wrong = 0, status;
  char *arguments[] = {"nothing", NULL}, *environment[] = {NULL};
  for (int i = 0; i < count / 30 + 1; i++) {
    pid_t child = random % 2 ? vfork() : fork();
    if (child == 0) {
      execve("/proc/self/exe", arguments, environment);
      _exit(126);
    }
    pid_t got;
    while ((got = waitpid(child, &status, 0)) == -1 && errno == EINTR) continue;
    wrong += got != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7;
  }
  return wrong;
}

static int burst_pipe(uint32_t random, int count) {
  int ends[2], wrong = 0;
  char text[200], back[200];
  if (pipe2(ends, O_CLOEXEC) != 0) return 1;
  for (int i = 0; i < count; i++) {
    size_t length = next_random(&random) % sizeof text + 1;
    pattern(text, length, random);
    wrong += write(ends[1], text, length) != (ssize_t)length;
    wrong += read(ends[0], back, sizeof back) != (ssize_t)length || memcmp(text, back, length) != 0;
  }
  close(ends[0]), close(ends[1]);
  return wrong;
}

static __thread volatile int burst_count;
static void on_burst(int signo, siginfo_t *info, void *context) {
  (void)info, (void)context, (void)signo;
  burst_count++;
  __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm2; movdqa %%xmm0, %%xmm9" ::: "xmm0", "xmm2", "xmm9");
}
static int burst_signals(uint32_t random, int count) {
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
  action.sa_sigaction = on_burst;
  sigaction(BURST_SIGNAL, &action, NULL);
  int expected = 0, tid = (int)syscall(SYS_gettid);
  burst_count = 0;
  sigset_t set, old;
  sigemptyset(&set), sigaddset(&set, BURST_SIGNAL);
  for (int i = 0; i < count; i++) {
    int blocked = next_random(&random) % 3 == 0;
    if (blocked) pthread_sigmask(SIG_BLOCK, &set, &old);
    syscall(SYS_tgkill, getpid(), tid, BURST_SIGNAL);
    if (blocked) expected += burst_count != i, pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (burst_count != i + 1) return 1000 + i;
  }
  return expected;
}

static void *count_up(void *argument) {
  void **arguments = argument;
  for (int i = 0; i < 50; i++) {
    pthread_mutex_lock(arguments[0]);
    ++*(int *)arguments[1];
    pthread_mutex_unlock(arguments[0]);
  }
  return argument;
}
static int burst_threads(uint32_t random, int count) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int sum = 0, wrong = 0, expected = 0;
  void *arguments[] = {&mutex, &sum};
  for (int i = 0; i < count / 20 + 1; i++) {
    pthread_t threads[3];
    int started = 0;
    for (; started < 3; started++) wrong += pthread_create(&threads[started], NULL, count_up, arguments) != 0;
    for (int j = 0; j < started; j++) {
      void *back = NULL;
      wrong += pthread_join(threads[j], &back) != 0 || back != arguments;
    }
    expected += 150;
  }
  (void)random;
  return wrong + (sum != expected);
}

/* A lock of one futex word, held across a plain addition. */
static int burst_lock(uint32_t random, int count) {
  (void)random;
  for (int i = 0; i < count; i++) {
    uint32_t free_ = 0;
    if (!__atomic_compare_exchange_n(&shared->lock, &free_, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      while (__atomic_exchange_n(&shared->lock, 2, __ATOMIC_ACQUIRE)) futex(&shared->lock, FUTEX_WAIT, 2, NULL);
    shared->counter++;
    if (__atomic_exchange_n(&shared->lock, 0, __ATOMIC_RELEASE) == 2) futex(&shared->lock, FUTEX_WAKE, 1, NULL);
  }
  return 0;
}

static uint64_t compute(uint32_t random, int count) {
  double sum = 1;
  uint64_t mixed = random;
  for (int i = 0; i < count * 2000; i++) {
    mixed ^= mixed << 13, mixed ^= mixed >> 7, mixed ^= mixed << 17;
    sum = sum * 1.0000001 + (double)(mixed & 1023);
  }
  return mixed ^ (uint64_t)sum;
}
/* A computation that a timer interrupts all the time comes to the same. */
static int burst_interrupted(uint32_t random, int count) {
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TIMER_SIGNAL};
  struct itimerspec often = {{0, 700000}, {0, 100000}};
  timer_t timer;
  uint64_t expected = compute(random, count);
  action.sa_sigaction = on_burst;
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  sigaction(TIMER_SIGNAL, &action, NULL);
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return 1;
  timer_settime(timer, 0, &often, NULL);
  int wrong = 0;
  for (int i = 0; i < 3; i++) wrong += compute(random, count) != expected;
  timer_delete(timer);
  return wrong;
}

static int burst_calls(uint32_t random, int count) {
  int wrong = 0;
  pid_t parent = getppid(), own = getpid();
  struct timespec before = {0, 0}, now;
  for (int i = 0; i < count * 5; i++) {
    wrong += shape_libc() != parent || enter_middle(39) != own || shape_wide() != parent;
    switch (next_random(&random) % 6) {
      case 0: wrong += lseek(-1, 0, SEEK_SET) != -1 || errno != EBADF; break;
      case 1: wrong += shape_zero() != -EBADF; break;
      case 2: wrong += sched_yield() != 0; break;
      case 3: wrong += close(9999) != -1 || errno != EBADF; break;
      case 4: wrong += access("", F_OK) != -1 || errno != ENOENT; break;
      default:
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
        wrong += now.tv_sec < before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec < before.tv_nsec);
        before = now;
    }
  }
  return wrong;
}

static void do_burst(int *a) {
  static int (*const bursts[])(uint32_t, int) = {burst_memory, burst_files, burst_forks, burst_spawns, burst_pipe, burst_signals,
                                                  burst_threads, burst_lock, burst_interrupted, burst_calls};
  out(" wrong %d", bursts[a[0] % (int)COUNT(bursts)]((uint32_t)a[1] * 2 + 1, a[2] % 200 + 1));
}
static void do_counter(int *a) {
  (void)a;
  out(" %ld", (long)shared->counter);
}

#endif
