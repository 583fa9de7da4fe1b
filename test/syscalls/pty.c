/*
 * Pseudo-terminals: line discipline (canonical, raw, echo, erase, kill, end of file), signals from control
 * characters, window size, flow, hang-up. See pty(7), termios(3).
 */
#include "guest.h"
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;

static void escape(char *out, const char *in, long n) {
  for (long i = 0; i < n; i++) {
    unsigned char c = (unsigned char)in[i];
    if (c == '\n') out += sprintf(out, "\\n");
    else if (c == '\r') out += sprintf(out, "\\r");
    else if (c < 32 || c > 126) out += sprintf(out, "\\x%02x", c);
    else *out++ = (char)c;
  }
  *out = 0;
}

/* What can be read now, after the other side had a moment to arrive. */
static void show_read(const char *what, int fd) {
  char buffer[512], text[2100];
  struct pollfd entry = {.fd = fd, .events = POLLIN};
  if (poll(&entry, 1, 50) == 0) {
    say("%s: nothing\n", what);
    return;
  }
  long n = read(fd, buffer, sizeof buffer), more;
  /* The master is a stream: what Linux moves there in two steps is one text. A read of the slave is one line. */
  while (fd == master && n > 0 && n < (long)sizeof buffer && poll(&entry, 1, 15) > 0 && (more = read(fd, buffer + n, sizeof buffer - n)) > 0) n += more;
  if (n < 0) {
    say("%s: %s\n", what, errno_name(errno));
    return;
  }
  escape(text, buffer, n);
  say("%s: %ld \"%s\"\n", what, n, text);
}

static void type(const char *keys) { MUST(write(master, keys, strlen(keys))); }

static void canonical(void) {
  SECTION("canonical mode");
  type("hello\r");
  show_read("echo", master);
  show_read("line", slave);
  type("partial");
  show_read("echo", master);
  show_read("no line yet", slave);
  type("\x7f\x7fX\r");
  show_read("echo of erase", master);
  show_read("edited line", slave);
  type("wrong\x15right\r");
  show_read("echo of kill", master);
  show_read("line after kill", slave);
  type("one two\x17three\r");
  show_read("echo of word erase", master);
  show_read("line after word erase", slave);
  type("\x04");
  show_read("end of file", slave);
  type("no newline\x04");
  show_read("pushed by ^D", slave);
  show_read("echo", master);
  type("a\x16\x03" "b\r");
  show_read("literal next", slave);
  show_read("echo", master);
  type("first\rsecond\r");
  char buffer[3];
  SHOW(read(slave, buffer, 3));
  show_read("rest of the first line", slave);
  show_read("second line", slave);
  show_read("echo", master);
  MUST(write(slave, "out\n", 4));
  show_read("output", master);
  int waiting = -1;
  type("count\r");
  MUST(poll(&(struct pollfd){.fd = slave, .events = POLLIN}, 1, 1000));
  SHOW(ioctl(slave, FIONREAD, &waiting));
  SHOW(waiting);
  SHOW(tcflush(slave, TCIFLUSH));
  show_read("flushed", slave);
  show_read("echo", master);
}

static void raw(void) {
  struct termios saved, now;
  SECTION("raw mode");
  SHOW(tcgetattr(slave, &saved));
  now = saved;
  cfmakeraw(&now);
  SHOW(tcsetattr(slave, TCSANOW, &now));
  type("a\r\x03\x04");
  show_read("bytes as they are", slave);
  show_read("no echo", master);
  MUST(write(slave, "x\n", 2));
  show_read("no output processing", master);
  now.c_cc[VMIN] = 3, now.c_cc[VTIME] = 0;
  MUST(tcsetattr(slave, TCSANOW, &now));
  type("12");
  struct pollfd entry = {.fd = slave, .events = POLLIN};
  SHOW(poll(&entry, 1, 10));
  type("3");
  show_read("VMIN 3", slave);
  now.c_cc[VMIN] = 0, now.c_cc[VTIME] = 1;
  MUST(tcsetattr(slave, TCSANOW, &now));
  char byte;
  int64_t start = now_ms();
  SHOW(read(slave, &byte, 1));
  CHECK(now_ms() - start >= 80);
  now.c_cc[VTIME] = 0;
  MUST(tcsetattr(slave, TCSANOW, &now));
  SHOW(read(slave, &byte, 1));
  SHOW(tcsetattr(slave, TCSAFLUSH, &saved));
  now = saved;
  now.c_lflag &= ~ECHO;
  MUST(tcsetattr(slave, TCSANOW, &now));
  type("secret\r");
  show_read("without echo", master);
  show_read("line", slave);
  now.c_lflag |= ECHO, now.c_lflag &= ~ICANON, now.c_cc[VMIN] = 1;
  MUST(tcsetattr(slave, TCSANOW, &now));
  type("k");
  show_read("key at once", slave);
  show_read("echo", master);
  MUST(tcsetattr(slave, TCSANOW, &saved));
}

