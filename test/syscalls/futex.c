/*
 * futex(2): WAIT, WAKE, the BITSET forms, REQUEUE, CMP_REQUEUE, WAKE_OP, timeouts, private and shared, robust lists.
 */
#include "guest.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>

static uint32_t word, other;
static volatile int woken;

static long futex(uint32_t *address, int op, uint32_t value, const void *timeout, uint32_t *second, uint32_t third) {
  return syscall(SYS_futex, address, op, value, timeout, second, third);
}

static void errors(void) {
  struct timespec brief = {0, 20000000}, bad = {0, 1000000000}, negative = {-1, 0};
  SECTION("errors and timeouts");
  word = 5;
  SHOW(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0));
  int64_t start = now_ms();
  SHOW(futex(&word, FUTEX_WAIT, 5, &brief, NULL, 0));
  CHECK(now_ms() - start >= 20);
  SHOW(futex(&word, FUTEX_WAIT, 5, &bad, NULL, 0));
  SHOW(futex(&word, FUTEX_WAIT, 5, &negative, NULL, 0));
  SHOW(futex((uint32_t *)8, FUTEX_WAIT, 5, NULL, NULL, 0));
  SHOW(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 5, NULL, NULL, 0));
  SHOW(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
  SHOW(futex((uint32_t *)8, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
  SHOW(futex((uint32_t *)((char *)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0));
  SHOW(futex(&word, 99, 1, NULL, NULL, 0));
  SHOW(futex(&word, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0));
  SHOW(futex(&word, FUTEX_WAKE_BITSET, 5, NULL, NULL, 0));
  SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 4));
  SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 5));
  SHOW(futex(&word, FUTEX_REQUEUE, 1, (void *)1, &other, 0));
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  SHOW(futex(&word, FUTEX_WAIT_BITSET, 5, &until, NULL, FUTEX_BITSET_MATCH_ANY));
  clock_gettime(CLOCK_REALTIME, &until);
  SHOW(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, &until, NULL, FUTEX_BITSET_MATCH_ANY));
  SHOW(futex(&word, FUTEX_WAIT_PRIVATE, 5, &brief, NULL, 0));
  SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)-1L, &other, 5));
  SHOW(futex(&word, FUTEX_CMP_REQUEUE, -1, (void *)1, &other, 5));
  /* Of a shared futex Linux wants to know the page, of a private one only the address. */
  uint32_t *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SHOW(futex(none, FUTEX_WAKE, 1, NULL, NULL, 0));
  SHOW(futex(none, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
  SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, none, 5));
  munmap(none, 4096);
}

struct waiter {
  uint32_t *address;
  uint32_t mask;
  long result;
  int error;
  volatile pid_t tid;
  pthread_t thread;
};

static void *wait_here(void *argument) {
  struct waiter *w = argument;
  w->tid = (pid_t)syscall(SYS_gettid);
  errno = 0;
  w->result = futex(w->address, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, w->mask);
  w->error = errno;
  __sync_fetch_and_add(&woken, 1);
  return NULL;
}

/* A thread counts as waiting once its state in /proc is S. */
static void start(struct waiter *w, uint32_t *address, uint32_t mask) {
  char name[64];
  w->address = address, w->mask = mask, w->tid = 0;
  pthread_create(&w->thread, NULL, wait_here, w);
  while (w->tid == 0) sleep_ms(1);
  snprintf(name, sizeof name, "/proc/self/task/%d/stat", w->tid);
  for (int tries = 0; tries < 1000; tries++) {
    const char *end = strrchr(get_file(name), ')');
    if (end && end[2] == 'S') break;
    sleep_ms(1);
  }
  sleep_ms(2);
}

static void join(struct waiter *w, int count) {
  for (int i = 0; i < count; i++) pthread_join(w[i].thread, NULL);
  say("joined %d, results", count);
  for (int i = 0; i < count; i++) say(" %ld/%s", w[i].result, errno_name(w[i].error));
  say("\n");
}

static void settle(int expected) {
  for (int tries = 0; tries < 500 && woken < expected; tries++) sleep_ms(1);
  sleep_ms(3);
}

