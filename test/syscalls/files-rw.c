/*
 * read(2), write(2), their positional and vector forms, O_APPEND, holes, and bad buffers.
 */
#include "guest.h"
#include <limits.h>
#include <sys/mman.h>
#include <sys/uio.h>

static void plain(void) {
  char buffer[64] = "";
  SECTION("plain");
  SHOW(open("data", O_RDWR | O_CREAT, 0644));
  SHOW(write(3, "hello, world", 12));
  SHOW(read(3, buffer, 10));
  SHOW(lseek(3, 0, SEEK_SET));
  SHOW(read(3, buffer, 5));
  SHOW(memcmp(buffer, "hello", 5));
  SHOW(read(3, buffer, 0));
  SHOW(read(3, NULL, 0));
  SHOW(read(3, (void *)8, 5));
  SHOW(lseek(3, 0, SEEK_CUR));
  SHOW(read(3, buffer, 100));
  SHOW(read(3, buffer, 100));
  SHOW(write(3, (void *)8, 5));
  SHOW(lseek(3, 0, SEEK_CUR));
  SHOW(syscall(SYS_read, 3, buffer, -1L));
  SHOW(read(-1, buffer, 1));
  int dir = (int)MUST(open(".", O_RDONLY));
  SHOW(read(dir, buffer, 1));
  SHOW(write(dir, buffer, 1));
  close(dir);
}

static void positional(void) {
  char buffer[64] = "";
  SECTION("positional");
  SHOW(pread(3, buffer, 5, 7));
  SHOW(memcmp(buffer, "world", 5));
  SHOW(pwrite(3, "WORLD", 5, 7));
  SHOW(lseek(3, 0, SEEK_CUR));
  SHOW(pread(3, buffer, 5, -1));
  SHOW(pwrite(3, buffer, 5, -1));
  SHOW(pread(3, buffer, 5, 1000));
  SHOW(pread(3, buffer, 5, LONG_MAX - 10));
  SHOW(pwrite(3, "end", 3, 10000));
  SHOW(lseek(3, 0, SEEK_END));
  memset(buffer, 'x', sizeof buffer);
  SHOW(pread(3, buffer, 64, 5000));
  int zero = 1;
  for (int i = 0; i < 64; i++) zero &= buffer[i] == 0;
  CHECK(zero);
  int ends[2];
  MUST(pipe(ends));
  SHOW(pread(ends[0], buffer, 1, 0));
  SHOW(pwrite(ends[1], buffer, 1, 0));
  SHOW(lseek(ends[0], 0, SEEK_CUR));
  close(ends[0]), close(ends[1]);
}

static void vectors(void) {
  char a[4] = "", b[8] = "", c[64] = "";
  struct iovec iov[3] = {{a, 3}, {b, 0}, {c, 60}};
  struct iovec out[3] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
  struct iovec bad[2] = {{"ok", 2}, {(void *)8, 4}};
  struct iovec negative[1] = {{a, (size_t)-1}};
  SECTION("vectors");
  MUST(ftruncate(3, 0));
  MUST(lseek(3, 0, SEEK_SET));
  SHOW(writev(3, out, 3));
  SHOW(preadv(3, iov, 3, 0));
  SHOW(memcmp(a, "one", 3));
  SHOW(strcmp(c, " two three"));
  SHOW(lseek(3, 0, SEEK_SET));
  SHOW(readv(3, iov, 3));
  SHOW(readv(3, iov, 0));
  SHOW(readv(3, NULL, 0));
  SHOW(readv(3, iov, -1));
  SHOW(readv(3, iov, 1025));
  SHOW(readv(3, (void *)8, 1));
  SHOW(readv(3, negative, 1));
  SHOW(writev(3, bad, 2));
  SHOW(lseek(3, 0, SEEK_END));
  SHOW(pwritev(3, out, 2, 100));
  SHOW(lseek(3, 0, SEEK_END));
  SHOW(preadv2(3, iov, 1, -1, 0));
  SHOW(preadv2(3, iov, 1, 0, 0));
  SHOW(pwritev2(3, out, 1, 0, RWF_DSYNC));
  SHOW(pwritev2(3, out, 1, 0, 1 << 30));
  SHOW(pwritev2(3, out, 1, 0, RWF_APPEND));
  SHOW(lseek(3, 0, SEEK_END));
  SHOW(preadv2(3, iov, 1, -2, 0));
  close(3);
}

