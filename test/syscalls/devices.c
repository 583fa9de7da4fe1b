/*
 * /dev: null, zero, full, random, urandom, fd, stdin, shm, ptmx, tty.
 */
#include "guest.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

static void node(const char *path) {
  struct stat st;
  if (stat(path, &st) == -1) {
    say("%s: %s\n", path, errno_name(errno));
    return;
  }
  say("%s: %s %u:%u %o\n", path, S_ISCHR(st.st_mode) ? "character" : S_ISDIR(st.st_mode) ? "directory" : "other", major(st.st_rdev),
      minor(st.st_rdev), st.st_mode & 07777);
}

static void zeros(void) {
  char buffer[64];
  SECTION("null, zero, full");
  int null = (int)MUST(open("/dev/null", O_RDWR)), zero = (int)MUST(open("/dev/zero", O_RDWR)), full = (int)MUST(open("/dev/full", O_RDWR));
  SHOW(read(null, buffer, 10));
  SHOW(write(null, buffer, 10));
  SHOW(write(null, (void *)8, 10));
  SHOW(lseek(null, 100, SEEK_SET));
  memset(buffer, 'x', sizeof buffer);
  SHOW(read(zero, buffer, 10));
  SHOW(buffer[0] + buffer[9]);
  SHOW(buffer[10]);
  SHOW(read(zero, (void *)8, 10));
  SHOW(write(zero, buffer, 10));
  SHOW(read(full, buffer, 20));
  SHOW(buffer[19]);
  SHOW(write(full, "x", 1));
  SHOW(ftruncate(null, 0));
  SHOW(fallocate(null, 0, 0, 10));
  SHOW(close(open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0644)));
  SHOW(ioctl(null, TIOCGWINSZ, buffer));
  SHOW(pread(zero, buffer, 5, 1000));
  struct stat st;
  MUST(fstat(null, &st));
  CHECK(S_ISCHR(st.st_mode));
  close(null), close(zero), close(full);
}

static void chance(void) {
  unsigned char a[32], b[32];
  SECTION("random");
  int random = (int)MUST(open("/dev/urandom", O_RDWR));
  SHOW(read(random, a, sizeof a));
  SHOW(read(random, b, sizeof b));
  CHECK(memcmp(a, b, sizeof a) != 0);
  SHOW(write(random, a, 8));
  close(random);
  random = (int)MUST(open("/dev/random", O_RDONLY));
  SHOW(read(random, a, sizeof a) > 0);
  close(random);
}

static void descriptors(void) {
  char text[16] = "";
  SECTION("fd, stdin, stdout");
  put_file("file", "content", 0644);
  int fd = (int)MUST(open("file", O_RDONLY));
  MUST(read(fd, text, 3));
  char name[32];
  snprintf(name, sizeof name, "/dev/fd/%d", fd);
  int again = (int)MUST(open(name, O_RDONLY));
  SHOW(read(again, text, 10));
  SHOW(open("/dev/fd/99", O_RDONLY));
  ssize_t n = readlink("/dev/stdin", text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  say("/dev/stdin -> %s\n", text);
  memset(text, 0, sizeof text);
  MUST(readlink("/dev/fd", text, sizeof text - 1));
  say("/dev/fd -> %s\n", text);
  /* Opening /dev/stdout of a pipe is opening the pipe again. */
  int p[2], saved = dup(1);
  MUST(pipe(p));
  dup2(p[1], 1);
  int out = open("/dev/stdout", O_WRONLY);
  long wrote = write(out, "through stdout", 14);
  dup2(saved, 1);
  SHOW(wrote);
  SHOW(read(p[0], text, 14));
  close(fd), close(again);
}

static void shared(void) {
  SECTION("shm");
  struct stat st;
  MUST(stat("/dev/shm", &st));
  say("mode %o\n", st.st_mode & 07777);
  char name[64];
  snprintf(name, sizeof name, "/guest-%d", getpid());
  int fd = (int)MUST(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
  MUST(ftruncate(fd, 4096));
  int *counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHILD_BEGIN
  int other = (int)MUST(shm_open(name, O_RDWR, 0));
  int *same = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
  *same = 42;
  CHILD_END("child");
  SHOW(*counter);
  SHOW(shm_unlink(name));
  SHOW(shm_open(name, O_RDWR, 0));
}

int main(void) {
  begin();
  scratch();
  SECTION("nodes");
  node("/dev/null"), node("/dev/zero"), node("/dev/full"), node("/dev/random"), node("/dev/urandom"), node("/dev/tty");
  zeros();
  chance();
  descriptors();
  shared();
  SECTION("no controlling terminal");
  CHILD_BEGIN
  MUST(setsid());
  SHOW(open("/dev/tty", O_RDWR));
  CHILD_END("child");
  return 0;
}
