/*
 * Bombs: a guest that asks for more and more of one thing gets the errno that Linux gives at the limit, and everything works
 * again when it has let go. The first argument names the bomb.
 */
#include "../syscalls/guest.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static void limit(int resource, rlim_t value) {
  struct rlimit both = {value, value};
  MUST(setrlimit(resource, &both));
}

static void aftermath(void) {
  CHILD_BEGIN
  put_file("after", "yes", 0644);
  say("afterwards: %s\n", get_file("after"));
  CHILD_END("an ordinary child");
}

/* Children that stay, until fork fails. RLIMIT_NPROC counts for ordinary users only. */
static void fork_bomb(int most) {
  CHILD_BEGIN
  int gate[2], count = 0;
  MUST(pipe(gate));
  if (most > 0) {
    become_ordinary();
    limit(RLIMIT_NPROC, most);
  }
  for (; count < 100000; count++) {
    pid_t child = fork();
    if (child == -1) break;
    if (child == 0) {
      close(gate[1]);
      char byte;
      read(gate[0], &byte, 1);
      _exit(0);
    }
  }
  say("fork ends with %s\n", errno_name(errno));
  CHECK(count > 0 && count < 100000);
  close(gate[0]), close(gate[1]);
  int reaped = 0;
  while (wait(NULL) > 0) reaped++;
  CHECK(reaped == count);
  CHILD_END("bomb");
}

/* Each child forks again: the number grows by itself, and ends when everybody failed or left. */
static void fork_tree(void) {
  CHILD_BEGIN
  MUST(setsid());
  become_ordinary();
  limit(RLIMIT_NPROC, 60);
  for (int i = 0; i < 12; i++) fork();
  sleep_ms(100);
  _exit(0);
  CHILD_END("tree");
  sleep_ms(500);
}

static void *sleeper(void *argument) {
  char byte;
  read((int)(long)argument, &byte, 1);
  return NULL;
}

static void thread_bomb(void) {
  CHILD_BEGIN
  int gate[2], count = 0, error = 0;
  MUST(pipe(gate));
  become_ordinary();
  limit(RLIMIT_NPROC, 80);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  static pthread_t threads[10000];
  for (; count < 10000; count++)
    if ((error = pthread_create(&threads[count], &attributes, sleeper, (void *)(long)gate[0])) != 0) break;
  say("pthread_create ends with %s\n", errno_name(error));
  CHECK(count > 0 && count < 10000);
  close(gate[1]);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  CHILD_END("bomb");
}

static int made;
static int make_pipe(void) { int p[2]; return pipe(p); }
static int make_socket(void) { int p[2]; return socketpair(AF_UNIX, SOCK_STREAM, 0, p); }
static int make_epoll(void) { return epoll_create1(0); }
static int make_eventfd(void) { return eventfd(0, 0); }
static int make_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, 0); }
static int make_file(void) { return open("file", O_RDONLY); }
static int make_memfd(void) { return (int)syscall(SYS_memfd_create, "bomb", 0); }
static int make_dup(void) { return dup(0); }
static int make_ptmx(void) { return open("/dev/ptmx", O_RDWR | O_NOCTTY); }

static void fd_bomb(const char *what, int (*make)(void)) {
  CHILD_BEGIN
  limit(RLIMIT_NOFILE, 1000);
  for (made = 0; made < 5000; made++)
    if (make() == -1) break;
  say("%s: %s, after some: %s\n", what, errno_name(errno), made > 50 && made < 1000 ? "yes" : "no");
  CHILD_END(what);
}

static void descriptor_bombs(void) {
  put_file("file", "", 0644);
  fd_bomb("pipe", make_pipe), fd_bomb("socketpair", make_socket), fd_bomb("epoll", make_epoll), fd_bomb("eventfd", make_eventfd);
  fd_bomb("timerfd", make_timerfd), fd_bomb("open", make_file), fd_bomb("memfd", make_memfd), fd_bomb("dup", make_dup);
  (void)make_ptmx;
}

