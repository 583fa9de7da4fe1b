/*
 * Names: link(2), symlink(2), readlink(2), unlink(2) of an open file, rename(2), renameat2(2), mknod(2).
 */
#include "guest.h"
#include <linux/fs.h>

static long renameat2_(const char *from, const char *to, unsigned flags) {
  return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void links(void) {
  struct stat st;
  char target[64];
  static char longer[5000];
  SECTION("link");
  SHOW(link("file", "hard"));
  MUST(stat("file", &st));
  SHOW(st.st_nlink);
  SHOW(link("file", "hard"));
  SHOW(link("missing", "x"));
  SHOW(link("dir", "x"));
  SHOW(link("file", "missing/x"));
  SHOW(link("file", "dir"));
  SHOW(link("symlink", "hard-to-symlink"));
  MUST(lstat("hard-to-symlink", &st));
  CHECK(S_ISLNK(st.st_mode));
  SHOW(linkat(AT_FDCWD, "symlink", AT_FDCWD, "hard-to-target", AT_SYMLINK_FOLLOW));
  MUST(lstat("hard-to-target", &st));
  SHOW(st.st_nlink);
  SHOW(linkat(AT_FDCWD, "file", AT_FDCWD, "x", 1 << 20));
  SHOW(unlink("hard"));
  SHOW(unlink("hard"));
  SHOW(unlink("dir"));
  SHOW(unlink("file/"));
  SHOW(unlink(""));

  SECTION("symlink");
  SHOW(symlink("some/where", "s"));
  memset(target, '#', sizeof target);
  SHOW(readlink("s", target, sizeof target));
  SHOW(memcmp(target, "some/where#", 11));
  SHOW(readlink("s", target, 4));
  SHOW(readlink("s", target, 0));
  SHOW(readlink("file", target, sizeof target));
  SHOW(readlink("dir", target, sizeof target));
  SHOW(readlink("missing", target, sizeof target));
  SHOW(readlink("s/", target, sizeof target));
  SHOW(readlink("s", (void *)8, 10));
  SHOW(symlink("x", "s"));
  SHOW(symlink("", "empty"));
  SHOW(symlink("x", ""));
  SHOW(symlink("x", "missing/s"));
  memset(longer, 'l', 4096);
  SHOW(symlink(longer, "long"));
  longer[4095] = 0;
  SHOW(symlink(longer, "long"));
  SHOW(readlink("long", longer, sizeof longer));
  SHOW(stat("long", &st));
}

/* 40 links in a row are followed, the 41st is one too many. */
static void depth(void) {
  char from[16], to[16];
  struct stat st;
  SECTION("forty symlinks");
  put_file("l0", "end", 0644);
  for (int i = 1; i <= 41; i++) {
    snprintf(to, sizeof to, "l%d", i - 1), snprintf(from, sizeof from, "l%d", i);
    MUST(symlink(to, from));
  }
  SHOW(stat("l40", &st));
  SHOW(stat("l41", &st));
}

static void unlinked(void) {
  char text[16] = "";
  struct stat st;
  SECTION("an open file survives its name");
  put_file("gone", "still here", 0644);
  int fd = (int)MUST(open("gone", O_RDWR));
  SHOW(unlink("gone"));
  SHOW(access("gone", F_OK));
  SHOW(read(fd, text, sizeof text));
  SHOW(strcmp(text, "still here"));
  SHOW(pwrite(fd, "STILL", 5, 0));
  MUST(fstat(fd, &st));
  SHOW(st.st_nlink);
  put_file("gone", "another", 0644);
  SHOW(pread(fd, text, 5, 0));
  SHOW(memcmp(text, "STILL", 5));
  SHOW(strcmp(get_file("gone"), "another"));
  close(fd);
}

static void renaming(void) {
  struct stat before, after;
  SECTION("rename");
  put_file("a", "a", 0644);
  put_file("b", "b", 0644);
  MUST(stat("a", &before));
  SHOW(rename("a", "b"));
  SHOW(strcmp(get_file("b"), "a"));
  MUST(stat("b", &after));
  CHECK(before.st_ino == after.st_ino);
  SHOW(access("a", F_OK));
  SHOW(rename("missing", "x"));
  SHOW(rename("b", "missing/x"));
  SHOW(rename("b", "dir"));
  SHOW(rename("dir", "b"));
  SHOW(rename("dir", "dir/inside"));
  SHOW(rename("b", "b"));
  SHOW(rename("b", "b/"));
  SHOW(rename("b/", "c"));
  SHOW(rename(".", "x"));
  SHOW(rename("dir/..", "x"));
  SHOW(rename("dir", "dir/"));
  MUST(mkdir("full", 0755));
  put_file("full/x", "", 0644);
  MUST(mkdir("empty-dir", 0755));
  SHOW(rename("dir", "full"));
  SHOW(rename("full", "empty-dir"));
  SHOW(access("empty-dir/x", F_OK));
  SHOW(access("full", F_OK));
  MUST(link("b", "b-again"));
  SHOW(rename("b", "b-again"));
  SHOW(access("b", F_OK));
  SHOW(rename("symlink", "renamed-symlink"));
  MUST(lstat("renamed-symlink", &after));
  CHECK(S_ISLNK(after.st_mode));
  int fd = (int)MUST(open("b", O_RDONLY));
  SHOW(rename("b", "c"));
  MUST(fstat(fd, &after));
  SHOW(after.st_nlink);
  close(fd);

  SECTION("renameat2");
  put_file("one", "1", 0644);
  put_file("two", "2", 0644);
  SHOW(renameat2_("one", "two", RENAME_NOREPLACE));
  SHOW(renameat2_("one", "three", RENAME_NOREPLACE));
  SHOW(renameat2_("three", "two", RENAME_EXCHANGE));
  SHOW(strcmp(get_file("two"), "1"));
  SHOW(strcmp(get_file("three"), "2"));
  SHOW(renameat2_("two", "missing", RENAME_EXCHANGE));
  SHOW(renameat2_("two", "dir", RENAME_EXCHANGE));
  SHOW(access("two/", F_OK));
  SHOW(renameat2_("two", "x", RENAME_EXCHANGE | RENAME_NOREPLACE));
  SHOW(renameat2_("two", "x", 1 << 10));
  SHOW(renameat2_("empty-dir", "empty-dir/x", RENAME_EXCHANGE));
}

static void nodes(void) {
  struct stat st;
  SECTION("mknod");
  SHOW(mknod("n-file", S_IFREG | 0640, 0));
  SHOW(mknod("n-fifo", S_IFIFO | 0640, 0));
  SHOW(mknod("n-sock", S_IFSOCK | 0640, 0));
  MUST(stat("n-file", &st));
  say("mode %o\n", st.st_mode);
  MUST(stat("n-fifo", &st));
  say("mode %o\n", st.st_mode);
  MUST(stat("n-sock", &st));
  say("mode %o\n", st.st_mode);
  SHOW(mknod("n-file", S_IFREG | 0640, 0));
  SHOW(mknod("n-dir", S_IFDIR | 0755, 0));
  SHOW(mknod("n-bad", 0170000, 0));
  SHOW(open("n-sock", O_RDONLY));
  CHILD_BEGIN
  become_ordinary();
  SHOW(syscall(SYS_mknod, "/tmp/guest-no-device", S_IFCHR | 0666, 0x103));
  CHILD_END("ordinary user");
}

int main(void) {
  begin();
  scratch();
  put_file("file", "content", 0644);
  MUST(mkdir("dir", 0755));
  MUST(symlink("file", "symlink"));
  links();
  depth();
  unlinked();
  renaming();
  nodes();
  return 0;
}
