/*
 * Moving data between descriptors: sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2).
 * What the splice family moves in one call may differ; totals and contents may not.
 */
#include "guest.h"
#include <sys/sendfile.h>
#include <sys/uio.h>

static char pattern[200000], back[200000];

static int source(void) {
  int fd = (int)MUST(open("source", O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(write(fd, pattern, sizeof pattern));
  MUST(lseek(fd, 0, SEEK_SET));
  return fd;
}

static void with_sendfile(void) {
  SECTION("sendfile");
  int in = source(), out = (int)MUST(open("out", O_RDWR | O_CREAT | O_TRUNC, 0644));
  off_t offset = 100;
  SHOW(sendfile(out, in, &offset, 1000));
  SHOW(offset);
  SHOW(lseek(in, 0, SEEK_CUR));
  SHOW(sendfile(out, in, NULL, 500));
  SHOW(lseek(in, 0, SEEK_CUR));
  SHOW(pread(out, back, sizeof back, 0));
  SHOW(memcmp(back, pattern + 100, 1000) | memcmp(back + 1000, pattern, 500));
  SHOW(sendfile(out, in, NULL, 1 << 30));
  SHOW(sendfile(out, in, NULL, 10));
  SHOW(sendfile(out, in, NULL, 0));
  offset = -1;
  SHOW(sendfile(out, in, &offset, 10));
  SHOW(sendfile(99, in, NULL, 10));
  SHOW(sendfile(out, 99, NULL, 10));
  SHOW(sendfile(out, in, (off_t *)8, 10));
  int reader = (int)MUST(open("out", O_RDONLY)), dir = (int)MUST(open(".", O_RDONLY));
  SHOW(sendfile(reader, in, NULL, 10));
  SHOW(sendfile(out, dir, NULL, 10));
  int appender = (int)MUST(open("out", O_WRONLY | O_APPEND));
  MUST(lseek(in, 0, SEEK_SET));
  SHOW(sendfile(appender, in, NULL, 10));
  int ends[2];
  MUST(pipe(ends));
  offset = 0;
  SHOW(sendfile(ends[1], in, &offset, 3000));
  SHOW(read(ends[0], back, 4000));
  SHOW(memcmp(back, pattern, 3000));
  SHOW(sendfile(out, ends[0], NULL, 10));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void with_copy_file_range(void) {
  SECTION("copy_file_range");
  int in = source(), out = (int)MUST(open("copy", O_RDWR | O_CREAT | O_TRUNC, 0644));
  loff_t from = 1000, to = 50;
  SHOW(copy_file_range(in, &from, out, &to, 2000, 0));
  SHOW(from);
  SHOW(to);
  SHOW(lseek(out, 0, SEEK_CUR));
  SHOW(lseek(out, 0, SEEK_END));
  SHOW(pread(out, back, 2000, 50));
  SHOW(memcmp(back, pattern + 1000, 2000));
  MUST(lseek(out, 0, SEEK_SET));
  long total = 0, n;
  while ((n = copy_file_range(in, NULL, out, NULL, sizeof pattern, 0)) > 0) total += n;
  SHOW(n);
  SHOW(total);
  SHOW(pread(out, back, sizeof back, 0));
  SHOW(memcmp(back, pattern, sizeof back));
  SHOW(copy_file_range(in, NULL, out, NULL, 10, 1));
  from = 0, to = 10;
  SHOW(copy_file_range(in, &from, in, &to, 100, 0));
  SHOW(copy_file_range(99, NULL, out, NULL, 10, 0));
  int reader = (int)MUST(open("copy", O_RDONLY)), dir = (int)MUST(open(".", O_RDONLY));
  SHOW(copy_file_range(in, NULL, reader, NULL, 10, 0));
  SHOW(copy_file_range(dir, NULL, out, NULL, 10, 0));
  int appender = (int)MUST(open("copy", O_WRONLY | O_APPEND));
  SHOW(copy_file_range(in, NULL, appender, NULL, 10, 0));
  int ends[2];
  MUST(pipe(ends));
  SHOW(copy_file_range(in, NULL, ends[1], NULL, 10, 0));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void with_splice(void) {
  SECTION("splice, tee");
  int in = source(), out = (int)MUST(open("spliced", O_RDWR | O_CREAT | O_TRUNC, 0644)), ends[2], others[2];
  MUST(pipe(ends)), MUST(pipe(others));
  loff_t offset = 10;
  SHOW(splice(in, &offset, ends[1], NULL, 1000, 0));
  SHOW(offset);
  SHOW(tee(ends[0], others[1], 1000, 0));
  SHOW(splice(ends[0], NULL, out, NULL, 4000, 0));
  SHOW(lseek(out, 0, SEEK_CUR));
  SHOW(read(others[0], back, 4000));
  SHOW(memcmp(back, pattern + 10, 1000));
  SHOW(pread(out, back, 4000, 0));
  SHOW(memcmp(back, pattern + 10, 1000));
  SHOW(splice(ends[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK));
  SHOW(splice(in, NULL, out, NULL, 10, 0));
  offset = 0;
  SHOW(splice(in, NULL, ends[1], &offset, 10, 0));
  SHOW(splice(99, NULL, ends[1], NULL, 10, 0));
  SHOW(splice(in, NULL, ends[1], NULL, 0, 0));
  SHOW(tee(ends[0], ends[1], 10, 0));
  struct iovec parts[2] = {{"one", 3}, {"two", 3}};
  SHOW(vmsplice(ends[1], parts, 2, 0));
  SHOW(read(ends[0], back, 10));
  SHOW(memcmp(back, "onetwo", 6));
  close(ends[1]);
  SHOW(splice(ends[0], NULL, out, NULL, 10, 0));
}

int main(void) {
  begin();
  scratch();
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = (char)(i * 7 + i / 251);
  with_sendfile();
  with_copy_file_range();
  with_splice();
  return 0;
}
