/*
 * POSIX message queues: mq_open, mq_unlink, mq_timedsend, mq_timedreceive, mq_getsetattr, mq_notify; priorities, waiting, time limits, poll,
 * epoll, permissions, limits. The system calls themselves: names have no slash in front.
 */
#include "guest.h"
#include "waiters.h"
#include <limits.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

static char name[64], data[70000], got[70000];

static long q_open(const char *n, int flags, int mode, const struct mq_attr *attr) {
  return syscall(SYS_mq_open, n, flags, mode, attr);
}
static long q_unlink(const char *n) {
  return syscall(SYS_mq_unlink, n);
}
static long q_send(int q, const char *text, unsigned priority) {
  return syscall(SYS_mq_timedsend, q, text, strlen(text), priority, NULL);
}
static void q_get(int q, size_t size) {
  unsigned priority = 77;
  memset(got, 0, 100);
  errno = 0;
  long n = syscall(SYS_mq_timedreceive, q, got, size, &priority, NULL);
  if (n < 0) say("receive: %s\n", errno_name(errno));
  else say("receive: %ld bytes of priority %u: %.*s\n", n, priority, (int)(n < 50 ? n : 50), got);
}
static void attributes(int q) {
  struct mq_attr a = {0};
  if (syscall(SYS_mq_getsetattr, q, NULL, &a) != 0) say("getattr: %s\n", errno_name(errno));
  else say("flags %#lx maxmsg %ld msgsize %ld curmsgs %ld\n", a.mq_flags, a.mq_maxmsg, a.mq_msgsize, a.mq_curmsgs);
}
static void readiness(int q) {
  struct pollfd p = {q, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, 0};
  int n = poll(&p, 1, 0);
  say("poll %d %#x\n", n, p.revents);
}
static struct timespec in_ms(int ms) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += ms % 1000 * 1000000L;
  t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
  t.tv_nsec %= 1000000000;
  return t;
}
static void until_asleep(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  for (int i = 0; i < 500; i++) {
    const char *text = get_file(path), *end = strrchr(text, ')');
    if (end && end[2] == 'S') {
      sleep_ms(20);
      if (strrchr(get_file(path), ')')[2] == 'S') return;
    }
    sleep_ms(2);
  }
}

