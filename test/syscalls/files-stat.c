/*
 * stat(2), lstat(2), fstat(2), fstatat(2), statx(2): types, sizes, links, and errors.
 */
#include "guest.h"
#include <sys/sysmacros.h>

static const char *type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return "regular";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "symlink";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "socket";
    case S_IFCHR: return "character device";
    case S_IFBLK: return "block device";
  }
  return "unknown";
}

static void show_stat(const char *what, const struct stat *st) {
  say("%s: %s %04o nlink %ld", what, type_of(st->st_mode), st->st_mode & 07777, (long)st->st_nlink);
  if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode)) say(" size %ld", (long)st->st_size);
  if (S_ISCHR(st->st_mode)) say(" rdev %u:%u", major(st->st_rdev), minor(st->st_rdev));
  say("\n");
}

static void kinds(void) {
  struct stat st, again;
  SECTION("kinds");
  MUST(stat("file", &st)), show_stat("file", &st);
  CHECK(st.st_uid == geteuid());
  CHECK(st.st_gid == getegid());
  CHECK(st.st_blksize > 0);
  CHECK(st.st_blocks * 512 <= 1 << 20);
  CHECK(st.st_ino != 0);
  MUST(stat("link", &again)), show_stat("link", &again);
  CHECK(st.st_ino == again.st_ino && st.st_dev == again.st_dev);
  MUST(lstat("link", &again)), show_stat("link itself", &again);
  CHECK(st.st_ino != again.st_ino);
  MUST(stat("hard", &again)), show_stat("hard", &again);
  CHECK(st.st_ino == again.st_ino);
  MUST(stat("dir", &st)), show_stat("dir", &st);
  MUST(stat("fifo", &st)), show_stat("fifo", &st);
  MUST(stat("/dev/null", &st)), show_stat("/dev/null", &st);
  MUST(stat("dir/..", &st)), MUST(stat(".", &again));
  CHECK(st.st_ino == again.st_ino);
  int ends[2];
  MUST(pipe(ends));
  MUST(fstat(ends[0], &st)), MUST(fstat(ends[1], &again));
  say("pipe: %s size %ld\n", type_of(st.st_mode), (long)st.st_size);
  CHECK(st.st_ino == again.st_ino);
  close(ends[0]), close(ends[1]);
  int fd = (int)MUST(open("file", O_RDWR));
  MUST(fstat(fd, &st)), show_stat("open file", &st);
  MUST(write(fd, "longer than before", 18));
  MUST(fstat(fd, &st)), show_stat("after write", &st);
  MUST(unlink("hard"));
  MUST(unlink("file"));
  MUST(fstat(fd, &st)), show_stat("unlinked", &st);
  close(fd);
  put_file("file", "again", 0644);
}

static void errors(void) {
  struct stat st;
  SECTION("errors");
  SHOW(stat("missing", &st));
  SHOW(stat("", &st));
  SHOW(stat("file/", &st));
  SHOW(stat("file/.", &st));
  SHOW(stat("dir/", &st));
  SHOW(stat("loop", &st));
  SHOW(lstat("loop", &st));
  SHOW(lstat("linkdir/", &st));
  CHECK(S_ISDIR(st.st_mode));
  SHOW(stat("dangling", &st));
  SHOW(lstat("dangling", &st));
  SHOW(syscall(SYS_stat, "file", NULL));
  SHOW(syscall(SYS_stat, NULL, &st));
  SHOW(fstat(-1, &st));
  SHOW(fstat(99, &st));
}

static void at_family(void) {
  struct stat st;
  SECTION("fstatat");
  int dir = (int)MUST(open("dir", O_RDONLY | O_DIRECTORY));
  int file = (int)MUST(open("file", O_RDONLY));
  SHOW(fstatat(dir, "inner", &st, 0));
  SHOW(fstatat(dir, "", &st, 0));
  SHOW(fstatat(dir, "", &st, AT_EMPTY_PATH));
  CHECK(S_ISDIR(st.st_mode));
  SHOW(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
  SHOW(fstatat(file, "", &st, AT_EMPTY_PATH));
  SHOW(fstatat(file, "x", &st, 0));
  SHOW(fstatat(dir, "../link", &st, AT_SYMLINK_NOFOLLOW));
  CHECK(S_ISLNK(st.st_mode));
  SHOW(fstatat(99, "/", &st, 0));
  SHOW(fstatat(99, "x", &st, 0));
  SHOW(fstatat(dir, "inner", &st, 1 << 20));
  close(dir), close(file);
}

static void with_statx(void) {
  struct statx sx;
  SECTION("statx");
  memset(&sx, 0, sizeof sx);
  SHOW(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &sx));
  CHECK((sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
  say("size %llu mode %o nlink %u\n", (unsigned long long)sx.stx_size, sx.stx_mode, sx.stx_nlink);
  struct stat st;
  MUST(stat("file", &st));
  CHECK(sx.stx_ino == st.st_ino);
  CHECK(sx.stx_mtime.tv_sec == st.st_mtim.tv_sec && sx.stx_mtime.tv_nsec == (unsigned)st.st_mtim.tv_nsec);
  CHECK(makedev(sx.stx_dev_major, sx.stx_dev_minor) == st.st_dev);
  SHOW(statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &sx));
  CHECK(S_ISLNK(sx.stx_mode));
  SHOW(statx(AT_FDCWD, "missing", 0, STATX_BASIC_STATS, &sx));
  SHOW(statx(AT_FDCWD, "file", 1 << 24, STATX_BASIC_STATS, &sx));
  SHOW(statx(AT_FDCWD, "file", 0, 0x80000000U, &sx));
  SHOW(statx(AT_FDCWD, "file", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &sx));
  SHOW(statx(1, "", AT_EMPTY_PATH, STATX_TYPE, &sx));
  SHOW(statx(99, "", AT_EMPTY_PATH, STATX_TYPE, &sx));
  SHOW(syscall(SYS_statx, AT_FDCWD, "file", 0, STATX_TYPE, NULL));
}

int main(void) {
  begin();
  scratch();
  put_file("file", "content", 0644);
  MUST(link("file", "hard"));
  MUST(mkdir("dir", 0750));
  put_file("dir/inner", "i", 0600);
  MUST(mkfifo("fifo", 0620));
  MUST(symlink("file", "link"));
  MUST(symlink("dir", "linkdir"));
  MUST(symlink("nowhere", "dangling"));
  MUST(symlink("loop", "loop"));
  kinds();
  errors();
  at_family();
  with_statx();
  return 0;
}
