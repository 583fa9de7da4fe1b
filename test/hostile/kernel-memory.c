/*
 * Bombs against the kernel's own memory: much of what is cheap for a guest to ask for and costs the kernel something to remember. Each
 * ends in the errno of its limit or at a bound of its own; then everything is let go. For a sandbox only: on Linux some of it would
 * take the machine's memory. The first argument names the bomb.
 */
#include "../syscalls/guest.h"
#include "hostile.h"
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/xattr.h>

static char block[1 << 20];

static void report(const char *what, long count, long most) {
  say("%s: %s\n", what, count < most ? errno_name(errno) : "no end");
  if (getenv("VERBOSE")) say("  %ld\n", count);
}

static void raise_files(rlim_t most) {
  struct rlimit both = {most, most};
  setrlimit(RLIMIT_NOFILE, &both);
}

/* Children that do something and stay until told to go. */
static int gate[2];
static void children(int count, void (*what)(int)) {
  int alive = 0;
  MUST(pipe(gate));
  for (int i = 0; i < count; i++) {
    pid_t child = fork();
    if (child == -1) {
      say("fork: %s\n", errno_name(errno));
      break;
    }
    alive++;
    if (child == 0) {
      char byte;
      close(gate[1]);
      what(i);
      read(gate[0], &byte, 1);
      _exit(0);
    }
  }
  sleep_ms(300);
  close(gate[0]), close(gate[1]);
  while (alive > 0 && wait(NULL) > 0) alive--;
}

static void many_files(void) {
  char name[64];
  long count = 0;
  for (; count < 2000000; count++) {
    snprintf(name, sizeof name, "f%ld", count);
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    if (fd == -1) break;
    close(fd);
  }
  report("empty files", count, 2000000);
}

static void small_files(void) {
  char name[64];
  long count = 0;
  for (; count < 2000000; count++) {
    snprintf(name, sizeof name, "s%ld", count);
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    if (fd == -1) break;
    ssize_t n = write(fd, block, 4096);
    close(fd);
    if (n != 4096) break;
  }
  report("files of a page", count, 2000000);
}

static void fill(void) {
  long count = 0;
  int fd = (int)MUST(open("filled", O_RDWR | O_CREAT, 0600));
  while (count < 20000 && write(fd, block, sizeof block) == sizeof block) count++;
  report("one big file", count, 20000);
  MUST(ftruncate(fd, 0));
  say("afterwards %zd\n", write(fd, block, 4096));
}

static void mapped(void) {
  int fd = (int)MUST(syscall(SYS_memfd_create, "sparse", 0));
  MUST(ftruncate(fd, 1L << 36));
  char *area = mmap(NULL, 1L << 36, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  say("mapping 64 GiB of a hole: %s\n", area == MAP_FAILED ? errno_name(errno) : "ok");
  int small = (int)MUST(syscall(SYS_memfd_create, "grows", 0));
  MUST(ftruncate(small, 4096));
  area = mmap(NULL, 1L << 36, PROT_READ | PROT_WRITE, MAP_SHARED, small, 0);
  say("mapping a page: %s\n", area == MAP_FAILED ? errno_name(errno) : "ok");
  say("making it 64 GiB: %s\n", ftruncate(small, 1L << 36) == -1 ? errno_name(errno) : "ok");
}

static void full_pipes(void) {
  int p[2];
  long bytes = 0;
  raise_files(20000);
  fcntl(0, F_SETFL, O_NONBLOCK);
  long count = 0;
  for (; count < 5000; count++) {
    if (pipe2(p, O_NONBLOCK) == -1) break;
    fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
    ssize_t n;
    while ((n = write(p[1], block, sizeof block)) > 0) bytes += n;
    if (errno != EAGAIN) break;
  }
  report("pipes", count, 5000);
  CHECK(bytes < 200L << 20);
}

static void full_sockets(void) {
  int p[2];
  long bytes = 0, count = 0;
  raise_files(20000);
  for (; count < 5000; count++) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == -1) break;
    ssize_t n;
    while ((n = write(p[1], block, 4000)) > 0) bytes += n;
    if (errno != EAGAIN) break;
  }
  report("sockets", count, 5000);
  CHECK(bytes < 200L << 20);
}