static void memory_bomb(void) {
  CHILD_BEGIN
  limit(RLIMIT_AS, 256 << 20);
  long pages = 0;
  char *block;
  while ((block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED && pages < 100000) block[0] = 1, pages++;
  say("mmap ends with %s\n", errno_name(errno));
  CHECK(pages > 100 && pages < 300);
  CHECK(sbrk(64 << 20) == (void *)-1);
  CHILD_END("many mappings");
  CHILD_BEGIN
  /* Single pages of alternating protection never merge: Linux stops at 65530 mappings (vm.max_map_count). */
  char *area = mmap(NULL, 4096UL * 200000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  long count = 0;
  for (; count < 100000; count++)
    if (mprotect(area + count * 8192, 4096, PROT_READ) == -1) break;
  say("mprotect ends with %s\n", count < 100000 ? errno_name(errno) : "nothing");
  CHILD_END("many small mappings");
}

static void queue_bombs(void) {
  CHILD_BEGIN
  sigset_t set;
  sigfillset(&set);
  sigprocmask(SIG_BLOCK, &set, NULL);
  limit(RLIMIT_SIGPENDING, 500);
  int count = 0;
  while (count < 100000 && sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = count}) == 0) count++;
  say("sigqueue ends with %s\n", errno_name(errno));
  CHECK(count > 0 && count <= 500);
  CHILD_END("signals");
  CHILD_BEGIN
  timer_t timer;
  limit(RLIMIT_SIGPENDING, 500);
  int count = 0;
  while (count < 100000 && timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0) count++;
  say("timer_create ends with %s\n", errno_name(errno));
  CHECK(count > 0 && count <= 500);
  CHILD_END("timers");
  CHILD_BEGIN
  /* Bytes that nobody reads. */
  int p[2], pairs = 0;
  static char block[65536];
  limit(RLIMIT_NOFILE, 400);
  while (pairs < 1000 && pipe2(p, O_NONBLOCK) == 0) {
    pairs++;
    while (write(p[1], block, sizeof block) > 0) continue;
  }
  CHECK(pairs > 100);
  CHILD_END("full pipes");
  CHILD_BEGIN
  int p[2], pairs = 0;
  static char block[65536];
  limit(RLIMIT_NOFILE, 200);
  while (pairs < 1000 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == 0) {
    pairs++;
    while (write(p[1], block, sizeof block) > 0) continue;
  }
  CHECK(pairs > 50);
  CHILD_END("full sockets");
}

/* Deep and wide names. */
static void name_bombs(void) {
  CHILD_BEGIN
  int depth = 0;
  char name[256];
  memset(name, 'd', 250), name[250] = 0;
  while (depth < 300 && mkdir(name, 0755) == 0 && chdir(name) == 0) depth++;
  say("directories in directories: %d\n", depth);
  char cwd[4096];
  SHOW(syscall(SYS_getcwd, cwd, sizeof cwd));
  SHOW(open("below", O_RDWR | O_CREAT, 0644) >= 0);
  CHILD_END("deep");
  CHILD_BEGIN
  MUST(mkdir("wide", 0755));
  char name[64];
  int count = 0;
  for (; count < 3000; count++) {
    snprintf(name, sizeof name, "wide/a-file-with-a-name-%d", count);
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    if (fd == -1) break;
    close(fd);
  }
  DIR *dir = opendir("wide");
  int seen = 0;
  while (readdir(dir)) seen++;
  say("files %d, entries %d\n", count, seen);
  CHILD_END("wide");
}

int main(int argc, char **argv) {
  const char *which = argc > 1 ? argv[1] : "all";
  int all = strcmp(which, "all") == 0;
  begin();
  scratch();
  MUST(chmod(".", 0777));
  if (all || strcmp(which, "fork") == 0) fork_bomb(100), fork_tree();
  /* Without a limit of its own: the sandbox's limit. Not on Linux. */
  if (strcmp(which, "fork-unlimited") == 0) fork_bomb(0);
  if (all || strcmp(which, "threads") == 0) thread_bomb();
  if (all || strcmp(which, "descriptors") == 0) descriptor_bombs();
  if (all || strcmp(which, "memory") == 0) memory_bomb();
  if (all || strcmp(which, "queues") == 0) queue_bombs();
  if (all || strcmp(which, "names") == 0) name_bombs();
  aftermath();
  return 0;
}
