/*
 * Processes that wait for what others do, and report in an order that is the same on every run.
 *
 * Sequence: waiters_begin() in main; WAITER_BEGIN(pid) … told(); say(…); WAITER_END; what wakes it, printed; ended("name", pid).
 */
#ifndef WAITERS_H
#define WAITERS_H

#include "guest.h"
#include <sys/mman.h>

static volatile int *gates;
static MAYBE void waiters_begin(void) {
  gates = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* A waiter reports only after what woke it was printed: at `ended`. */
static MAYBE void told(void) {
  int saved = errno;
  while (!gates[getpid() & 1023]) sleep_ms(2);
  gates[getpid() & 1023] = 0;
  errno = saved;
}
static MAYBE void ended(const char *who, pid_t pid) {
  gates[pid & 1023] = 1;
  reap(who, pid);
  gates[pid & 1023] = 0;
}
#define WAITER_BEGIN(name) \
  do { \
    name = (pid_t)MUST(fork()); \
    if (name == 0) {
#define WAITER_END \
  _exit(0); \
  } \
  } \
  while (0)

#endif
