/*
 * nanosleep(2), clock_nanosleep(2), pause(2), alarm(2), clock_gettime(2), clock_getres(2), time through the vDSO.
 */
#include "guest.h"
#include <sys/time.h>

static volatile int alarms;
static void on_alarm(int number) { alarms += number == SIGALRM; }

static void in_ms(long ms) {
  struct itimerval timer = {{0, 0}, {0, ms * 1000}};
  MUST(setitimer(ITIMER_REAL, &timer, NULL));
}

static void sleeping(void) {
  struct timespec wish = {0, 20000000}, left = {9, 9}, bad = {0, 1000000000}, negative = {-1, 0}, zero = {0, 0}, longer = {2, 0};
  SECTION("nanosleep");
  int64_t start = now_ms();
  SHOW(nanosleep(&wish, &left));
  CHECK(now_ms() - start >= 20);
  say("left %ld.%09ld\n", (long)left.tv_sec, left.tv_nsec);
  SHOW(nanosleep(&zero, NULL));
  SHOW(nanosleep(&bad, NULL));
  SHOW(nanosleep(&negative, NULL));
  SHOW(nanosleep((void *)8, NULL));
  in_ms(30);
  SHOW(nanosleep(&longer, &left));
  SHOW(alarms);
  CHECK(left.tv_sec == 1 && left.tv_nsec > 0 && left.tv_nsec < 980000000);
  struct sigaction restart = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &restart, NULL);
  in_ms(10);
  SHOW(nanosleep(&longer, &left));
  SECTION("an ignored signal does not interrupt");
  signal(SIGUSR1, SIG_IGN);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(10);
    kill(getppid(), SIGUSR1);
    kill(getppid(), SIGCONT);
    _exit(0);
  }
  struct timespec middle = {0, 60000000};
  start = now_ms();
  SHOW(nanosleep(&middle, NULL));
  CHECK(now_ms() - start >= 60);
  reap("sender", child);

  SECTION("clock_nanosleep");
  SHOW(clock_nanosleep(CLOCK_MONOTONIC, 0, &wish, NULL));
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += 30000000;
  if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
  SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
  struct timespec after;
  clock_gettime(CLOCK_MONOTONIC, &after);
  CHECK(after.tv_sec > until.tv_sec || (after.tv_sec == until.tv_sec && after.tv_nsec >= until.tv_nsec));
  SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
  clock_gettime(CLOCK_REALTIME, &until);
  SHOW(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL));
  SHOW(clock_nanosleep(99, 0, &wish, NULL));
  SHOW(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL));
  SHOW(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &wish, NULL));
  until.tv_sec += 5;
  in_ms(20);
  SHOW(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL));
}

static void alarming(void) {
  SECTION("alarm and pause");
  SHOW(alarm(100));
  SHOW(alarm(0));
  SHOW(alarm(0));
  alarms = 0;
  in_ms(80);
  SHOW(pause());
  SHOW(alarms);
}

static void clocks(void) {
  struct timespec a, b, res;
  static const int ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
      CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
  SECTION("clocks");
  struct timespec brief = {0, 1000};
  say("sleeping by the thread's own CPU time: %s\n", errno_name(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &brief, NULL)));
  say("on CLOCK_MONOTONIC_RAW: %s\n", errno_name(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &brief, NULL)));
  for (size_t i = 0; i < COUNT(ids); i++) {
    int ok = clock_gettime(ids[i], &a) == 0 && clock_gettime(ids[i], &b) == 0 && clock_getres(ids[i], &res) == 0;
    ok = ok && (b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
    ok = ok && a.tv_nsec >= 0 && a.tv_nsec < 1000000000 && res.tv_sec == 0;
    /* The vDSO and the system call tell the same time. */
    struct timespec direct;
    ok = ok && syscall(SYS_clock_gettime, ids[i], &direct) == 0 && direct.tv_sec - a.tv_sec <= 1;
    say("clock %d: %s, resolution %s\n", ids[i], ok ? "ok" : "wrong", res.tv_nsec == 1 ? "1 ns" : "coarse");
  }
  SHOW(clock_gettime(99, &a));
  SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, (void *)8));
  SHOW(syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL));
  struct timeval tv;
  struct timezone zone;
  SHOW(gettimeofday(&tv, &zone));
  SHOW(syscall(SYS_gettimeofday, &tv, NULL));
  CHECK(labs((long)(time(NULL) - tv.tv_sec)) <= 1);
  CHECK(syscall(SYS_time, NULL) - time(NULL) <= 1);
  CHECK(tv.tv_sec > 1700000000);
  int64_t spins = 0;
  for (int i = 0; i < 100000; i++) clock_gettime(CLOCK_MONOTONIC, &b), spins += b.tv_nsec >= 0;
  SHOW(spins);
  struct timespec set = {1, 0};
  CHILD_BEGIN
  become_ordinary();
  SHOW(clock_settime(CLOCK_REALTIME, &set));
  SHOW(clock_settime(CLOCK_MONOTONIC, &set));
  CHILD_END("ordinary user");
}

int main(void) {
  begin();
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL);
  sleeping();
  alarming();
  clocks();
  return 0;
}
