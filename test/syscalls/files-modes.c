/*
 * Permission bits: chmod(2), fchmod(2), fchmodat(2), chown(2), lchown(2), umask(2), access(2), faccessat2(2).
 */
#include "guest.h"

static void show_mode(const char *path) {
  struct stat st;
  MUST(lstat(path, &st));
  say("%s: %04o\n", path, st.st_mode & 07777);
}

static void modes(void) {
  SECTION("chmod");
  SHOW(chmod("file", 0600));
  show_mode("file");
  SHOW(chmod("file", 07777));
  show_mode("file");
  SHOW(chmod("file", 0100644));
  show_mode("file");
  SHOW(chmod("missing", 0));
  SHOW(chmod("file/x", 0));
  SHOW(chmod("", 0));
  SHOW(chmod("link", 0640));
  show_mode("file");
  SHOW(fchmod(99, 0));
  int fd = (int)MUST(open("file", O_RDONLY));
  SHOW(fchmod(fd, 0604));
  show_mode("file");
  close(fd);
  SHOW(syscall(SYS_fchmodat, AT_FDCWD, "file", 0644));
  SHOW(syscall(452 /* fchmodat2 */, AT_FDCWD, "file", 0600, 1 << 20) == -1);
  SECTION("umask");
  SHOW(umask(0077));
  put_file("masked", "", 0666);
  int made = (int)MUST(open("masked2", O_WRONLY | O_CREAT, 0777));
  close(made);
  show_mode("masked2");
  MUST(mkdir("masked-dir", 0777));
  show_mode("masked-dir");
  SHOW(umask(07777));
  SHOW(umask(022));
}

static void ownership(void) {
  struct stat st;
  SECTION("chown");
  MUST(chmod("file", 0644));
  SHOW(chown("file", -1, -1));
  SHOW(chown("missing", -1, -1));
  SHOW(fchown(99, -1, -1));
  SHOW(fchownat(AT_FDCWD, "link", -1, -1, AT_SYMLINK_NOFOLLOW));
  SHOW(fchownat(AT_FDCWD, "link", -1, -1, 1 << 20));
  if (getuid() == 0) {
    MUST(chown("file", 1234, 5678));
    MUST(stat("file", &st));
    if (st.st_uid != 1234 || st.st_gid != 5678) say("chown by root: wrong owner\n");
    MUST(lchown("link", 11, 12));
    MUST(lstat("link", &st));
    if (st.st_uid != 11 || st.st_gid != 12) say("lchown by root: wrong owner\n");
    MUST(stat("link", &st));
    if (st.st_uid != 1234) say("lchown by root: followed the link\n");
    MUST(chmod("file", 06755));
    MUST(chown("file", 65534, 65534));
    MUST(stat("file", &st));
    if ((st.st_mode & 07777) != 0755) say("chown keeps set-id bits of an executable\n");
    MUST(chmod("file", 0644));
    MUST(chown("dir", 65534, 65534));
  }
  CHILD_BEGIN
  become_ordinary();
  SHOW(chown("file", 0, -1));
  SHOW(chown("file", -1, 0));
  SHOW(chown("file", -1, getgid()));
  SHOW(chown("root-file", -1, getgid()) == (geteuid() == 65534 ? -1 : 0));
  SHOW(chmod("file", 02755));
  show_mode("file");
  CHILD_END("the owner");
}

static void accessing(void) {
  SECTION("access");
  MUST(chmod("file", 0640));
  SHOW(access("file", F_OK));
  SHOW(access("missing", F_OK));
  SHOW(access("file", 8));
  SHOW(access("file/x", F_OK));
  SHOW(access("dangling", F_OK));
  SHOW(faccessat(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
  SHOW(syscall(439 /* faccessat2 */, AT_FDCWD, "file", R_OK, AT_EACCESS));
  SHOW(syscall(439, AT_FDCWD, "file", R_OK, 1 << 20));
  SHOW(syscall(439, 0, "", F_OK, AT_EMPTY_PATH));
  CHILD_BEGIN
  become_ordinary();
  SHOW(access("file", R_OK | W_OK));
  SHOW(access("file", X_OK));
  SHOW(access("dir", R_OK | W_OK | X_OK));
  MUST(chmod("file", 0070));
  SHOW(access("file", R_OK));
  MUST(chmod("file", 0111));
  SHOW(access("file", X_OK));
  SHOW(access("file", R_OK));
  MUST(chmod("dir", 0600));
  SHOW(access("dir/x", F_OK));
  MUST(chmod("dir", 0755));
  CHILD_END("the owner");
}

/* Writing to a set-user-id file by an ordinary user takes the bit away. */
static void set_id_bits(void) {
  SECTION("writing drops set-id bits");
  put_file("suid", "x", 0644);
  if (getuid() == 0) MUST(chown("suid", 65534, 65534));
  CHILD_BEGIN
  become_ordinary();
  MUST(chmod("suid", 06777));
  show_mode("suid");
  int fd = (int)MUST(open("suid", O_WRONLY));
  MUST(write(fd, "y", 1));
  show_mode("suid");
  MUST(chmod("suid", 04777));
  MUST(ftruncate(fd, 0));
  show_mode("suid");
  CHILD_END("the owner");
}

int main(void) {
  begin();
  scratch();
  put_file("file", "", 0644);
  put_file("root-file", "", 0644);
  MUST(mkdir("dir", 0755));
  MUST(symlink("file", "link"));
  MUST(symlink("nowhere", "dangling"));
  modes();
  ownership();
  accessing();
  set_id_bits();
  return 0;
}
