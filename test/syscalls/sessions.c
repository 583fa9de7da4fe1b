/*
 * Process groups, sessions and the controlling terminal: setpgid(2), setsid(2), getsid(2), TIOCSCTTY, TIOCSPGRP,
 * background reads and writes, orphaned groups. See credentials(7), tty_ioctl(4).
 */
#include "guest.h"
#include <sys/ioctl.h>
#include <termios.h>

static int master = -1;
static char terminal[64];

static void open_terminal(void) {
  int unlock = 0, number = -1;
  master = (int)MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  MUST(ioctl(master, TIOCSPTLCK, &unlock));
  MUST(ioctl(master, TIOCGPTN, &number));
  snprintf(terminal, sizeof terminal, "/dev/pts/%d", number);
}

static void groups(void) {
  SECTION("process groups");
  CHILD_BEGIN
  CHECK(getpgrp() == getpgid(0));
  CHECK(getpgid(getpid()) == getpgrp());
  SHOW(setpgid(0, 0));
  CHECK(getpgrp() == getpid());
  SHOW(setpgid(0, 0));
  SHOW(setpgid(0, -1));
  SHOW(setpgid(0, 1 << 22));
  SHOW(setpgid(1 << 22, 0));
  SHOW(getpgid(1 << 22));
  SHOW(getsid(1 << 22));
  SHOW(setpgid(getppid(), 0));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    for (;;) pause();
  }
  CHECK(getpgid(child) == getpid());
  SHOW(setpgid(child, child));
  CHECK(getpgid(child) == child);
  SHOW(setpgid(child, getpgrp()));
  SHOW(kill(0, 0));
  SHOW(kill(-(1 << 22), SIGTERM));
  kill(child, SIGKILL);
  reap("grandchild", child);
  CHILD_END("child");
}

static void sessions(void) {
  SECTION("sessions");
  CHILD_BEGIN
  CHECK(getsid(0) != getpid());
  CHECK(setsid() == getpid());
  CHECK(getsid(0) == getpid() && getpgrp() == getpid());
  SHOW(setsid());
  SHOW(setpgid(0, 0));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    CHECK(getsid(0) == getppid());
    CHECK(setsid() == getpid());
    _exit(0);
  }
  reap("grandchild", child);
  SHOW(open("/dev/tty", O_RDWR));
  CHILD_END("child");
}

static void controlling(void) {
  SECTION("controlling terminal");
  open_terminal();
  CHILD_BEGIN
  MUST(setsid());
  int quiet = (int)MUST(open(terminal, O_RDWR | O_NOCTTY));
  SHOW(open("/dev/tty", O_RDWR));
  SHOW(tcgetpgrp(quiet));
  SHOW(ioctl(quiet, TIOCSCTTY, 0));
  int tty = (int)MUST(open("/dev/tty", O_RDWR));
  CHECK(tcgetpgrp(tty) == getpid());
  CHECK(tcgetsid(tty) == getpid());
  SHOW(isatty(tty));
  SHOW(tcsetpgrp(tty, 1 << 22));
  SHOW(tcsetpgrp(tty, getppid()));

  /* A background writer with TOSTOP, and a background reader, are stopped; in the foreground they go on. */
  int status;
  signal(SIGTTOU, SIG_IGN);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    setpgid(0, 0);
    signal(SIGTTOU, SIG_DFL);
    char line[32];
    long n = read(tty, line, sizeof line);
    say("background reader got %ld\n", n);
    _exit(0);
  }
  setpgid(child, child);
  MUST(waitpid(child, &status, WUNTRACED));
  show_status("background reader", status);
  SHOW(tcsetpgrp(tty, child));
  CHECK(tcgetpgrp(tty) == child);
  MUST(write(master, "line\n", 5));
  kill(-child, SIGCONT);
  reap("reader", child);
  SHOW(tcsetpgrp(tty, getpgrp()));

  child = (pid_t)MUST(fork());
  if (child == 0) {
    setpgid(0, 0);
    signal(SIGTTOU, SIG_DFL);
    tcsetpgrp(tty, getpid());
    say("tcsetpgrp went on\n");
    _exit(0);
  }
  setpgid(child, child);
  MUST(waitpid(child, &status, WUNTRACED));
  show_status("background tcsetpgrp", status);
  kill(child, SIGKILL);
  reap("it", child);

  child = (pid_t)MUST(fork());
  if (child == 0) {
    setpgid(0, 0);
    signal(SIGTTIN, SIG_IGN);
    SHOW(read(tty, &(char){0}, 1));
    _exit(0);
  }
  reap("background reader that ignores SIGTTIN", child);

  SHOW(ioctl(tty, TIOCNOTTY));
  CHILD_END("session leader");
}

static int hups, conts;
static void on_hup(int number) { hups += number == SIGHUP; }
static void on_cont(int number) { conts += number == SIGCONT; }

/* When the leader dies the foreground group gets SIGHUP, and a stopped orphaned group gets SIGHUP and SIGCONT. */
static void hanging_up(void) {
  SECTION("the leader dies");
  int report[2];
  MUST(pipe(report));
  pid_t leader = (pid_t)MUST(fork());
  if (leader == 0) {
    MUST(setsid());
    MUST(open(terminal, O_RDWR));
    int ready[2];
    MUST(pipe(ready));
    if (fork() == 0) {
      signal(SIGHUP, on_hup);
      MUST(write(ready[1], "r", 1));
      for (int i = 0; i < 2000 && hups == 0; i++) sleep_ms(1);
      int tty = open("/dev/tty", O_RDWR);
      char line[128];
      int n = snprintf(line, sizeof line, "foreground member: SIGHUP %d, /dev/tty %s\n", hups, tty < 0 ? errno_name(errno) : "open");
      MUST(write(report[1], line, n));
      _exit(0);
    }
    MUST(read(ready[0], &(char){0}, 1));
    _exit(0);
  }
  reap("leader", leader);
  close(report[1]);
  char text[256] = "";
  MUST(read(report[0], text, sizeof text - 1));
  say("%s", text);
  close(report[0]);

  SECTION("an orphaned stopped group");
  MUST(pipe(report));
  pid_t parent = (pid_t)MUST(fork());
  if (parent == 0) {
    pid_t child = fork();
    if (child == 0) {
      setpgid(0, 0);
      signal(SIGHUP, on_hup), signal(SIGCONT, on_cont);
      raise(SIGSTOP);
      char line[64];
      int n = snprintf(line, sizeof line, "woken by SIGHUP %d and SIGCONT %d\n", hups, conts);
      MUST(write(report[1], line, n));
      _exit(0);
    }
    int status;
    MUST(waitpid(child, &status, WUNTRACED));
    _exit(0);
  }
  reap("parent", parent);
  close(report[1]);
  memset(text, 0, sizeof text);
  MUST(read(report[0], text, sizeof text - 1));
  say("%s", text);
}

int main(void) {
  begin();
  groups();
  sessions();
  controlling();
  hanging_up();
  return 0;
}