static void open_files(void) {
  long count = 0;
  raise_files(1 << 20);
  close(open("one", O_CREAT | O_WRONLY, 0600));
  while (count < 1 << 20 && open("one", O_RDONLY) >= 0) count++;
  report("open files", count, 1 << 20);
}

static void nothing(int i) { (void)i; }
static void high_descriptors(void) {
  raise_files(1 << 20);
  say("dup2 %d\n", dup2(0, (1 << 20) - 1));
  children(60, nothing);
}

static void queue_signals(int i) {
  (void)i;
  sigset_t all;
  long count = 0;
  sigfillset(&all), sigprocmask(SIG_BLOCK, &all, NULL);
  while (count < 100000 && sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}) == 0) count++;
}
static void make_timers(int i) {
  (void)i;
  timer_t timer;
  long count = 0;
  while (count < 100000 && timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0) count++;
}

static void areas(void) {
  char *base = mmap(NULL, 4096UL * 120000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (long i = 0; i < 30000; i++)
    if (mprotect(base + i * 8192, 4096, PROT_READ) == -1) break;
  children(60, nothing);
}

static void dentries(void) {
  char name[300];
  struct stat status;
  long missing = 0;
  for (long i = 0; i < 150000; i++) {
    memset(name, 'n', 240);
    snprintf(name + 240, 50, "%ld", i);
    missing += stat(name, &status) == -1 && errno == ENOENT;
  }
  say("names that are missing: %ld\n", missing);
}

static void watches(void) {
  char name[64];
  int fd = (int)MUST(inotify_init1(IN_NONBLOCK));
  long count = 0;
  for (; count < 100000; count++) {
    snprintf(name, sizeof name, "w%ld", count);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    if (inotify_add_watch(fd, name, IN_ALL_EVENTS) == -1) break;
  }
  report("watches", count, 100000);
}

static void events(void) {
  long queues = 0;
  raise_files(20000);
  while (queues < 3000) {
    int fd = inotify_init1(IN_NONBLOCK);
    if (fd == -1) break;
    if (inotify_add_watch(fd, ".", IN_ALL_EVENTS) == -1) break;
    queues++;
  }
  report("queues", queues, 3000);
  char name[256];
  memset(name, 'e', 250), name[250] = 0;
  for (int i = 0; i < 300; i++) close(open(name, O_CREAT | O_WRONLY, 0600)), unlink(name);
}

static void nests(void) {
  int previous = epoll_create1(0);
  long depth = 0;
  for (; depth < 1000; depth++) {
    struct epoll_event event = {.events = EPOLLIN};
    int next = epoll_create1(0);
    if (next == -1 || epoll_ctl(next, EPOLL_CTL_ADD, previous, &event) == -1) break;
    previous = next;
  }
  report("epoll in epoll", depth, 1000);
  /* A tree: each watches several of the next level, which multiplies the ways down. */
  raise_files(20000);
  int level[30] = {0};
  int p[2];
  MUST(pipe(p));
  for (int i = 0; i < 30; i++) level[i] = epoll_create1(0);
  int width = 0;
  for (int i = 0; i < 29; i++) {
    struct epoll_event event = {.events = EPOLLIN};
    for (int j = i + 1; j < 30 && j < i + 6; j++) width += epoll_ctl(level[i], EPOLL_CTL_ADD, level[j], &event) == 0;
  }
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(level[29], EPOLL_CTL_ADD, p[0], &event);
  for (int i = 0; i < 100; i++) write(p[1], "x", 1);
  say("tree made: %s\n", width > 10 ? "yes" : "no");
}

static void in_flight(void) {
  long count = 0;
  raise_files(20000);
  int file = open("flies", O_CREAT | O_RDWR, 0600), p[2] = {-1, -1};
  for (; count < 100000; count++) {
    if (count % 100 == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == -1) break;
    char control[CMSG_SPACE(100 * sizeof(int))] = {0}, byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(100 * sizeof(int));
    for (int i = 0; i < 100; i++) ((int *)CMSG_DATA(header))[i] = i % 2 ? file : p[0];
    if (sendmsg(p[1], &message, 0) == -1 && errno != EAGAIN) break;
  }
  report("files in flight", count, 100000);
}

static void attributes(void) {
  char name[64];
  long count = 0;
  memset(block, 'a', 60000);
  for (; count < 20000; count++) {
    snprintf(name, sizeof name, "x%ld", count);
    close(open(name, O_CREAT | O_WRONLY, 0600));
    if (setxattr(name, "user.a", block, 60000, 0) == -1) break;
  }
  report("extended attributes", count, 20000);
}

static void locks(void) {
  long total = 0;
  char name[64];
  raise_files(20000);
  for (int file = 0; file < 200; file++) {
    snprintf(name, sizeof name, "l%d", file);
    int fd = open(name, O_CREAT | O_RDWR, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int count = 0;
    for (; count < 500; count++) {
      lock.l_start = count * 2;
      if (fcntl(fd, F_SETLK, &lock) == -1) break;
    }
    total += count;
  }
  report("locks", total, 100000);
}

static void deep(void) {
  long depth = 0;
  for (; depth < 20000; depth++)
    if (mkdir("d", 0700) == -1 || chdir("d") == -1) break;
  report("directories", depth, 20000);
  char cwd[8192];
  say("getcwd %s\n", syscall(SYS_getcwd, cwd, sizeof cwd) == -1 ? errno_name(errno) : "ok");
  MUST(chdir("/"));
}

/* Removed directories that hold each other, down from one open descriptor. */
static void removed(void) {
  long depth = 0;
  for (; depth < 12000; depth++)
    if (mkdir("d", 0700) == -1 || chdir("d") == -1) break;
  int bottom = open(".", O_RDONLY);
  for (long i = 0; i < depth; i++)
    if (chdir("..") == -1 || rmdir("d") == -1) break;
  say("closed %d\n", close(bottom));
}

/* A file system taken away with a deep tree in it. */
static void unmounted(void) {
  MUST(mkdir("m", 0700));
  if (syscall(SYS_mount, "none", "m", "tmpfs", 0, NULL) == -1) {
    say("skipped\n");
    return;
  }
  MUST(chdir("m"));
  for (long depth = 0; depth < 12000; depth++)
    if (mkdir("d", 0700) == -1 || chdir("d") == -1) break;
  MUST(chdir("/"));
  char path[4096];
  snprintf(path, sizeof path, "%s/m", scratch_path);
  say("umount %ld\n", syscall(SYS_umount2, path, 2));
}

/* Sockets whose only reference lies in the queue of the next. */
static void chained(void) {
  int previous = open("chained", O_CREAT | O_RDWR, 0600), p[2];
  long count = 0;
  for (; count < 12000; count++) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == -1) break;
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
    *(int *)CMSG_DATA(header) = previous;
    if (sendmsg(p[1], &message, 0) == -1) break;
    close(previous), close(p[1]);
    previous = p[0];
  }
  report("chain", count, 12000);
  say("closed %d\n", close(previous));
}

