/*
 * Sizes: truncate(2), ftruncate(2), fallocate(2), lseek(2) with SEEK_DATA and SEEK_HOLE.
 */
#include "guest.h"
#include <linux/falloc.h>
#include <limits.h>

static long size_of(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 ? (long)st.st_size : -1;
}

static void truncating(void) {
  char buffer[16];
  SECTION("truncate");
  put_file("file", "0123456789", 0644);
  int fd = (int)MUST(open("file", O_RDWR));
  int reader = (int)MUST(open("file", O_RDONLY));
  SHOW(ftruncate(fd, 4));
  SHOW(size_of(fd));
  SHOW(ftruncate(fd, 8));
  SHOW(pread(fd, buffer, 16, 0));
  SHOW(memcmp(buffer, "0123\0\0\0\0", 8));
  SHOW(ftruncate(fd, -1));
  SHOW(ftruncate(reader, 0));
  SHOW(ftruncate(99, 0));
  SHOW(truncate("file", 2));
  SHOW(size_of(fd));
  SHOW(truncate("missing", 0));
  SHOW(truncate(".", 0));
  SHOW(truncate("file", -5));
  SHOW(truncate("file/x", 0));
  SHOW(truncate("", 0));
  SHOW(lseek(fd, 100, SEEK_SET));
  SHOW(ftruncate(fd, 0));
  SHOW(write(fd, "x", 1));
  SHOW(size_of(fd));
  int ends[2];
  MUST(pipe(ends));
  SHOW(ftruncate(ends[1], 0));
  close(ends[0]), close(ends[1]), close(fd), close(reader);
  put_file("secret", "x", 0444);
  if (getuid() == 0) MUST(chown("secret", 65534, 65534));
  CHILD_BEGIN
  become_ordinary();
  SHOW(truncate("secret", 0));
  CHILD_END("ordinary user");
}

static void seeking(void) {
  SECTION("lseek");
  int fd = (int)MUST(open("seek", O_RDWR | O_CREAT, 0644));
  MUST(write(fd, "0123456789", 10));
  SHOW(lseek(fd, 3, SEEK_SET));
  SHOW(lseek(fd, 3, SEEK_CUR));
  SHOW(lseek(fd, -1, SEEK_CUR));
  SHOW(lseek(fd, -100, SEEK_CUR));
  SHOW(lseek(fd, 0, SEEK_CUR));
  SHOW(lseek(fd, -1, SEEK_SET));
  SHOW(lseek(fd, 5, SEEK_END));
  SHOW(lseek(fd, -11, SEEK_END));
  SHOW(lseek(fd, 0, 99));
  SHOW(lseek(99, 0, SEEK_SET));
  SHOW(lseek(fd, 1LL << 40, SEEK_SET));
  SHOW(read(fd, &(char){0}, 1));
  SHOW(lseek(fd, 0, SEEK_DATA));
  SHOW(lseek(fd, 0, SEEK_HOLE));
  SHOW(lseek(fd, 5, SEEK_HOLE));
  SHOW(lseek(fd, 10, SEEK_DATA));
  SHOW(lseek(fd, 10, SEEK_HOLE));
  SHOW(lseek(fd, -1, SEEK_DATA));
  /* 1 MiB hole, then one block: the file system may be without holes, so only relations are shown. */
  MUST(ftruncate(fd, 0));
  MUST(pwrite(fd, "x", 1, 1 << 20));
  long data = lseek(fd, 0, SEEK_DATA);
  CHECK(data >= 0 && data <= 1 << 20);
  SHOW(lseek(fd, 1 << 20, SEEK_DATA));
  SHOW(lseek(fd, 1 << 20, SEEK_HOLE));
  close(fd);
}

static void allocating(void) {
  char buffer[8192];
  SECTION("fallocate");
  int fd = (int)MUST(open("alloc", O_RDWR | O_CREAT, 0644));
  SHOW(fallocate(fd, 0, 0, 10000));
  SHOW(size_of(fd));
  SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 10000, 10000));
  SHOW(size_of(fd));
  memset(buffer, 'a', sizeof buffer);
  MUST(pwrite(fd, buffer, sizeof buffer, 0));
  SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 200));
  MUST(pread(fd, buffer, sizeof buffer, 0));
  CHECK(buffer[99] == 'a' && buffer[100] == 0 && buffer[299] == 0 && buffer[300] == 'a');
  SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
  SHOW(fallocate(fd, 0, -1, 10));
  SHOW(fallocate(fd, 0, 0, 0));
  SHOW(fallocate(fd, 0, 0, -1));
  SHOW(fallocate(fd, 0, LONG_MAX - 10, 100));
  SHOW(fallocate(99, 0, 0, 10));
  int reader = (int)MUST(open("alloc", O_RDONLY));
  SHOW(fallocate(reader, 0, 0, 10));
  int ends[2];
  MUST(pipe(ends));
  SHOW(fallocate(ends[1], 0, 0, 10));
  int dir = (int)MUST(open(".", O_RDONLY));
  SHOW(fallocate(dir, 0, 0, 10));
  SHOW(posix_fallocate(fd, 0, 30000));
  SHOW(size_of(fd));
}

int main(void) {
  begin();
  scratch();
  truncating();
  seeking();
  allocating();
  return 0;
}