static void opening(void) {
  SECTION("mq_open and mq_unlink");
  struct mq_attr a = {0, 4, 100};
  char longest[300];
  memset(longest, 'n', sizeof longest - 1);
  longest[299] = 0;
  SHOW(q_open(name, O_RDWR, 0600, NULL));
  SHOW(q_open("", O_RDWR | O_CREAT, 0600, NULL));
  SHOW(q_open(NULL, O_RDWR | O_CREAT, 0600, NULL));
  SHOW(q_open("/x", O_RDWR | O_CREAT, 0600, NULL));
  SHOW(q_open("a/b", O_RDWR | O_CREAT, 0600, NULL));
  SHOW(q_open(".", O_RDWR | O_CREAT, 0600, NULL));
  SHOW(q_open("..", O_RDWR | O_CREAT, 0600, NULL));
  SHOW(q_open(longest, O_RDWR | O_CREAT, 0600, NULL));
  SHOW(q_open(name, O_RDWR | O_CREAT, 0600, (void *)8));
  a.mq_maxmsg = 0;
  SHOW(q_open(name, O_RDWR | O_CREAT, 0600, &a));
  a.mq_maxmsg = -1;
  SHOW(q_open(name, O_RDWR | O_CREAT, 0600, &a));
  a.mq_maxmsg = 4, a.mq_msgsize = 0;
  SHOW(q_open(name, O_RDWR | O_CREAT, 0600, &a));
  a.mq_msgsize = 1L << 40;
  SHOW(q_open(name, O_RDWR | O_CREAT, 0600, &a));
  a.mq_msgsize = 100, a.mq_maxmsg = 100000;
  SHOW(q_open(name, O_RDWR | O_CREAT, 0600, &a));
  a.mq_maxmsg = 4;
  SHOW(q_open(name, O_RDWR | O_CREAT | O_EXCL, 0640, &a));
  SHOW(q_open(name, O_RDWR | O_CREAT | O_EXCL, 0640, &a));
  SHOW(q_open(name, O_RDWR | O_CREAT, 0, NULL));
  SHOW(q_open(name, O_RDONLY | O_NONBLOCK, 0, NULL));
  SHOW(q_open(name, O_ACCMODE, 0, NULL));
  attributes(3);
  attributes(4);
  attributes(5);
  struct stat st;
  fstat(3, &st);
  say("mode %o size %ld nlink %d\n", st.st_mode, (long)st.st_size, (int)st.st_nlink);
  SHOW(fcntl(3, F_GETFD));
  SHOW(fcntl(5, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
  char link[100] = "", path[40];
  snprintf(path, sizeof path, "/proc/self/fd/3");
  ssize_t n = readlink(path, link, sizeof link - 1);
  CHECK(n > 1 && link[0] == '/' && strcmp(link + 1, name) == 0);
  SHOW(read(3, got, 100));
  say("%.*s", 100, got);
  SHOW(write(3, "x", 1));
  SHOW(lseek(3, 0, SEEK_END));
  SHOW(read(3, got, 100));
  SHOW(lseek(3, 7, SEEK_SET));
  SHOW(pread(3, got, 4, 0));
  SHOW(q_unlink(name));
  SHOW(q_unlink(name));
  SHOW(q_unlink(""));
  SHOW(q_unlink("a/b"));
  SHOW(q_unlink(longest));
  SHOW(q_send(3, "after unlink", 1));
  q_get(4, 100);
  fstat(3, &st);
  say("nlink %d\n", (int)st.st_nlink);
  close(3), close(4), close(5);
}

static void messages(void) {
  SECTION("priorities and sizes");
  struct mq_attr a = {0, 5, 20};
  int q = (int)MUST(q_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &a)), read_only = (int)MUST(q_open(name, O_RDONLY, 0, NULL));
  int write_only = (int)MUST(q_open(name, O_WRONLY | O_NONBLOCK, 0, NULL));
  readiness(q), readiness(read_only), readiness(write_only);
  q_get(q, 20);
  SHOW(q_send(q, "low", 0));
  SHOW(q_send(q, "high", 32767));
  SHOW(q_send(q, "middle", 7));
  SHOW(q_send(q, "middle too", 7));
  SHOW(q_send(q, "too high", 32768));
  SHOW(q_send(q, "twenty-one bytes long", 7));
  SHOW(q_send(read_only, "x", 0));
  SHOW(q_send(99, "x", 0));
  SHOW(q_send(1, "x", 0));
  SHOW(syscall(SYS_mq_timedsend, q, NULL, 5, 0, NULL));
  SHOW(syscall(SYS_mq_timedsend, q, (void *)8, 0, 0, NULL));
  readiness(q);
  SHOW(q_send(q, "x", 1));
  attributes(q);
  readiness(q);
  SHOW(read(q, got, 100));
  say("%.17s\n", got);
  q_get(q, 19);
  q_get(write_only, 20);
  q_get(q, 20), q_get(read_only, 5000), q_get(q, 20), q_get(q, 20), q_get(q, 20), q_get(q, 20);
  SHOW(syscall(SYS_mq_timedreceive, q, got, 19, NULL, NULL));
  MUST(q_send(q, "lost", 3));
  SHOW(syscall(SYS_mq_timedreceive, q, (void *)8, 20, NULL, NULL));
  MUST(q_send(q, "lost", 3));
  SHOW(syscall(SYS_mq_timedreceive, q, got, 20, (void *)8, NULL));
  MUST(q_send(q, "no priority", 3));
  SHOW(syscall(SYS_mq_timedreceive, q, got, 20, NULL, NULL));
  q_get(q, 20);
  SECTION("attributes");
  a.mq_flags = 0, a.mq_maxmsg = 1000;
  struct mq_attr old;
  SHOW(syscall(SYS_mq_getsetattr, q, &a, &old));
  say("old flags %d\n", old.mq_flags == O_NONBLOCK);
  attributes(q);
  a.mq_flags = O_APPEND;
  SHOW(syscall(SYS_mq_getsetattr, q, &a, NULL));
  a.mq_flags = 1L << 40;
  SHOW(syscall(SYS_mq_getsetattr, q, &a, NULL));
  SHOW(syscall(SYS_mq_getsetattr, q, (void *)8, NULL));
  SHOW(syscall(SYS_mq_getsetattr, q, NULL, (void *)8));
  SHOW(syscall(SYS_mq_getsetattr, 1, NULL, &old));
  a.mq_flags = O_NONBLOCK;
  SHOW(syscall(SYS_mq_getsetattr, q, &a, NULL));
  SHOW(fcntl(q, F_GETFL) & O_NONBLOCK);
  close(q), close(read_only), close(write_only);
  q_unlink(name);
}

static volatile int caught;
static siginfo_t last;
static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  last = *info;
  caught++;
}

