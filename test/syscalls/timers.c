/*
 * Interval timers (setitimer(2), getitimer(2)) and POSIX timers (timer_create(2) and its family).
 */
#include "guest.h"
#include <pthread.h>
#include <sys/time.h>

static volatile int hits, last_value, last_code;
static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  hits++;
  last_value = info->si_value.sival_int;
  last_code = info->si_code;
}

/* Not pause(): on a slow machine the signal may come before the wait begins. */
static void wait_for_hits(int wanted) {
  while (hits < wanted) sleep_ms(1);
}

static void catch(int number) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(number, &action, NULL);
}

static void interval(void) {
  struct itimerval timer = {{0, 0}, {0, 100000}}, old;
  SECTION("ITIMER_REAL");
  catch(SIGALRM);
  SHOW(setitimer(ITIMER_REAL, &timer, NULL));
  SHOW(getitimer(ITIMER_REAL, &old));
  CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 100000);
  wait_for_hits(1);
  SHOW(hits);
  SHOW(last_code == SI_KERNEL);
  MUST(getitimer(ITIMER_REAL, &old));
  SHOW(old.it_value.tv_sec + old.it_value.tv_usec);
  struct itimerval periodic = {{0, 10000}, {0, 10000}}, stop = {{0, 0}, {0, 0}};
  hits = 0;
  MUST(setitimer(ITIMER_REAL, &periodic, NULL));
  wait_for_hits(3);
  SHOW(setitimer(ITIMER_REAL, &stop, &old));
  SHOW(old.it_interval.tv_usec);
  SHOW(setitimer(99, &stop, NULL));
  timer.it_value.tv_usec = 1000000;
  SHOW(setitimer(ITIMER_REAL, &timer, NULL));
  SHOW(getitimer(ITIMER_REAL, (void *)8));
  /* Timers are not inherited by a child. */
  timer.it_value.tv_usec = 500000;
  MUST(setitimer(ITIMER_REAL, &timer, NULL));
  CHILD_BEGIN
  MUST(getitimer(ITIMER_REAL, &old));
  SHOW(old.it_value.tv_sec + old.it_value.tv_usec);
  CHILD_END("child");
  MUST(setitimer(ITIMER_REAL, &stop, NULL));
  SECTION("ITIMER_VIRTUAL and ITIMER_PROF");
  hits = 0;
  catch(SIGVTALRM), catch(SIGPROF);
  timer.it_value.tv_usec = 20000;
  MUST(setitimer(ITIMER_VIRTUAL, &timer, NULL));
  while (hits == 0) continue;
  SHOW(hits);
  MUST(setitimer(ITIMER_PROF, &timer, NULL));
  while (hits == 1) continue;
  SHOW(hits);
}

static void posix(void) {
  timer_t timer, second;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 1234};
  struct itimerspec soon = {{0, 0}, {0, 20000000}}, off = {{0, 0}, {0, 0}}, now, bad = {{0, 0}, {0, -1}};
  SECTION("timer_create");
  catch(SIGRTMIN + 1), catch(SIGALRM);
  hits = 0;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
  SHOW(timer_gettime(timer, &now));
  SHOW(now.it_value.tv_sec + now.it_value.tv_nsec);
  SHOW(timer_settime(timer, 0, &soon, NULL));
  wait_for_hits(1);
  SHOW(hits);
  SHOW(last_value);
  SHOW(last_code == SI_TIMER);
  SHOW(timer_getoverrun(timer));
  SHOW(timer_create(CLOCK_REALTIME, NULL, &second));
  SHOW(timer_settime(second, 0, &soon, NULL));
  wait_for_hits(2);
  SHOW(hits);
  SHOW(timer_settime(second, 0, &bad, NULL));
  SECTION("overruns");
  struct itimerspec periodic = {{0, 5000000}, {0, 5000000}};
  sigset_t block;
  sigemptyset(&block), sigaddset(&block, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &block, NULL);
  hits = 0;
  MUST(timer_settime(timer, 0, &periodic, NULL));
  sleep_ms(60);
  MUST(timer_settime(timer, 0, &off, &now));
  SHOW(now.it_interval.tv_nsec);
  sigprocmask(SIG_UNBLOCK, &block, NULL);
  CHECK(hits <= 1);
  SECTION("absolute");
  struct timespec clock;
  clock_gettime(CLOCK_MONOTONIC, &clock);
  struct itimerspec past = {{0, 0}, {clock.tv_sec - 1, 0}};
  hits = 0;
  SHOW(timer_settime(timer, TIMER_ABSTIME, &past, NULL));
  while (hits == 0) sleep_ms(1);
  SHOW(hits);
  SECTION("SIGEV_NONE and SIGEV_THREAD_ID");
  event.sigev_notify = SIGEV_NONE;
  timer_t silent, threaded;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &silent));
  MUST(timer_settime(silent, 0, &soon, NULL));
  MUST(timer_gettime(silent, &now));
  CHECK(now.it_value.tv_nsec > 0);
  sleep_ms(30);
  MUST(timer_gettime(silent, &now));
  SHOW(now.it_value.tv_nsec);
  event.sigev_notify = SIGEV_THREAD_ID;
  event._sigev_un._tid = (int)syscall(SYS_gettid);
  hits = 0;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &threaded));
  MUST(timer_settime(threaded, 0, &soon, NULL));
  wait_for_hits(1);
  SHOW(hits);
  event._sigev_un._tid = 1 << 22;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &threaded));
  SECTION("errors");
  SHOW(timer_delete(timer));
  SHOW(syscall(SYS_timer_delete, 4321));
  SHOW(syscall(SYS_timer_settime, 4321, 0, &soon, NULL));
  SHOW(timer_create(99, NULL, &timer));
  event.sigev_notify = 99;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
  event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = 999;
  SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
  CHILD_BEGIN
  SHOW(timer_delete(second));
  CHILD_END("child has no timers");
}

int main(void) {
  begin();
  interval();
  posix();
  return 0;
}
