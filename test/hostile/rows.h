/*
 * What the guests that are fed with the system call table share: reading the table (see row-table.ts), descriptors and memory of every
 * kind for its arguments, and a watched worker that makes the calls.
 *
 * Idea: a worker process makes calls and notes its progress in shared memory. A call that kills it, stops it or keeps it waiting ends
 * that worker; a fresh one goes on with the next call. Nothing here may run outside a sandbox: see only_inside().
 */
#ifndef ROWS_H
#define ROWS_H

#include "../syscalls/guest.h"
#include "hostile.h"
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define PAGE 4096L
#define ROWS_MAX 512
#define ARGUMENTS_MAX 6
#define NO_VALUE LONG_MIN

enum kind { INT, WIDE, ADDR, PID, SIGNAL, DIRFD, FD, PATH, POINTER };

struct argument {
  enum kind kind;
  int fd;          /* FD: which of ours suits */
  int out, in;     /* POINTER: what the kernel does with it */
  long size;       /* POINTER: bytes it touches at least */
  long fixed;      /* a value that makes the call succeed, or NO_VALUE */
  char place[16];  /* PATH: one of ours by name, or empty */
};
struct row {
  int nr, count;
  char name[40];
  struct argument arguments[ARGUMENTS_MAX];
};
static struct row rows[ROWS_MAX];
static int row_count;

/* Descriptors of every kind, always at the same numbers. */
enum { FILE_FD = 10, DIRECTORY_FD, PIPE_IN, PIPE_OUT, SOCKET_FD, PEER_FD, DATAGRAM_FD, EPOLL_FD, EVENT_FD, TIMER_FD, INOTIFY_FD, PIDFD, MEMFD, PROC_FD, ZERO_FD, PTMX_FD, PATH_FD, LISTEN_FD, LAST_FD };

static const struct { const char *name; int fd; } descriptor_names[] = {
    {"file", FILE_FD}, {"socket", SOCKET_FD}, {"epoll", EPOLL_FD}, {"timer", TIMER_FD}, {"inotify", INOTIFY_FD}, {"pidfd", PIDFD}, {"directory", DIRECTORY_FD}};

static void parse_argument(struct argument *a, char *word) {
  char *fixed = strchr(word, '=');
  a->fixed = NO_VALUE;
  if (fixed) {
    *fixed++ = 0;
    if (*fixed == '-' || (*fixed >= '0' && *fixed <= '9')) a->fixed = atol(fixed);
    else snprintf(a->place, sizeof a->place, "%s", fixed);
  }
  if (strncmp(word, "pointer:", 8) == 0) {
    a->kind = POINTER;
    a->in = strstr(word, ":in") != NULL, a->out = strstr(word, "out:") != NULL;
    a->size = atol(strchr(word + 8, ':') + 1);
    return;
  }
  static const struct { const char *name; enum kind kind; } kinds[] = {{"int", INT}, {"wide", WIDE}, {"addr", ADDR}, {"pid", PID}, {"signal", SIGNAL}, {"dirfd", DIRFD}, {"path", PATH}};
  for (size_t i = 0; i < COUNT(kinds); i++)
    if (strcmp(word, kinds[i].name) == 0) {
      a->kind = kinds[i].kind;
      return;
    }
  a->kind = FD, a->fd = FILE_FD;
  for (size_t i = 0; i < COUNT(descriptor_names); i++)
    if (strcmp(word, descriptor_names[i].name) == 0) a->fd = descriptor_names[i].fd;
}

/* From standard input. */
static void read_rows(void) {
  char line[512];
  while (row_count < ROWS_MAX && fgets(line, sizeof line, stdin)) {
    struct row *row = &rows[row_count];
    char *word = strtok(line, " \n");
    if (!word) continue;
    row->nr = atoi(word);
    if (!(word = strtok(NULL, " \n"))) continue;
    snprintf(row->name, sizeof row->name, "%s", word);
    while (row->count < ARGUMENTS_MAX && (word = strtok(NULL, " \n"))) parse_argument(&row->arguments[row->count++], word);
    row_count++;
  }
  if (row_count < 100) {
    say("the table of rows is missing on standard input\n");
    exit(1);
  }
}

static char *good, *read_only, *edge, *unmapped, *no_access;

static void prepare_memory(void) {
  good = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  read_only = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  no_access = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *two = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(two + PAGE, 2 * PAGE);
  edge = two + PAGE - 1, unmapped = two + 2 * PAGE;
}

static void keep_as(int fd, int number) {
  if (fd == -1 || fd == number) return;
  dup2(fd, number);
  close(fd);
}

static void open_everything(void) {
  int p[2];
  keep_as(open("/dev/null", O_RDWR), 0), dup2(0, 1), dup2(0, 2);
  keep_as(open("rows-file", O_RDWR | O_CREAT, 0666), FILE_FD);
  if (pwrite(FILE_FD, "some bytes to be read", 21, 0) == -1) return;
  mkdir("rows-directory", 0777);
  symlink("rows-file", "rows-link");
  syscall(SYS_fsetxattr, FILE_FD, "user.rows", "x", 1, 0);
  timer_t timer;
  syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &timer);
  keep_as(open(".", O_RDONLY | O_DIRECTORY), DIRECTORY_FD);
  if (pipe2(p, O_NONBLOCK) == 0) keep_as(p[0], PIPE_IN), keep_as(p[1], PIPE_OUT);
  if (write(PIPE_OUT, "bytes", 5) == -1) return;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == 0) keep_as(p[0], SOCKET_FD), keep_as(p[1], PEER_FD);
  if (write(PEER_FD, "bytes", 5) == -1) return;
  keep_as(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), DATAGRAM_FD);
  keep_as(epoll_create1(0), EPOLL_FD);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(EPOLL_FD, EPOLL_CTL_ADD, PIPE_IN, &event);
  keep_as(eventfd(1, EFD_NONBLOCK), EVENT_FD);
  keep_as(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), TIMER_FD);
  keep_as(inotify_init1(IN_NONBLOCK), INOTIFY_FD);
  keep_as((int)syscall(SYS_pidfd_open, getpid(), 0), PIDFD);
  keep_as((int)syscall(SYS_memfd_create, "rows", 3), MEMFD);
  keep_as(open("/proc/self/status", O_RDONLY), PROC_FD);
  keep_as(open("/dev/zero", O_RDWR), ZERO_FD);
  keep_as(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK), PTMX_FD);
  keep_as(open("/", O_PATH), PATH_FD);
  int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  listen(listening, 3);
  keep_as(listening, LISTEN_FD);
}

struct progress {
  volatile int at;
  volatile long results[4096];
};
static struct progress *progress;

/* Waits for the worker as long as it makes progress; false when it had to be killed. */
static int watch(pid_t worker, int most_ms) {
  int last = -1, waited = 0, status;
  for (;;) {
    pid_t got = waitpid(worker, &status, WNOHANG | __WALL);
    if (got == worker || (got == -1 && errno == ECHILD)) return 1;
    if (progress->at == last && waited > most_ms) break;
    if (progress->at != last) last = progress->at, waited = 0;
    int step = waited < 5 ? 1 : 5;
    sleep_ms(step);
    waited += step;
  }
  kill(worker, SIGKILL);
  waitpid(worker, &status, __WALL);
  return 0;
}

/* An ordinary child after all that. */
static int still_works(void) {
  pid_t child = fork();
  if (child == 0) _exit(42);
  int status = 0;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) continue;
  return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

#endif