static void waiting(void) {
  SECTION("waiting");
  pid_t a, b;
  struct mq_attr attr = {0, 2, 20};
  int q = (int)MUST(q_open(name, O_RDWR | O_CREAT, 0600, &attr));
  struct timespec bad = {0, 1000000000}, past = {1, 0}, negative = {-1, 0};
  SHOW(syscall(SYS_mq_timedreceive, q, got, 20, NULL, &bad));
  SHOW(syscall(SYS_mq_timedreceive, q, got, 20, NULL, &negative));
  SHOW(syscall(SYS_mq_timedreceive, q, got, 20, NULL, &past));
  SHOW(syscall(SYS_mq_timedreceive, q, got, 20, NULL, (void *)8));
  struct timespec soon = in_ms(40);
  int64_t start = now_ms();
  SHOW(syscall(SYS_mq_timedreceive, q, got, 20, NULL, &soon));
  CHECK(now_ms() - start >= 39);
  WAITER_BEGIN(a);
  unsigned priority;
  long n = syscall(SYS_mq_timedreceive, q, got, 20, &priority, NULL);
  told();
  say("a: %ld %.*s %u\n", n, (int)n, got, priority);
  WAITER_END;
  until_asleep(a);
  WAITER_BEGIN(b);
  long n = syscall(SYS_mq_timedreceive, q, got, 20, NULL, NULL);
  told();
  say("b: %ld %.*s\n", n, (int)n, got);
  WAITER_END;
  until_asleep(b);
  SHOW(q_send(q, "first", 1));
  ended("a", a);
  attributes(q);
  SHOW(q_send(q, "second", 9));
  ended("b", b);
  MUST(q_send(q, "1", 1)), MUST(q_send(q, "2", 2));
  soon = in_ms(30);
  SHOW(syscall(SYS_mq_timedsend, q, "x", 1, 0, &soon));
  SHOW(syscall(SYS_mq_timedsend, q, "x", 1, 0, &bad));
  WAITER_BEGIN(a);
  long result = q_send(q, "from a", 1);
  told();
  say("a: %ld\n", result);
  WAITER_END;
  until_asleep(a);
  q_get(q, 20);
  ended("a", a);
  attributes(q);
  q_get(q, 20), q_get(q, 20);
  for (int restart = 0; restart < 2; restart++) {
    WAITER_BEGIN(a);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | (restart ? SA_RESTART : 0)};
    sigaction(SIGUSR1, &action, NULL);
    long n = syscall(SYS_mq_timedreceive, q, got, 20, NULL, NULL);
    told();
    say("interrupted: %ld %s, caught %d\n", n, n < 0 ? errno_name(errno) : got, caught);
    WAITER_END;
    until_asleep(a);
    kill(a, SIGUSR1);
    sleep_ms(30);
    if (restart) MUST(q_send(q, "again", 0));
    ended("a", a);
  }
  WAITER_BEGIN(a);
  syscall(SYS_mq_timedreceive, q, got, 20, NULL, NULL);
  WAITER_END;
  until_asleep(a);
  kill(a, SIGKILL);
  ended("killed", a);
  MUST(q_send(q, "kept", 0));
  attributes(q);
  SECTION("epoll");
  int e = epoll_create1(0);
  struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {.u32 = 5}}, seen[2];
  SHOW(epoll_ctl(e, EPOLL_CTL_ADD, q, &event));
  SHOW(epoll_wait(e, seen, 2, 0));
  say("events %#x\n", seen[0].events);
  SHOW(epoll_wait(e, seen, 2, 0));
  q_get(q, 20);
  SHOW(epoll_wait(e, seen, 2, 0));
  say("events %#x\n", seen[0].events);
  MUST(q_send(q, "1", 0)), MUST(q_send(q, "2", 0));
  SHOW(epoll_wait(e, seen, 2, 0));
  say("events %#x\n", seen[0].events);
  close(e);
  CHILD_BEGIN
  struct pollfd p = {q, POLLOUT, 0};
  CHILD_BEGIN
  sleep_ms(30);
  q_get(q, 20);
  CHILD_END("inner");
  say("poll %d %#x\n", poll(&p, 1, 5000), p.revents);
  CHILD_END("poller");
  close(q);
  q_unlink(name);
}

