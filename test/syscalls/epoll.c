/*
 * epoll(7): level, edge and one-shot triggering, nesting, errors, epoll_pwait, and what close and dup do.
 */
#include "guest.h"
#include <poll.h>
#include <sys/epoll.h>

static int ep;

static int control(int op, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  return epoll_ctl(ep, op, fd, &event);
}

static void wait_for(const char *what, int timeout) {
  struct epoll_event events[8];
  int n = epoll_wait(ep, events, 8, timeout);
  say("%s: %d", what, n);
  /* The order of ready entries is the order of their becoming ready: only sums are shown. */
  uint64_t data = 0;
  uint32_t mask = 0;
  for (int i = 0; i < n; i++) data += events[i].data.u64, mask |= events[i].events;
  if (n > 0) say(" data %llu events %s%s%s%s%s", (unsigned long long)data, mask & EPOLLIN ? "IN " : "", mask & EPOLLOUT ? "OUT " : "",
      mask & EPOLLERR ? "ERR " : "", mask & EPOLLHUP ? "HUP " : "", mask & EPOLLRDHUP ? "RDHUP " : "");
  say("\n");
}

static void errors(void) {
  int p[2];
  struct epoll_event event;
  SECTION("errors");
  SHOW(epoll_create(0));
  SHOW(epoll_create1(1));
  ep = (int)SHOW(epoll_create1(EPOLL_CLOEXEC));
  SHOW(fcntl(ep, F_GETFD));
  MUST(pipe(p));
  int file = (int)MUST(open("file", O_RDONLY)), dir = (int)MUST(open(".", O_RDONLY));
  SHOW(control(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
  SHOW(control(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
  SHOW(control(EPOLL_CTL_MOD, p[1], EPOLLIN, 1));
  SHOW(control(EPOLL_CTL_DEL, p[1], EPOLLIN, 1));
  SHOW(control(EPOLL_CTL_ADD, 99, EPOLLIN, 1));
  SHOW(control(EPOLL_CTL_ADD, file, EPOLLIN, 1));
  SHOW(control(EPOLL_CTL_ADD, dir, EPOLLIN, 1));
  SHOW(control(EPOLL_CTL_ADD, ep, EPOLLIN, 1));
  SHOW(control(99, p[1], EPOLLIN, 1));
  SHOW(epoll_ctl(99, EPOLL_CTL_ADD, p[1], &event));
  SHOW(epoll_ctl(file, EPOLL_CTL_ADD, p[1], &event));
  SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], NULL));
  SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
  SHOW(epoll_wait(ep, &event, 0, 0));
  SHOW(epoll_wait(ep, &event, -1, 0));
  SHOW(epoll_wait(file, &event, 1, 0));
  SHOW(epoll_wait(99, &event, 1, 0));
  SHOW(epoll_wait(ep, &event, 1, 0));
  MUST(write(p[1], "x", 1));
  SHOW(control(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
  SHOW(epoll_wait(ep, (void *)8, 1, 0));
  SHOW(read(ep, &event, 1));
  SHOW(write(ep, "x", 1));
  SHOW(lseek(ep, 0, SEEK_SET));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void triggers(void) {
  int p[2];
  char buffer[16];
  SECTION("level");
  ep = (int)MUST(epoll_create1(0));
  MUST(pipe(p));
  MUST(control(EPOLL_CTL_ADD, p[0], EPOLLIN, 10));
  wait_for("empty", 0);
  MUST(write(p[1], "ab", 2));
  wait_for("two bytes", 0);
  wait_for("again", 0);
  MUST(read(p[0], buffer, 1));
  wait_for("one byte left", 0);
  MUST(read(p[0], buffer, 1));
  wait_for("empty again", 0);
  SECTION("edge");
  MUST(control(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 20));
  wait_for("empty", 0);
  MUST(write(p[1], "ab", 2));
  wait_for("two bytes", 0);
  wait_for("again, nothing new", 0);
  MUST(read(p[0], buffer, 1));
  wait_for("after a partial read", 0);
  MUST(write(p[1], "c", 1));
  wait_for("new byte", 0);
  MUST(control(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET, 21));
  wait_for("after MOD", 0);
  wait_for("again", 0);
  SECTION("one shot");
  MUST(control(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 30));
  wait_for("first", 0);
  wait_for("second", 0);
  MUST(write(p[1], "d", 1));
  wait_for("new data", 0);
  MUST(control(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT, 31));
  wait_for("rearmed", 0);
  SECTION("writer and hang-up");
  MUST(control(EPOLL_CTL_ADD, p[1], EPOLLOUT, 100));
  MUST(control(EPOLL_CTL_MOD, p[0], EPOLLIN, 1));
  wait_for("both ends", 0);
  MUST(control(EPOLL_CTL_MOD, p[1], 0, 100));
  wait_for("no events wanted of the writer", 0);
  close(p[0]);
  wait_for("reader closed", 0);
  close(p[1]);
  wait_for("both closed", 0);
  close(ep);
}

static void nested(void) {
  int p[2], inner, outer;
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7};
  SECTION("nested");
  MUST(pipe(p));
  inner = (int)MUST(epoll_create1(0)), outer = (int)MUST(epoll_create1(0));
  SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, p[0], &event));
  SHOW(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event));
  SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event));
  SHOW(epoll_wait(outer, &event, 1, 0));
  MUST(write(p[1], "x", 1));
  SHOW(epoll_wait(outer, &event, 1, 0));
  SHOW(event.data.u64);
  SHOW(epoll_wait(inner, &event, 1, 0));
  MUST(read(p[0], &(char){0}, 1));
  SHOW(epoll_wait(outer, &event, 1, 0));
  close(inner), close(outer), close(p[0]), close(p[1]);
  /* Five epolls in a row is the limit. */
  int chain[8];
  int made = 0;
  for (made = 0; made < 8; made++) {
    chain[made] = (int)MUST(epoll_create1(0));
    if (made > 0 && epoll_ctl(chain[made], EPOLL_CTL_ADD, chain[made - 1], &event) == -1) break;
  }
  say("chain ends at %d: %s\n", made, errno_name(errno));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static int alarms;
