/*
 * statfs(2), fstatfs(2): a plausible answer on every kind of file, and errors.
 */
#include "guest.h"
#include <sys/statvfs.h>
#include <sys/vfs.h>

static void plausible(const char *path) {
  struct statfs fs;
  memset(&fs, 0xff, sizeof fs);
  if (statfs(path, &fs) == -1) {
    say("statfs %s: %s\n", path, errno_name(errno));
    return;
  }
  say("%s: type set %d, bsize power of two %d, free <= blocks %d, namelen %ld\n", path, fs.f_type != 0,
      fs.f_bsize > 0 && (fs.f_bsize & (fs.f_bsize - 1)) == 0, fs.f_bfree <= fs.f_blocks, (long)fs.f_namelen);
}

int main(void) {
  struct statfs fs;
  begin();
  scratch();
  put_file("file", "", 0644);
  plausible(".");
  plausible("file");
  plausible("/");
  plausible("/proc");
  plausible("/dev/null");
  plausible("missing");
  plausible("file/x");
  MUST(statfs("/proc", &fs));
  SHOW(fs.f_type == 0x9fa0);
  int fd = (int)MUST(open("file", O_RDONLY));
  SHOW(fstatfs(fd, &fs));
  SHOW(fstatfs(99, &fs));
  SHOW(syscall(SYS_statfs, ".", (void *)8));
  int ends[2];
  MUST(pipe(ends));
  SHOW(fstatfs(ends[0], &fs));
  SHOW(fs.f_type == 0x50495045);
  struct statvfs vfs;
  SHOW(statvfs(".", &vfs));
  SHOW(vfs.f_namemax);
  SHOW((vfs.f_flag & ST_RDONLY));
  return 0;
}