static int thread_pipe[2];
static void on_thread(union sigval value) {
  char byte = (char)value.sival_int;
  write(thread_pipe[1], &byte, 1);
}

static void notifying(void) {
  SECTION("mq_notify");
  struct mq_attr attr = {0, 3, 20};
  int q = (int)MUST(q_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr)), twin = dup(q);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR2, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_ptr = (void *)0x1234567890};
  caught = 0;
  SHOW(syscall(SYS_mq_notify, q, (void *)8));
  SHOW(syscall(SYS_mq_notify, 1, &event));
  SHOW(syscall(SYS_mq_notify, q, NULL));
  SHOW(syscall(SYS_mq_notify, q, &event));
  SHOW(syscall(SYS_mq_notify, q, &event));
  CHILD_BEGIN
  SHOW(syscall(SYS_mq_notify, q, &event));
  SHOW(syscall(SYS_mq_notify, q, NULL));
  SHOW(q_send(q, "1", 0));
  CHILD_END("child");
  say("caught %d code %d value %d of a child %d\n", caught, last.si_code == SI_MESGQ, last.si_value.sival_ptr == (void *)0x1234567890,
      last.si_pid != getpid() && last.si_pid > 0);
  MUST(q_send(q, "2", 0));
  say("caught %d\n", caught);
  SHOW(syscall(SYS_mq_notify, q, &event));
  MUST(q_send(q, "3", 0));
  say("not empty: caught %d\n", caught);
  SHOW(read(q, got, 100));
  say("%.40s\n", got);
  q_get(q, 20), q_get(q, 20), q_get(q, 20);
  SHOW(syscall(SYS_mq_notify, q, NULL));
  MUST(q_send(q, "4", 0));
  say("removed: caught %d\n", caught);
  q_get(q, 20);
  SHOW(syscall(SYS_mq_notify, q, &event));
  close(twin);
  MUST(q_send(q, "5", 0));
  say("closed: caught %d\n", caught);
  q_get(q, 20);
  CHILD_BEGIN
  SHOW(syscall(SYS_mq_notify, q, &event));
  CHILD_END("child that registers");
  SHOW(syscall(SYS_mq_notify, q, &event));
  pid_t a;
  WAITER_BEGIN(a);
  struct mq_attr blocking = {0};
  int own = (int)MUST(q_open(name, O_RDWR, 0, NULL));
  (void)blocking;
  long n = syscall(SYS_mq_timedreceive, own, got, 20, NULL, NULL);
  told();
  say("receiver: %ld\n", n);
  WAITER_END;
  until_asleep(a);
  MUST(q_send(q, "6", 0));
  ended("receiver", a);
  say("somebody waited: caught %d\n", caught);
  MUST(q_send(q, "7", 0));
  say("nobody waited: caught %d\n", caught);
  q_get(q, 20);
  event.sigev_notify = SIGEV_NONE;
  SHOW(syscall(SYS_mq_notify, q, &event));
  SHOW(syscall(SYS_mq_notify, q, &event));
  MUST(q_send(q, "8", 0));
  SHOW(syscall(SYS_mq_notify, q, &event));
  SHOW(syscall(SYS_mq_notify, q, NULL));
  q_get(q, 20);
  event.sigev_notify = 77;
  SHOW(syscall(SYS_mq_notify, q, &event));
  event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = 65;
  SHOW(syscall(SYS_mq_notify, q, &event));
  event.sigev_signo = -1;
  SHOW(syscall(SYS_mq_notify, q, &event));
  event.sigev_notify = SIGEV_THREAD, event.sigev_value.sival_ptr = got;
  SHOW(syscall(SYS_mq_notify, q, &event));
  pipe(thread_pipe);
  event.sigev_signo = thread_pipe[0];
  SHOW(syscall(SYS_mq_notify, q, &event));
  event.sigev_signo = socket(AF_UNIX, SOCK_STREAM, 0);
  SHOW(syscall(SYS_mq_notify, q, &event));
  close(event.sigev_signo);
  SECTION("SIGEV_THREAD");
  struct sigevent threaded = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread, .sigev_value.sival_int = 'T'};
  SHOW(mq_notify(q, &threaded));
  MUST(q_send(q, "9", 0));
  char byte = 0;
  SHOW(read(thread_pipe[0], &byte, 1));
  say("%c\n", byte);
  q_get(q, 20);
  SHOW(mq_notify(q, &threaded));
  SHOW(mq_notify(q, NULL));
  SHOW(mq_notify(q, &threaded));
  close(q);
  q_unlink(name);
}