static void append(void) {
  SECTION("append");
  int one = (int)MUST(open("log", O_WRONLY | O_CREAT | O_APPEND, 0644));
  int two = (int)MUST(open("log", O_WRONLY | O_APPEND));
  SHOW(write(one, "first\n", 6));
  SHOW(write(two, "second\n", 7));
  SHOW(lseek(one, 0, SEEK_SET));
  SHOW(write(one, "third\n", 6));
  SHOW(lseek(one, 0, SEEK_CUR));
  SHOW(pwrite(one, "fourth\n", 7, 0));
  SHOW(strcmp(get_file("log"), "first\nsecond\nthird\nfourth\n"));
  close(one), close(two);
}

/* The offset belongs to the open file, not to the descriptor: dup and fork share it. */
static void shared_offset(void) {
  char c = 0;
  SECTION("shared offset");
  put_file("abc", "abcdef", 0644);
  int fd = (int)MUST(open("abc", O_RDONLY));
  int copy = dup(fd);
  SHOW(read(fd, &c, 1));
  SHOW(read(copy, &c, 1));
  SHOW(c);
  CHILD_BEGIN
  SHOW(read(fd, &c, 1));
  CHILD_END("reader");
  SHOW(read(fd, &c, 1));
  SHOW(c);
  int again = (int)MUST(open("abc", O_RDONLY));
  SHOW(read(again, &c, 1));
  SHOW(c);
  close(fd), close(copy), close(again);
}

/* A buffer whose second page is missing: Linux moves what fits, or fails when nothing does. */
static void half_bad_buffer(void) {
  SECTION("half of the buffer is missing");
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(munmap(page + 4096, 4096));
  memset(page, 'p', 4096);
  int ends[2];
  MUST(pipe(ends));
  SHOW(write(ends[1], page + 4095, 1));
  SHOW(write(ends[1], page + 4096, 1));
  SHOW(read(ends[0], page + 4096, 1));
  SHOW(read(ends[0], page + 4095, 1));
  put_file("small", "0123456789", 0644);
  int fd = (int)MUST(open("small", O_RDWR));
  SHOW(read(fd, page + 4096 - 10, 4096));
  SHOW(memcmp(page + 4096 - 10, "0123456789", 10));
  SHOW(lseek(fd, 0, SEEK_CUR));
  MUST(mprotect(page, 4096, PROT_READ));
  SHOW(pread(fd, page, 4, 0));
  SHOW(pwrite(fd, page, 4, 0));
  MUST(mprotect(page, 4096, PROT_NONE));
  SHOW(pwrite(fd, page, 4, 0));
  close(fd), close(ends[0]), close(ends[1]);
}

static void large(void) {
  SECTION("large");
  size_t size = 3 << 20;
  unsigned char *data = mmap(NULL, size * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned seed = 1;
  for (size_t i = 0; i < size; i++) seed = seed * 1103515245 + 12345, data[i] = seed >> 16;
  int fd = (int)MUST(open("large", O_RDWR | O_CREAT, 0644));
  SHOW(write(fd, data, size));
  SHOW(pread(fd, data + size, size, 0));
  SHOW(memcmp(data, data + size, size));
  SHOW(pread(fd, data + size, size, size - 5));
  SHOW(fsync(fd));
  SHOW(fdatasync(fd));
  SHOW(fsync(999));
  SHOW(syncfs(fd));
  SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  SHOW(posix_fadvise(fd, 0, 0, 99));
  SHOW(readahead(fd, 0, 4096));
  close(fd);
}

int main(void) {
  begin();
  scratch();
  plain();
  positional();
  vectors();
  append();
  shared_offset();
  half_bad_buffer();
  large();
  return 0;
}
