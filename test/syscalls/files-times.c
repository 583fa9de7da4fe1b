/*
 * File times: utimensat(2), futimens, utime(2), utimes(2), and which calls move which stamp.
 */
#include "guest.h"
#include <sys/time.h>
#include <utime.h>

static void show_times(const char *what, const char *path) {
  struct stat st;
  MUST(lstat(path, &st));
  say("%s: atime %ld.%09ld mtime %ld.%09ld\n", what, (long)st.st_atim.tv_sec, (long)st.st_atim.tv_nsec,
      (long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec);
}

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

static void setting(void) {
  struct timespec times[2] = {{1000, 111}, {2000, 222222222}};
  struct timespec omit[2] = {{0, UTIME_OMIT}, {3000, 3}};
  struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
  struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
  struct timespec neither[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  SECTION("utimensat");
  SHOW(utimensat(AT_FDCWD, "file", times, 0));
  show_times("file", "file");
  SHOW(utimensat(AT_FDCWD, "file", omit, 0));
  show_times("file", "file");
  SHOW(utimensat(AT_FDCWD, "file", bad, 0));
  SHOW(utimensat(AT_FDCWD, "missing", times, 0));
  SHOW(utimensat(AT_FDCWD, "missing", neither, 0));
  SHOW(utimensat(AT_FDCWD, "file", times, 1 << 20));
  SHOW(syscall(SYS_utimensat, AT_FDCWD, "file", (void *)8, 0));
  SHOW(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
  show_times("link", "link");
  show_times("file", "file");
  int fd = (int)MUST(open("file", O_RDONLY));
  SHOW(futimens(fd, times));
  show_times("file", "file");
  SHOW(futimens(99, times));
  SHOW(syscall(SYS_utimensat, fd, NULL, times, 0));
  close(fd);
  struct utimbuf old = {.actime = 10, .modtime = 20};
  SHOW(syscall(SYS_utime, "file", &old));
  show_times("file", "file");
  struct timeval micro[2] = {{100, 5}, {200, 999999}};
  SHOW(syscall(SYS_utimes, "file", micro));
  show_times("file", "file");
  micro[0].tv_usec = 1000000;
  SHOW(syscall(SYS_utimes, "file", micro));
  struct timespec before;
  clock_gettime(CLOCK_REALTIME, &before);
  SHOW(utimensat(AT_FDCWD, "file", now, 0));
  struct stat st;
  MUST(stat("file", &st));
  /* The kernel's stamp clock may be a tick behind. */
  CHECK(ns(st.st_mtim) >= ns(before) - 20000000);
  CHECK(ns(st.st_atim) == ns(st.st_mtim));
  SHOW(utimensat(AT_FDCWD, "file", NULL, 0));
  MUST(chmod("file", 0444));
  if (getuid() == 0) MUST(chown("file", 65534, 65534));
  put_file("other", "x", 0444);
  CHILD_BEGIN
  become_ordinary();
  SHOW(utimensat(AT_FDCWD, "file", times, 0));
  CHILD_END("the owner may");
}

/* Which stamps move: "m" when mtime moved, "c" when ctime moved since the last call. */
static struct stat last;
static void moved(const char *what, const char *path) {
  struct stat st;
  MUST(stat(path, &st));
  say("%s: mtime %s, ctime %s\n", what, ns(st.st_mtim) > ns(last.st_mtim) ? "moved" : "kept",
      ns(st.st_ctim) > ns(last.st_ctim) ? "moved" : "kept");
  last = st;
  sleep_ms(12);
}

static void moving(void) {
  SECTION("which stamps move");
  put_file("watched", "0123456789", 0644);
  MUST(mkdir("dir", 0755));
  sleep_ms(12);
  moved("creation", "watched");
  int fd = (int)MUST(open("watched", O_RDWR));
  moved("open", "watched");
  MUST(write(fd, "x", 1));
  moved("write", "watched");
  MUST(write(fd, "", 0));
  moved("empty write", "watched");
  char byte;
  MUST(read(fd, &byte, 1));
  moved("read", "watched");
  MUST(fchmod(fd, 0600));
  moved("fchmod", "watched");
  MUST(ftruncate(fd, 5));
  moved("ftruncate", "watched");
  MUST(link("watched", "second-name"));
  moved("link", "watched");
  MUST(rename("second-name", "third-name"));
  moved("rename of a link", "watched");
  MUST(unlink("third-name"));
  moved("unlink of a link", "watched");
  close(fd);
  moved("close", "watched");
  MUST(stat("dir", &last));
  sleep_ms(12);
  put_file("dir/entry", "", 0644);
  moved("directory, new entry", "dir");
  put_file("dir/entry", "more", 0644);
  moved("directory, write to an entry", "dir");
  MUST(unlink("dir/entry"));
  moved("directory, unlink", "dir");
}

int main(void) {
  begin();
  scratch();
  put_file("file", "x", 0644);
  MUST(symlink("file", "link"));
  setting();
  moving();
  return 0;
}
