/*
 * Races on shared memory: one thread changes a path, a vector or a structure while another passes it to the kernel.
 * Whatever the kernel read, it must be one of the two values or a clean error; it must read once and use what it read.
 */
#include "../syscalls/guest.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

static volatile int stop;
static char path[16], page[4096];
static struct iovec vectors[4];
static struct timespec moment;
static volatile char *mapped;

static void *flip_path(void *argument) {
  while (!stop) memcpy(path, "aaaa", 5), memcpy(path, "bbbbbbbb", 9);
  return argument;
}

static void *flip_vector(void *argument) {
  while (!stop) {
    vectors[1].iov_len = 10, vectors[1].iov_base = page;
    vectors[1].iov_len = (size_t)-1;
    vectors[1].iov_base = (void *)8;
    vectors[1].iov_len = 1 << 30;
  }
  return argument;
}

static void *flip_time(void *argument) {
  while (!stop) moment.tv_nsec = 1000, moment.tv_nsec = -1, moment.tv_nsec = 1L << 62, moment.tv_sec = 0;
  return argument;
}

static void *flip_mapping(void *argument) {
  while (!stop) {
    mmap((void *)mapped, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mprotect((void *)mapped, 4096, PROT_NONE);
    munmap((void *)mapped, 4096);
  }
  return argument;
}

static void paths(void) {
  int a = 0, b = 0, none = 0, other = 0;
  struct stat st;
  put_file("aaaa", "a", 0644), put_file("bbbbbbbb", "bb", 0644);
  strcpy(path, "aaaa");
  for (int i = 0; i < 3000; i++) {
    if (stat(path, &st) == -1) errno == ENOENT ? none++ : other++;
    else if (st.st_size == 1) a++;
    else if (st.st_size == 2) b++;
    else other++;
  }
  CHECK(other == 0 && a + b + none == 3000);
}

static void vector_io(void) {
  int wrong = 0, p[2];
  static char data[64];
  MUST(pipe2(p, O_NONBLOCK));
  vectors[0] = (struct iovec){data, 5}, vectors[1] = (struct iovec){page, 10}, vectors[2] = (struct iovec){data, 7};
  for (int i = 0; i < 3000; i++) {
    long n = writev(p[1], vectors, 3);
    if (n == -1) wrong += errno != EFAULT && errno != EINVAL && errno != EAGAIN;
    else wrong += n <= 0;
    char sink[65536];
    while (read(p[0], sink, sizeof sink) > 0) continue;
  }
  SHOW(wrong);
  close(p[0]), close(p[1]);
}

static void times(void) {
  int wrong = 0;
  for (int i = 0; i < 500; i++)
    if (nanosleep(&moment, NULL) == -1) wrong += errno != EINVAL && errno != EINTR;
  SHOW(wrong);
}

static void memory(void) {
  int wrong = 0, fd = (int)MUST(open("aaaa", O_RDWR));
  for (int i = 0; i < 3000; i++) {
    long n = pread(fd, (void *)mapped, 1, 0);
    if (n == -1) wrong += errno != EFAULT;
    else wrong += n != 1;
    n = syscall(SYS_open, mapped, O_RDONLY);
    if (n == -1) wrong += errno != EFAULT && errno != ENOENT;
    else close((int)n);
  }
  SHOW(wrong);
  close(fd);
}

/* Two threads on one descriptor: closing and reopening while the other reads, never a crash and never a stranger's data. */
static volatile int shared_fd;
static void *reopen(void *argument) {
  while (!stop) {
    int fd = open("aaaa", O_RDONLY);
    dup2(fd, shared_fd);
    close(fd);
    close(shared_fd);
  }
  return argument;
}

static void descriptors(void) {
  int wrong = 0;
  char byte;
  for (int i = 0; i < 3000; i++) {
    long n = pread(shared_fd, &byte, 1, 0);
    wrong += n == -1 ? errno != EBADF : n != 1 || byte != 'a';
  }
  SHOW(wrong);
}

/* fork and exec while other threads map, read and create threads. */
static void *churn(void *argument) {
  while (!stop) {
    char *a = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    a[0] = a[65535] = 1;
    munmap(a, 65536);
  }
  return argument;
}

static void forks(void) {
  int bad = 0;
  for (int i = 0; i < 40; i++) {
    pid_t child = fork();
    if (child == 0) {
      if (i % 2) execl("/bin/true", "true", NULL);
      _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    bad += status != 0;
  }
  SHOW(bad);
}

static void with(void *(*enemy)(void *), void (*victim)(void)) {
  pthread_t thread;
  stop = 0;
  pthread_create(&thread, NULL, enemy, NULL);
  victim();
  stop = 1;
  pthread_join(thread, NULL);
}

int main(void) {
  begin();
  scratch();
  with(flip_path, paths);
  with(flip_vector, vector_io);
  with(flip_time, times);
  mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  with(flip_mapping, memory);
  shared_fd = 50;
  with(reopen, descriptors);
  with(churn, forks);
  say("done\n");
  return 0;
}