static void limits(void) {
  SECTION("limits and permissions");
  for (int i = 0; i < 5; i++) {
    static const char *const files[] = {"queues_max", "msg_max", "msgsize_max", "msg_default", "msgsize_default"};
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/fs/mqueue/%s", files[i]);
    say("%s %s", files[i], get_file(path));
  }
  struct mq_attr attr = {0, 10, 1000};
  int q = (int)MUST(q_open(name, O_RDWR | O_CREAT, 0622, &attr));
  CHILD_BEGIN
  become_ordinary();
  SHOW_OK(q_open(name, O_RDONLY, 0, NULL));
  SHOW_OK(q_open(name, O_WRONLY, 0, NULL));
  SHOW_OK(q_open(name, O_RDWR | O_CREAT, 0, NULL));
  if (getuid() == 65534) SHOW(q_unlink(name));
  char own[80];
  snprintf(own, sizeof own, "%s-own", name);
  attr.mq_maxmsg = 11;
  SHOW(q_open(own, O_RDWR | O_CREAT, 0600, &attr));
  attr.mq_maxmsg = 10, attr.mq_msgsize = 8193;
  SHOW(q_open(own, O_RDWR | O_CREAT, 0600, &attr));
  struct rlimit limit = {100, 100};
  setrlimit(RLIMIT_MSGQUEUE, &limit);
  attr.mq_maxmsg = 1, attr.mq_msgsize = 5;
  SHOW(q_open(own, O_RDWR | O_CREAT, 0600, &attr));
  CHILD_END("stranger");
  CHILD_BEGIN
  become_ordinary();
  char own[80];
  attr.mq_maxmsg = 1, attr.mq_msgsize = 5;
  snprintf(own, sizeof own, "%s-own", name);
  struct rlimit limit = {101, 101};
  setrlimit(RLIMIT_MSGQUEUE, &limit);
  SHOW_OK(q_open(own, O_RDWR | O_CREAT, 0600, &attr));
  snprintf(own, sizeof own, "%s-own2", name);
  SHOW(q_open(own, O_RDWR | O_CREAT, 0600, &attr));
  snprintf(own, sizeof own, "%s-own", name);
  SHOW(q_unlink(own));
  CHILD_END("limited");
  close(q);
  SHOW(q_unlink(name));
  struct rlimit files = {3, 3};
  CHILD_BEGIN
  setrlimit(RLIMIT_NOFILE, &files);
  SHOW(q_open("a/b", O_RDWR, 0, NULL));
  SHOW(q_open("", O_RDWR, 0, NULL));
  SHOW(q_open(name, O_RDWR, 0, NULL));
  CHILD_END("no descriptor");
}

static void rounds(void) {
  SECTION("many messages");
  struct mq_attr attr = {0, 8, 2000};
  int q = (int)MUST(q_open(name, O_RDWR | O_CREAT, 0600, &attr));
  for (int i = 0; i < 3; i++) {
    if (fork() != 0) continue;
    for (int j = 0; j < 500; j++) {
      memset(data, j & 127, sizeof(int) + j);
      MUST(syscall(SYS_mq_timedsend, q, data, sizeof(int) + j, j % 7, NULL));
    }
    _exit(0);
  }
  long sum = 0, ordered = 0;
  for (int i = 0; i < 1500; i++) {
    long n = MUST(syscall(SYS_mq_timedreceive, q, got, 2000, NULL, NULL));
    sum += n;
    ordered += got[0] == ((n - 4) & 127) && got[n - 1] == got[0];
  }
  say("sum %ld, whole %ld\n", sum, ordered);
  while (wait(NULL) > 0) continue;
  attributes(q);
  close(q);
  q_unlink(name);
}

int main(void) {
  begin();
  waiters_begin();
  snprintf(name, sizeof name, "guest-%d", getpid());
  opening();
  messages();
  waiting();
  notifying();
  limits();
  rounds();
  return 0;
}