static void links(void) {
  char target[64], name[64];
  struct stat status;
  for (int i = 0; i < 60; i++) snprintf(name, sizeof name, "link%d", i), snprintf(target, sizeof target, "link%d/../link%d", i + 1, i + 1), MUST(symlink(target, name));
  say("links that multiply: %s\n", stat("link0", &status) == -1 ? errno_name(errno) : "ok");
}

int main(int argc, char **argv) {
  static const struct { const char *name; void (*run)(void); } bombs[] = {
      {"many-files", many_files}, {"small-files", small_files}, {"fill", fill}, {"mapped", mapped}, {"full-pipes", full_pipes}, {"full-sockets", full_sockets},
      {"open-files", open_files}, {"high-descriptors", high_descriptors}, {"areas", areas}, {"dentries", dentries}, {"watches", watches}, {"events", events},
      {"nests", nests}, {"in-flight", in_flight}, {"attributes", attributes}, {"locks", locks}, {"deep", deep}, {"links", links},
      {"removed", removed}, {"unmounted", unmounted}, {"chained", chained}};
  begin();
  only_inside();
  scratch();
  const char *which = argc > 1 ? argv[1] : "";
  if (strcmp(which, "signals") == 0) children(60, queue_signals);
  if (strcmp(which, "timers") == 0) children(60, make_timers);
  CHILD_BEGIN
  for (size_t i = 0; i < COUNT(bombs); i++)
    if (strcmp(which, bombs[i].name) == 0) bombs[i].run();
  CHILD_END("bomb");
  CHILD_BEGIN
  put_file("after", "yes", 0644);
  say("afterwards: %s\n", get_file("after"));
  CHILD_END("an ordinary child");
  return 0;
}
