/*
 * signalfd(2): pending signals as records, poll, the process's own and other senders, updates of the mask.
 */
#include "guest.h"
#include <poll.h>
#include <sys/signalfd.h>

static void get(int fd, pid_t sender) {
  struct signalfd_siginfo info;
  memset(&info, 0, sizeof info);
  long n = read(fd, &info, sizeof info);
  if (n != sizeof info) {
    say("read: %ld %s\n", n, errno_name(errno));
    return;
  }
  say("%s code %d pid %s uid %s int %d", signal_name(info.ssi_signo), info.ssi_code, info.ssi_pid == (uint32_t)sender ? "sender" : "other",
      info.ssi_uid == getuid() ? "own" : "other", info.ssi_int);
  if (info.ssi_signo == SIGCHLD) say(" status %d", info.ssi_status);
  say("\n");
}

int main(void) {
  sigset_t set, more;
  struct pollfd entry = {.events = POLLIN};
  struct signalfd_siginfo many[4];
  begin();
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGCHLD), sigaddset(&set, SIGRTMIN);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  int fd = entry.fd = (int)SHOW(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  SHOW(fcntl(fd, F_GETFD));
  get(fd, getpid());
  SHOW(poll(&entry, 1, 0));
  SHOW(kill(getpid(), SIGUSR1));
  SHOW(poll(&entry, 1, 0));
  get(fd, getpid());
  SHOW(poll(&entry, 1, 0));
  SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 41}));
  SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42}));
  SHOW(raise(SIGUSR2));
  get(fd, getpid());
  get(fd, getpid());
  get(fd, getpid());
  get(fd, getpid());
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    kill(getppid(), SIGUSR1);
    _exit(6);
  }
  reap("child", child);
  get(fd, child);
  get(fd, child);
  SECTION("several at once");
  kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR2);
  SHOW(read(fd, many, sizeof many) / (long)sizeof *many);
  say("%s %s\n", signal_name(many[0].ssi_signo), signal_name(many[1].ssi_signo));
  SHOW(read(fd, many, 10));
  SHOW(write(fd, many, sizeof many));
  SECTION("another mask");
  sigemptyset(&more), sigaddset(&more, SIGUSR2);
  SHOW(signalfd(fd, &more, 0) == fd);
  kill(getpid(), SIGUSR1);
  SHOW(poll(&entry, 1, 0));
  sigset_t pending;
  sigpending(&pending);
  SHOW(sigismember(&pending, SIGUSR1));
  MUST(signalfd(fd, &set, 0));
  get(fd, getpid());
  SECTION("errors");
  int null = (int)MUST(open("/dev/null", O_RDWR));
  SHOW(signalfd(99, &set, 0));
  SHOW(signalfd(null, &set, 0));
  SHOW(signalfd(-1, &set, 1 << 20));
  SHOW(syscall(SYS_signalfd4, -1, &set, 4, 0));
  SECTION("blocking");
  int waiting = (int)MUST(signalfd(-1, &set, 0));
  child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(30);
    kill(getppid(), SIGUSR2);
    _exit(0);
  }
  get(waiting, child);
  reap("sender", child);
  return 0;
}
