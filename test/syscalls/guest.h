/*
 * The harness of the guest programs: prints results in a form that is the same on every run and every machine.
 *
 * Idea: a guest program is its own oracle. It runs on Linux first, then inside the sandbox, and the two outputs are
 * compared byte by byte. So nothing may be printed that differs between two runs on Linux: no pids, addresses, times
 * or inode numbers, only results, errno names and relations ("child > 0: yes").
 *
 * Sequence: begin() in main; SHOW(call) and CHECK(condition); CHILD_BEGIN … CHILD_END; return 0.
 * Output goes through one write(2) a line, without stdio, so that fork never doubles a buffer.
 */
#ifndef GUEST_H
#define GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Bad pointers and lengths are the point of many tests: the compiler's warnings about them would forbid the test. */
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Warray-bounds"
#pragma GCC diagnostic ignored "-Wunused-result"

#define MAYBE __attribute__((unused))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static MAYBE const char *errno_name(int number) {
  static const char *const names[] = {
      [EPERM] = "EPERM", [ENOENT] = "ENOENT", [ESRCH] = "ESRCH", [EINTR] = "EINTR", [EIO] = "EIO", [ENXIO] = "ENXIO",
      [E2BIG] = "E2BIG", [ENOEXEC] = "ENOEXEC", [EBADF] = "EBADF", [ECHILD] = "ECHILD", [EAGAIN] = "EAGAIN",
      [ENOMEM] = "ENOMEM", [EACCES] = "EACCES", [EFAULT] = "EFAULT", [ENOTBLK] = "ENOTBLK", [EBUSY] = "EBUSY",
      [EEXIST] = "EEXIST", [EXDEV] = "EXDEV", [ENODEV] = "ENODEV", [ENOTDIR] = "ENOTDIR", [EISDIR] = "EISDIR",
      [EINVAL] = "EINVAL", [ENFILE] = "ENFILE", [EMFILE] = "EMFILE", [ENOTTY] = "ENOTTY", [ETXTBSY] = "ETXTBSY",
      [EFBIG] = "EFBIG", [ENOSPC] = "ENOSPC", [ESPIPE] = "ESPIPE", [EROFS] = "EROFS", [EMLINK] = "EMLINK",
      [EPIPE] = "EPIPE", [EDOM] = "EDOM", [ERANGE] = "ERANGE", [EDEADLK] = "EDEADLK", [ENAMETOOLONG] = "ENAMETOOLONG",
      [ENOLCK] = "ENOLCK", [ENOSYS] = "ENOSYS", [ENOTEMPTY] = "ENOTEMPTY", [ELOOP] = "ELOOP", [ENODATA] = "ENODATA",
      [ETIME] = "ETIME", [EPROTO] = "EPROTO", [EBADMSG] = "EBADMSG", [EOVERFLOW] = "EOVERFLOW",
      [ENOTSOCK] = "ENOTSOCK", [EDESTADDRREQ] = "EDESTADDRREQ", [EMSGSIZE] = "EMSGSIZE", [EPROTOTYPE] = "EPROTOTYPE",
      [ENOPROTOOPT] = "ENOPROTOOPT", [EPROTONOSUPPORT] = "EPROTONOSUPPORT", [ESOCKTNOSUPPORT] = "ESOCKTNOSUPPORT",
      [EOPNOTSUPP] = "EOPNOTSUPP", [EAFNOSUPPORT] = "EAFNOSUPPORT", [EADDRINUSE] = "EADDRINUSE",
      [EADDRNOTAVAIL] = "EADDRNOTAVAIL", [ECONNABORTED] = "ECONNABORTED", [ECONNRESET] = "ECONNRESET",
      [ENOBUFS] = "ENOBUFS", [EISCONN] = "EISCONN", [ENOTCONN] = "ENOTCONN", [ETOOMANYREFS] = "ETOOMANYREFS",
      [ETIMEDOUT] = "ETIMEDOUT", [ECONNREFUSED] = "ECONNREFUSED", [EALREADY] = "EALREADY",
      [EINPROGRESS] = "EINPROGRESS", [ESTALE] = "ESTALE", [EDQUOT] = "EDQUOT", [ECANCELED] = "ECANCELED",
      [EOWNERDEAD] = "EOWNERDEAD", [ENOTRECOVERABLE] = "ENOTRECOVERABLE",
  };
  static char unknown[24];
  if (number == 0) return "0";
  if (number > 0 && (size_t)number < COUNT(names) && names[number]) return names[number];
  snprintf(unknown, sizeof unknown, "errno%d", number);
  return unknown;
}

static MAYBE const char *signal_name(int number) {
  static const char *const names[] = {
      "0",       "SIGHUP",  "SIGINT",  "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT",   "SIGBUS",
      "SIGFPE",  "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM",   "SIGTERM",
      "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU",   "SIGURG",
      "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",  "SIGPWR",    "SIGSYS",
  };
  static char realtime[16];
  if (number >= 0 && (size_t)number < COUNT(names)) return names[number];
  snprintf(realtime, sizeof realtime, "SIG%d", number);
  return realtime;
}

