/*
 * poll(2), ppoll(2), select(2), pselect(2): readiness of pipes, files and bad descriptors, timeouts, signal masks.
 */
#include "guest.h"
#include <poll.h>
#include <sys/select.h>

static int alarms;
static void on_alarm(int number) { alarms += number == SIGALRM; }

static const char *events(short mask) {
  static char text[128];
  text[0] = 0;
  if (mask & POLLIN) strcat(text, "IN ");
  if (mask & POLLPRI) strcat(text, "PRI ");
  if (mask & POLLOUT) strcat(text, "OUT ");
  if (mask & POLLERR) strcat(text, "ERR ");
  if (mask & POLLHUP) strcat(text, "HUP ");
  if (mask & POLLNVAL) strcat(text, "NVAL ");
  if (mask & POLLRDHUP) strcat(text, "RDHUP ");
  return text;
}

static void one(const char *what, int fd, short wanted) {
  struct pollfd entry = {.fd = fd, .events = wanted, .revents = -1};
  int result = poll(&entry, 1, 0);
  say("%s: %d %s\n", what, result, events(entry.revents));
}

static void readiness(void) {
  int p[2];
  SECTION("poll");
  MUST(pipe(p));
  one("empty pipe, reader", p[0], POLLIN);
  one("empty pipe, writer", p[1], POLLOUT);
  MUST(write(p[1], "x", 1));
  one("pipe with data, reader", p[0], POLLIN | POLLOUT | POLLPRI);
  one("events 0", p[0], 0);
  fcntl(p[1], F_SETFL, O_NONBLOCK);
  static char block[65536];
  MUST(write(p[1], block, sizeof block));
  one("full pipe, writer", p[1], POLLOUT);
  close(p[0]);
  one("no reader", p[1], POLLOUT);
  close(p[1]);
  MUST(pipe(p));
  close(p[1]);
  one("no writer", p[0], POLLIN);
  close(p[0]);
  int file = (int)MUST(open("file", O_RDWR));
  one("regular file", file, POLLIN | POLLOUT);
  one("closed descriptor", 99, POLLIN);
  one("negative descriptor", -1, POLLIN);
  int dir = (int)MUST(open(".", O_RDONLY));
  one("directory", dir, POLLIN);
  int null = (int)MUST(open("/dev/null", O_RDWR));
  one("/dev/null", null, POLLIN | POLLOUT);
  struct pollfd two[2] = {{.fd = file, .events = POLLIN}, {.fd = 99, .events = POLLIN}};
  SHOW(poll(two, 2, -1));
  SHOW(poll(NULL, 0, 0));
  SHOW(poll((void *)8, 1, 0));
  SHOW(poll(two, (nfds_t)1 << 31, 0));
  close(file), close(dir), close(null);
}

static void waiting(void) {
  int p[2];
  SECTION("timeouts");
  MUST(pipe(p));
  struct pollfd entry = {.fd = p[0], .events = POLLIN};
  int64_t start = now_ms();
  SHOW(poll(&entry, 1, 40));
  CHECK(now_ms() - start >= 40 && now_ms() - start < 1000);
  start = now_ms();
  SHOW(poll(NULL, 0, 20));
  CHECK(now_ms() - start >= 20);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(30);
    MUST(write(p[1], "x", 1));
    _exit(0);
  }
  SHOW(poll(&entry, 1, 5000));
  SHOW(entry.revents == POLLIN);
  reap("writer", child);
  MUST(read(p[0], &(char){0}, 1));

  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct itimerspec soon = {.it_value = {0, 30000000}};
  timer_t timer;
  MUST(timer_create(CLOCK_MONOTONIC, NULL, &timer));
  MUST(timer_settime(timer, 0, &soon, NULL));
  SHOW(poll(&entry, 1, 5000));
  SHOW(alarms);

  SECTION("ppoll");
  struct timespec zero = {0, 0}, bad = {0, -1}, half = {0, 500000000};
  SHOW(ppoll(&entry, 1, &zero, NULL));
  SHOW(ppoll(&entry, 1, &bad, NULL));
  sigset_t blocked, none;
  sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, SIGALRM);
  MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
  kill(getpid(), SIGALRM);
  SHOW(poll(&entry, 1, 10));
  SHOW(alarms);
  SHOW(ppoll(&entry, 1, &half, &none));
  SHOW(alarms);
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  SHOW(sigismember(&now, SIGALRM));
  MUST(write(p[1], "x", 1));
  SHOW(ppoll(&entry, 1, NULL, &none));
  MUST(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
  close(p[0]), close(p[1]);
}

static void selecting(void) {
  int p[2];
  fd_set in, out, error;
  struct timeval zero = {0, 0}, short_time = {0, 30000};
  SECTION("select");
  MUST(pipe(p));
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_ZERO(&error);
  FD_SET(p[0], &in);
  FD_SET(p[1], &out);
  FD_SET(p[0], &error);
  SHOW(select(p[1] + 1, &in, &out, &error, &zero));
  SHOW(FD_ISSET(p[0], &in));
  SHOW(FD_ISSET(p[1], &out));
  SHOW(FD_ISSET(p[0], &error));
  MUST(write(p[1], "x", 1));
  FD_SET(p[0], &in);
  SHOW(select(p[1] + 1, &in, NULL, NULL, NULL));
  SHOW(FD_ISSET(p[0], &in));
  MUST(read(p[0], &(char){0}, 1));
  FD_ZERO(&in);
  FD_SET(p[0], &in);
  int64_t start = now_ms();
  SHOW(select(p[0] + 1, &in, NULL, NULL, &short_time));
  CHECK(now_ms() - start >= 30);
  SHOW(FD_ISSET(p[0], &in));
  say("time left %ld.%06ld\n", (long)short_time.tv_sec, (long)short_time.tv_usec);
  FD_ZERO(&in);
  FD_SET(50, &in);
  SHOW(select(51, &in, NULL, NULL, &zero));
  SHOW(select(-1, NULL, NULL, NULL, &zero));
  SHOW(select(0, NULL, NULL, NULL, &zero));
  struct timeval bad = {-1, 0};
  SHOW(select(0, NULL, NULL, NULL, &bad));
  close(p[1]);
  FD_ZERO(&in);
  FD_SET(p[0], &in);
  SHOW(select(p[0] + 1, &in, NULL, NULL, &zero));

  SECTION("pselect");
  sigset_t none, blocked;
  sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, SIGALRM);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  kill(getpid(), SIGALRM);
  alarms = 0;
  struct timespec second = {1, 0};
  SHOW(pselect(0, NULL, NULL, NULL, &second, &none));
  SHOW(alarms);
  struct timespec brief = {0, 10000000};
  SHOW(pselect(0, NULL, NULL, NULL, &brief, NULL));
  SHOW(brief.tv_nsec);
  close(p[0]);
}

int main(void) {
  begin();
  scratch();
  put_file("file", "x", 0644);
  readiness();
  waiting();
  selecting();
  return 0;
}