static void on_alarm(int number) { alarms += number == SIGALRM; }

static void waiting(void) {
  int p[2];
  struct epoll_event event;
  SECTION("waiting");
  ep = (int)MUST(epoll_create1(0));
  MUST(pipe(p));
  MUST(control(EPOLL_CTL_ADD, p[0], EPOLLIN, 5));
  int64_t start = now_ms();
  wait_for("timeout", 30);
  CHECK(now_ms() - start >= 30);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(30);
    MUST(write(p[1], "x", 1));
    _exit(0);
  }
  wait_for("woken by a writer", 5000);
  reap("writer", child);
  MUST(read(p[0], &(char){0}, 1));
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  sigset_t none, blocked;
  sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, SIGALRM);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  kill(getpid(), SIGALRM);
  wait_for("signal blocked", 10);
  SHOW(epoll_pwait(ep, &event, 1, 5000, &none));
  SHOW(alarms);
  struct timespec brief = {0, 10000000}, bad = {0, 1000000000};
  SHOW(syscall(441 /* epoll_pwait2 */, ep, &event, 1, &brief, NULL, 8));
  SHOW(syscall(441, ep, &event, 1, &bad, NULL, 8));
  close(p[0]), close(p[1]), close(ep);
}

/* The interest belongs to the open file: closing one of two descriptors keeps it. */
static void closing(void) {
  int p[2];
  SECTION("close and dup");
  ep = (int)MUST(epoll_create1(0));
  MUST(pipe(p));
  MUST(write(p[1], "x", 1));
  MUST(control(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
  int copy = dup(p[0]);
  SHOW(control(EPOLL_CTL_ADD, copy, EPOLLIN, 2));
  wait_for("two descriptors", 0);
  close(copy);
  wait_for("one closed", 0);
  close(p[0]);
  wait_for("both closed", 0);
  close(p[1]), close(ep);
}

/* More ready entries than room: every one is seen in turn. */
static void round_robin(void) {
  int p[5][2], seen[5] = {0};
  SECTION("round robin");
  ep = (int)MUST(epoll_create1(0));
  for (int i = 0; i < 5; i++) {
    MUST(pipe(p[i]));
    MUST(write(p[i][1], "x", 1));
    MUST(control(EPOLL_CTL_ADD, p[i][0], EPOLLIN, i));
  }
  for (int i = 0; i < 10; i++) {
    struct epoll_event event;
    MUST(epoll_wait(ep, &event, 1, 0));
    seen[event.data.u64]++;
  }
  say("seen %d %d %d %d %d\n", seen[0], seen[1], seen[2], seen[3], seen[4]);
}

static void exclusive(void) {
  SECTION("exclusive watches: one waiter for one event");
  int p[2], report[2];
  char byte;
  struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
  MUST(pipe(p));
  MUST(pipe(report));
  for (int i = 0; i < 2; i++) {
    if (MUST(fork()) != 0) continue;
    ep = (int)MUST(epoll_create1(0));
    MUST(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &event));
    MUST(write(report[1], "r", 1));
    MUST(epoll_wait(ep, &event, 1, -1));
    MUST(write(report[1], "w", 1));
    MUST(read(p[0], &byte, 1));
    _exit(0);
  }
  for (int i = 0; i < 2; i++) MUST(read(report[0], &byte, 1));
  sleep_ms(100);
  struct pollfd woken = {.fd = report[0], .events = POLLIN};
  for (int i = 0; i < 2; i++) {
    MUST(write(p[1], "x", 1));
    MUST(read(report[0], &byte, 1));
    SHOW(poll(&woken, 1, 50));
    MUST(wait(NULL));
  }
}

int main(void) {
  begin();
  scratch();
  put_file("file", "x", 0644);
  errors();
  triggers();
  nested();
  waiting();
  closing();
  round_robin();
  exclusive();
  return 0;
}