static void waking(void) {
  struct waiter w[4];
  SECTION("wake");
  word = 0, woken = 0;
  for (int i = 0; i < 4; i++) start(&w[i], &word, ~0U);
  SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
  settle(1);
  SHOW(woken);
  SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
  settle(3);
  SHOW(woken);
  SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
  join(w, 4);
  SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));

  SECTION("bitset");
  woken = 0;
  start(&w[0], &word, 1), start(&w[1], &word, 2), start(&w[2], &word, 3);
  SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 4));
  SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 2));
  settle(2);
  SHOW(woken);
  SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
  join(w, 3);

  SECTION("requeue");
  woken = 0;
  for (int i = 0; i < 4; i++) start(&w[i], &word, ~0U);
  SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 0));
  settle(1);
  SHOW(woken);
  SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
  settle(3);
  SHOW(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)10, &other, 0));
  SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
  SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
  join(w, 4);

  SECTION("wake op");
  woken = 0, other = 0;
  start(&w[0], &word, ~0U), start(&w[1], &word, ~0U), start(&w[2], &other, ~0U);
  SHOW(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)));
  settle(2);
  SHOW(other);
  SHOW(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_LT, 5)));
  SHOW(other);
  join(w, 3);
  SHOW(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_OR, 6, FUTEX_OP_CMP_GT, 5)));
  SHOW(other);
  SHOW(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ANDN, 3, FUTEX_OP_CMP_GT, 5)));
  SHOW(other);
  SHOW(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_XOR, 15, FUTEX_OP_CMP_GT, 5)));
  SHOW(other);
}

static void shared(void) {
  SECTION("shared between processes");
  uint32_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    long result = futex(memory, FUTEX_WAIT, 0, NULL, NULL, 0);
    say("child woken: %s\n", result == 0 || errno == EAGAIN ? "yes" : "no");
    _exit(0);
  }
  sleep_ms(30);
  __atomic_store_n(memory, 1, __ATOMIC_SEQ_CST);
  futex(memory, FUTEX_WAKE, 1, NULL, NULL, 0);
  reap("child", child);
  /* Two mappings of one file are one futex, by file and offset and not by address. */
  int fd = (int)MUST(syscall(SYS_memfd_create, "futex", 0));
  MUST(ftruncate(fd, 4096));
  uint32_t *one = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  uint32_t *two = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(one != two);
  child = (pid_t)MUST(fork());
  if (child == 0) {
    long result = futex(one, FUTEX_WAIT, 0, NULL, NULL, 0);
    say("child woken: %s\n", result == 0 || errno == EAGAIN ? "yes" : "no");
    _exit(0);
  }
  sleep_ms(30);
  __atomic_store_n(two, 1, __ATOMIC_SEQ_CST);
  long woken = futex(two, FUTEX_WAKE, 10, NULL, NULL, 0);
  reap("child", child);
  SHOW(woken);
}

static void on_signal(int number) { (void)number; }

static void interrupted(void) {
  struct sigaction action = {.sa_handler = on_signal};
  struct timespec longer = {2, 0};
  SECTION("interrupted");
  sigaction(SIGALRM, &action, NULL);
  timer_t timer;
  struct itimerspec soon = {{0, 0}, {0, 50000000}};
  MUST(timer_create(CLOCK_MONOTONIC, NULL, &timer));
  MUST(timer_settime(timer, 0, &soon, NULL));
  word = 0;
  SHOW(futex(&word, FUTEX_WAIT, 0, &longer, NULL, 0));
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, NULL);
  /* With a timeout SA_RESTART does not help (ERESTART_RESTARTBLOCK); without one the wait goes on. */
  MUST(timer_settime(timer, 0, &soon, NULL));
  SHOW(futex(&word, FUTEX_WAIT, 0, &longer, NULL, 0));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    uint32_t own = 0;
    MUST(timer_create(CLOCK_MONOTONIC, NULL, &timer));
    soon.it_interval = soon.it_value;
    MUST(timer_settime(timer, 0, &soon, NULL));
    futex(&own, FUTEX_WAIT, 0, NULL, NULL, 0);
    say("the wait ended\n");
    _exit(0);
  }
  sleep_ms(200);
  kill(child, SIGKILL);
  reap("waiter", child);
}

static pthread_mutex_t robust;
static void *die_with_lock(void *argument) {
  pthread_mutex_lock(&robust);
  return argument;
}

static void robust_lists(void) {
  SECTION("robust mutex");
  pthread_mutexattr_t attributes;
  pthread_t thread;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  pthread_create(&thread, NULL, die_with_lock, NULL);
  pthread_join(thread, NULL);
  say("lock after the owner's death: %s\n", errno_name(pthread_mutex_lock(&robust)));
  say("consistent: %s\n", errno_name(pthread_mutex_consistent(&robust)));
  say("unlock: %s\n", errno_name(pthread_mutex_unlock(&robust)));
  void *head;
  size_t length;
  SHOW(syscall(SYS_get_robust_list, 0, &head, &length));
  SHOW(length);
  SHOW(syscall(SYS_set_robust_list, head, 1));
  SHOW(syscall(SYS_get_robust_list, 1 << 22, &head, &length));
}

int main(void) {
  begin();
  errors();
  waking();
  shared();
  interrupted();
  robust_lists();
  return 0;
}