/* One line, one write: lines of different processes never mix. */
static MAYBE __attribute__((format(printf, 1, 2))) void say(const char *format, ...) {
  char line[4096];
  int saved = errno;
  va_list list;
  va_start(list, format);
  int length = vsnprintf(line, sizeof line, format, list);
  va_end(list);
  if (length > (int)sizeof line - 1) length = sizeof line - 1;
  for (int done = 0; done < length;) {
    ssize_t n = write(1, line + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(99);
    done += n;
  }
  errno = saved;
}

static MAYBE long show_value(const char *text, long value) {
  if (value == -1 && errno != 0) say("%s = -1 %s\n", text, errno_name(errno));
  else say("%s = %ld\n", text, value);
  return value;
}

/* The call as written in the source, and its result: a number, or -1 and the errno name. */
#define SHOW(call) (errno = 0, show_value(#call, (long)(call)))
/* Only whether it worked: for results that are not the same on every run. */
#define SHOW_OK(call) \
  do { \
    errno = 0; \
    long result_ = (long)(call); \
    if (result_ == -1) say("%s = -1 %s\n", #call, errno_name(errno)); \
    else say("%s: ok\n", #call); \
  } while (0)
#define CHECK(condition) say("%s: %s\n", #condition, (condition) ? "yes" : "no")
#define SECTION(title) say("-- %s\n", title)

/* For calls a test cannot go on without: ends the program with the errno name. */
#define MUST(call) must_((long)(call), #call)
static MAYBE long must_(long value, const char *text) {
  if (value == -1) {
    say("FATAL %s: %s\n", text, errno_name(errno));
    exit(98);
  }
  return value;
}

static MAYBE void show_status(const char *who, int status) {
  if (WIFEXITED(status)) say("%s: exited %d\n", who, WEXITSTATUS(status));
  else if (WIFSIGNALED(status)) say("%s: killed by %s\n", who, signal_name(WTERMSIG(status)));
  else if (WIFSTOPPED(status)) say("%s: stopped by %s\n", who, signal_name(WSTOPSIG(status)));
  else if (WIFCONTINUED(status)) say("%s: continued\n", who);
  else say("%s: status %#x\n", who, status);
}

static MAYBE void reap(const char *who, pid_t pid) {
  int status;
  pid_t got;
  while ((got = waitpid(pid, &status, 0)) == -1 && errno == EINTR) continue;
  if (got > 0) show_status(who, status);
  else say("%s: waitpid: %s\n", who, errno_name(errno));
}

/* CHILD_BEGIN … CHILD_END("name"): the code between runs in a forked child, whose end is then reported. */
#define CHILD_BEGIN \
  do { \
    pid_t child_ = (pid_t)MUST(fork()); \
    if (child_ == 0) {
#define CHILD_END(who) \
  _exit(0); \
  } \
  reap(who, child_); \
  } \
  while (0)

static MAYBE int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static MAYBE void sleep_ms(int ms) {
  struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
  while (nanosleep(&left, &left) == -1 && errno == EINTR) continue;
}

/* ---- the scratch directory ---- */

static char scratch_path[4096];
static pid_t scratch_owner;

static MAYBE int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
  (void)st, (void)walk;
  if (type == FTW_DP) rmdir(path);
  else unlink(path);
  return 0;
}

static MAYBE int scratch_open_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
  (void)st, (void)walk;
  if (type == FTW_D || type == FTW_DNR) chmod(path, 0700);
  return 0;
}

static MAYBE void scratch_remove(void) {
  if (getpid() != scratch_owner || chdir("/") != 0) return;
  nftw(scratch_path, scratch_open_one, 16, FTW_PHYS);
  nftw(scratch_path, scratch_remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

/* Makes a directory of its own below $TMPDIR or /tmp, goes there, and removes it at exit. */
static MAYBE void scratch(void) {
  const char *base = getenv("TMPDIR");
  snprintf(scratch_path, sizeof scratch_path, "%s/guest-XXXXXX", base && *base ? base : "/tmp");
  if (!mkdtemp(scratch_path)) MUST(-1);
  char real[4096];
  if (realpath(scratch_path, real)) strcpy(scratch_path, real);
  scratch_owner = getpid();
  MUST(chmod(scratch_path, 0755));
  MUST(chdir(scratch_path));
  atexit(scratch_remove);
}

/* A known start: only 0, 1, 2 open, umask 022, no blocked signal, SIGPIPE at its default. */
static MAYBE void begin(void) {
  if (syscall(SYS_close_range, 3, ~0U, 0) != 0)
    for (int fd = 3; fd < 64; fd++) close(fd);
  umask(022);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  errno = 0;
}

/* An ordinary user for permission checks: root becomes nobody (65534), anybody else stays. */
static MAYBE void become_ordinary(void) {
  if (getuid() != 0) return;
  if (syscall(SYS_setgroups, 0, NULL) != 0) say("setgroups: %s\n", errno_name(errno));
  MUST(syscall(SYS_setresgid, 65534, 65534, 65534));
  MUST(syscall(SYS_setresuid, 65534, 65534, 65534));
}

static MAYBE void put_file(const char *name, const char *text, mode_t mode) {
  int fd = (int)MUST(open(name, O_WRONLY | O_CREAT | O_TRUNC, mode));
  size_t length = strlen(text);
  MUST(write(fd, text, length));
  MUST(fchmod(fd, mode));
  close(fd);
}

/* The contents of a small file, or "?" and the errno name. Not to be kept: one static buffer. */
static MAYBE const char *get_file(const char *name) {
  static char text[65536];
  int fd = open(name, O_RDONLY);
  if (fd < 0) {
    snprintf(text, sizeof text, "?%s", errno_name(errno));
    return text;
  }
  size_t length = 0;
  ssize_t n;
  while (length < sizeof text - 1 && (n = read(fd, text + length, sizeof text - 1 - length)) > 0) length += n;
  text[length] = 0;
  close(fd);
  return text;
}

#endif