static volatile int winches, interrupts, quits, stops, hups;
static void on_signal(int number) {
  winches += number == SIGWINCH, interrupts += number == SIGINT, quits += number == SIGQUIT, stops += number == SIGTSTP, hups += number == SIGHUP;
}

static void signals(void) {
  SECTION("control characters and window size");
  int go[2], done[2];
  MUST(pipe(go)), MUST(pipe(done));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    char byte;
    close(master);
    MUST(setsid());
    MUST(ioctl(slave, TIOCSCTTY, 0));
    static const int numbers[] = {SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < COUNT(numbers); i++) sigaction(numbers[i], &action, NULL);
    MUST(write(done[1], "r", 1));
    MUST(read(go[0], &byte, 1));
    for (int i = 0; i < 1000 && !(interrupts && quits && stops && winches); i++) sleep_ms(1);
    say("child: INT %d QUIT %d TSTP %d WINCH %d\n", interrupts, quits, stops, winches);
    struct winsize size;
    MUST(ioctl(slave, TIOCGWINSZ, &size));
    say("child: %d rows %d columns\n", size.ws_row, size.ws_col);
    MUST(write(done[1], "r", 1));
    MUST(read(go[0], &byte, 1));
    for (int i = 0; i < 1000 && hups == 0; i++) sleep_ms(1);
    say("child: HUP %d\n", hups);
    SHOW(read(slave, &byte, 1));
    SHOW(write(slave, "x", 1));
    struct termios attributes;
    SHOW(tcgetattr(slave, &attributes));
    _exit(0);
  }
  char byte;
  MUST(read(done[0], &byte, 1));
  /* Nothing typed before it: a signal throws the queues away, and whether an echo has left them by then is a race. */
  type("\x03");
  sleep_ms(20);
  type("\x1c");
  sleep_ms(20);
  type("\x1a");
  sleep_ms(20);
  struct winsize size = {50, 120, 0, 0};
  SHOW(ioctl(master, TIOCSWINSZ, &size));
  SHOW(ioctl(master, TIOCSWINSZ, &size));
  MUST(write(go[1], "g", 1));
  MUST(read(done[0], &byte, 1));
  show_read("echo of the control characters", master);
  CHECK(tcgetpgrp(master) == child);
  close(slave);
  close(master);
  MUST(write(go[1], "g", 1));
  reap("child", child);
}

static void ends(void) {
  SECTION("closing");
  MUST(openpty(&master, &slave, NULL, NULL, NULL));
  MUST(write(slave, "last words", 10));
  close(slave);
  show_read("what was written before", master);
  show_read("no slave", master);
  struct pollfd entry = {.fd = master, .events = POLLIN};
  MUST(poll(&entry, 1, 0));
  CHECK((entry.revents & POLLHUP) != 0);
  char name[64];
  MUST(ptsname_r(master, name, sizeof name));
  slave = (int)MUST(open(name, O_RDWR | O_NOCTTY));
  MUST(write(slave, "again", 5));
  show_read("opened again", master);
  close(master);
  show_read("no master", slave);
  SHOW(write(slave, "x", 1));
  SHOW(open(name, O_RDWR | O_NOCTTY) == -1);
  close(slave);
}

int main(void) {
  char name[64];
  struct winsize size = {24, 80, 0, 0};
  begin();
  SECTION("openpty");
  SHOW(openpty(&master, &slave, NULL, NULL, &size));
  CHECK(ptsname_r(master, name, sizeof name) == 0 && strncmp(name, "/dev/pts/", 9) == 0);
  SHOW(isatty(master));
  SHOW(isatty(slave));
  struct stat st;
  MUST(fstat(slave, &st));
  CHECK(S_ISCHR(st.st_mode) && st.st_uid == getuid());
  memset(&size, 0, sizeof size);
  SHOW(ioctl(slave, TIOCGWINSZ, &size));
  say("%d rows %d columns\n", size.ws_row, size.ws_col);
  int available = -1;
  SHOW(ioctl(slave, TIOCOUTQ, &available));
  struct termios attributes;
  MUST(tcgetattr(slave, &attributes));
  say("iflag %o oflag %o lflag %o\n", attributes.c_iflag, attributes.c_oflag, attributes.c_lflag);
  canonical();
  raw();
  signals();
  ends();
  return 0;
}
