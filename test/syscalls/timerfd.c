/*
 * timerfd_create(2), timerfd_settime(2), timerfd_gettime(2): one-shot, periodic, absolute, expired, disarmed.
 */
#include "guest.h"
#include <poll.h>
#include <sys/timerfd.h>

static int set(int fd, int flags, long first_ms, long period_ms) {
  struct itimerspec spec = {{period_ms / 1000, period_ms % 1000 * 1000000}, {first_ms / 1000, first_ms % 1000 * 1000000}};
  return timerfd_settime(fd, flags, &spec, NULL);
}

static long get(int fd) {
  uint64_t count = 0;
  return read(fd, &count, 8) == 8 ? (long)count : -1;
}

int main(void) {
  struct itimerspec now, bad = {{0, 0}, {0, 1000000000}};
  struct pollfd entry = {.events = POLLIN};
  uint64_t count;
  begin();
  SECTION("one shot");
  int fd = entry.fd = (int)SHOW(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  SHOW(fcntl(fd, F_GETFD));
  SHOW(get(fd));
  SHOW(timerfd_gettime(fd, &now));
  SHOW(now.it_value.tv_nsec + now.it_value.tv_sec);
  SHOW(set(fd, 0, 200, 0));
  SHOW(get(fd));
  SHOW(timerfd_gettime(fd, &now));
  CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 200000000);
  int64_t start = now_ms();
  SHOW(poll(&entry, 1, 5000));
  CHECK(now_ms() - start >= 20);
  SHOW(get(fd));
  SHOW(get(fd));
  SHOW(timerfd_gettime(fd, &now));
  SHOW(now.it_value.tv_nsec + now.it_value.tv_sec);

  SECTION("periodic");
  SHOW(set(fd, 0, 10, 10));
  sleep_ms(55);
  long n = get(fd);
  CHECK(n >= 5 && n < 50);
  SHOW(timerfd_gettime(fd, &now));
  SHOW(now.it_interval.tv_nsec);
  MUST(poll(&entry, 1, 5000));
  CHECK(get(fd) >= 1);
  SHOW(set(fd, 0, 0, 0));
  SHOW(poll(&entry, 1, 30));
  SHOW(get(fd));
  MUST(set(fd, 0, 5, 0));
  sleep_ms(20);
  SHOW(set(fd, 0, 1000, 0));
  SHOW(get(fd));

  SECTION("absolute");
  struct timespec clock;
  clock_gettime(CLOCK_MONOTONIC, &clock);
  struct itimerspec past = {{0, 0}, {clock.tv_sec - 1, 0}};
  SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &past, &now));
  CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0);
  SHOW(poll(&entry, 1, 1000));
  SHOW(get(fd));
  clock.tv_nsec += 20000000;
  if (clock.tv_nsec >= 1000000000) clock.tv_nsec -= 1000000000, clock.tv_sec++;
  struct itimerspec soon = {{0, 0}, clock};
  SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &soon, NULL));
  SHOW(poll(&entry, 1, 5000));
  SHOW(get(fd));
  int real = (int)MUST(timerfd_create(CLOCK_REALTIME, 0));
  SHOW(set(real, 0, 20, 0));
  SHOW(get(real));
  int boot = (int)MUST(timerfd_create(CLOCK_BOOTTIME, 0));
  SHOW(set(boot, 0, 5, 0));
  SHOW(get(boot));

  SECTION("errors");
  int null = (int)MUST(open("/dev/null", O_RDWR));
  SHOW(timerfd_create(99, 0));
  SHOW(timerfd_create(CLOCK_MONOTONIC, 1 << 20));
  SHOW(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
  SHOW(timerfd_settime(fd, 0, &bad, NULL));
  SHOW(timerfd_settime(fd, 99, &soon, NULL));
  SHOW(timerfd_settime(null, 0, &soon, NULL));
  SHOW(timerfd_settime(99, 0, &soon, NULL));
  SHOW(timerfd_gettime(99, &now));
  SHOW(syscall(SYS_timerfd_settime, fd, 0, NULL, NULL));
  SHOW(read(fd, &count, 4));
  SHOW(write(fd, &count, 8));
  return 0;
}
