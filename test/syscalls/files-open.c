/*
 * open(2), openat(2), openat2(2), creat(2), close(2), close_range(2): flags and errors.
 */
#include "guest.h"
#include <linux/openat2.h>

static long openat2_of(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  return syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static void errors(void) {
  static char name[5000];
  SECTION("errors");
  SHOW(open("missing", O_RDONLY));
  SHOW(open("", O_RDONLY));
  SHOW(open("missing/below", O_RDONLY));
  SHOW(open("file/below", O_RDONLY));
  SHOW(open("file/", O_RDONLY));
  SHOW(open("dir", O_WRONLY));
  SHOW(open("dir", O_RDWR));
  SHOW(open("dir", O_RDONLY | O_CREAT, 0644));
  SHOW(open("new/", O_WRONLY | O_CREAT, 0644));
  SHOW(open("file", O_RDONLY | O_CREAT | O_EXCL, 0644));
  SHOW(open("dir", O_RDONLY | O_CREAT | O_EXCL, 0644));
  SHOW(open("dangling", O_RDONLY));
  SHOW(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0644));
  SHOW(open("loop", O_RDONLY));
  SHOW(open("loop/below", O_RDONLY));
  SHOW(open("link", O_RDONLY | O_NOFOLLOW));
  SHOW(open("file", O_RDONLY | O_DIRECTORY));
  SHOW(open("link", O_RDONLY | O_DIRECTORY));
  SHOW(open("linkdir", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  memset(name, 'n', 256);
  SHOW(open(name, O_RDONLY));
  name[255] = 0;
  SHOW(open(name, O_RDONLY));
  for (int i = 0; i < 4998; i += 2) name[i] = '.', name[i + 1] = '/';
  SHOW(open(name, O_RDONLY | O_DIRECTORY));
  SHOW(open(NULL, O_RDONLY));
  SHOW(open((char *)-1L, O_RDONLY));
  SHOW(openat(-1, "file", O_RDONLY));
  SHOW(openat(999, "/", O_RDONLY) >= 0);
  SHOW(open("dir", O_TMPFILE | O_RDONLY, 0600));
}

static void flags(void) {
  SECTION("flags");
  SHOW(open("file", O_RDONLY));
  SHOW(fcntl(3, F_GETFD));
  SHOW(fcntl(3, F_GETFL) & O_ACCMODE);
  SHOW(write(3, "x", 1));
  SHOW(close(3));
  SHOW(close(3));
  SHOW(open("file", O_WRONLY | O_CLOEXEC));
  char byte;
  SHOW(fcntl(3, F_GETFD));
  SHOW(read(3, &byte, 1));
  SHOW(close(3));
  SHOW(open("created", O_RDWR | O_CREAT | O_EXCL, 0640));
  SHOW(write(3, "0123456789", 10));
  SHOW(close(3));
  SHOW(open("created", O_RDWR | O_TRUNC));
  SHOW(lseek(3, 0, SEEK_END));
  SHOW(close(3));
  SHOW(open("via-dangling", O_WRONLY | O_CREAT, 0600));
  SHOW(access("target-of-dangling", F_OK));
  SHOW(close(3));
  SHOW(creat("creat", 0600));
  SHOW(fcntl(3, F_GETFL) & O_ACCMODE);
  SHOW(close(3));
  SHOW(open("readonly-new", O_RDWR | O_CREAT, 0400));
  SHOW(write(3, "ok", 2));
  SHOW(close(3));
  SHOW(open("file", O_PATH));
  SHOW(read(3, &byte, 1));
  SHOW(fchmod(3, 0600));
  SHOW(fcntl(3, F_GETFL) == O_PATH);
  SHOW(close(3));
  SHOW(open("link", O_PATH | O_NOFOLLOW));
  struct stat st;
  SHOW(fstat(3, &st));
  CHECK(S_ISLNK(st.st_mode));
  char target[16] = "";
  SHOW(readlinkat(3, "", target, sizeof target));
  SHOW(close(3));
  SHOW(open(".", O_RDONLY | O_DIRECTORY));
  SHOW(openat(3, "file", O_RDONLY));
  SHOW(openat(4, "file", O_RDONLY));
  SHOW(read(3, &byte, 1));
  SHOW(close(4));
  SHOW(close(3));
  SHOW(open("file", O_RDWR | O_NONBLOCK | O_APPEND | O_SYNC));
  CHECK((fcntl(3, F_GETFL) & (O_NONBLOCK | O_APPEND)) == (O_NONBLOCK | O_APPEND));
  SHOW(close(3));
  int fd = open(".", O_TMPFILE | O_RDWR, 0600);
  CHECK(fd == 3 || errno == EOPNOTSUPP);
  if (fd >= 0) close(fd);
}

static void permissions(void) {
  SECTION("permissions");
  put_file("secret", "s", 0);
  put_file("writeonly", "w", 0222);
  MUST(mkdir("closed", 0));
  MUST(mkdir("noexec-dir", 0666));
  MUST(mkdir("readonly-dir", 0555));
  if (getuid() == 0) {
    MUST(chown("secret", 65534, 65534));
    MUST(chown("writeonly", 65534, 65534));
    MUST(chown("closed", 65534, 65534));
    MUST(chown("readonly-dir", 65534, 65534));
  }
  CHILD_BEGIN
  become_ordinary();
  SHOW(open("secret", O_RDONLY));
  SHOW(open("secret", O_WRONLY));
  SHOW(open("writeonly", O_RDONLY));
  SHOW(open("writeonly", O_RDWR));
  SHOW(close(open("writeonly", O_WRONLY)));
  SHOW(open("closed/x", O_RDONLY));
  SHOW(open("closed", O_RDONLY));
  SHOW(open("noexec-dir/x", O_RDONLY));
  SHOW(open("readonly-dir/new", O_WRONLY | O_CREAT, 0644));
  SHOW(open("readonly-dir/missing", O_RDONLY));
  SHOW(open("secret", O_RDONLY | O_CREAT | O_EXCL, 0644));
  SHOW(open("secret", O_PATH));
  CHILD_END("ordinary user");
}

static void with_openat2(void) {
  SECTION("openat2");
  SHOW(openat2_of(AT_FDCWD, "file", O_RDONLY, 0, 0));
  close(3);
  SHOW(openat2_of(AT_FDCWD, "file", O_RDONLY, 0644, 0));
  SHOW(openat2_of(AT_FDCWD, "file", 1ULL << 40, 0, 0));
  SHOW(openat2_of(AT_FDCWD, "file", O_RDONLY, 0, 1ULL << 20));
  SHOW(openat2_of(AT_FDCWD, "link", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
  SHOW(openat2_of(AT_FDCWD, "linkdir/../file", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
  SHOW(openat2_of(AT_FDCWD, "..", O_PATH, 0, RESOLVE_BENEATH));
  SHOW(openat2_of(AT_FDCWD, "/", O_PATH, 0, RESOLVE_BENEATH));
  SHOW(openat2_of(AT_FDCWD, "dir/../file", O_RDONLY, 0, RESOLVE_BENEATH));
  close(3);
  SHOW(openat2_of(AT_FDCWD, "/file", O_RDONLY, 0, RESOLVE_IN_ROOT));
  close(3);
  SHOW(openat2_of(AT_FDCWD, "../../../file", O_RDONLY, 0, RESOLVE_IN_ROOT));
  close(3);
  SHOW(openat2_of(AT_FDCWD, "/proc/self/cwd", O_PATH, 0, RESOLVE_NO_MAGICLINKS));
  struct open_how small = {0};
  SHOW(syscall(SYS_openat2, AT_FDCWD, "file", &small, 8));
  SHOW(syscall(SYS_openat2, AT_FDCWD, "file", NULL, sizeof small));
}

static void closing(void) {
  SECTION("close_range");
  for (int i = 0; i < 5; i++) MUST(open("file", O_RDONLY));
  SHOW(syscall(SYS_close_range, 4, 6, 0));
  SHOW(fcntl(3, F_GETFD));
  SHOW(fcntl(5, F_GETFD));
  SHOW(fcntl(7, F_GETFD));
  SHOW(syscall(SYS_close_range, 7, 7, CLOSE_RANGE_CLOEXEC));
  SHOW(fcntl(7, F_GETFD));
  SHOW(syscall(SYS_close_range, 7, 3, 0));
  SHOW(syscall(SYS_close_range, 3, 7, 1 << 10));
  SHOW(open("file", O_RDONLY));
  SHOW(syscall(SYS_close_range, 3, ~0U, 0));
  SHOW(close(-1));
  SHOW(close(3));
}

int main(void) {
  begin();
  scratch();
  put_file("file", "content", 0644);
  MUST(mkdir("dir", 0755));
  MUST(symlink("nowhere", "dangling"));
  MUST(symlink("target-of-dangling", "via-dangling"));
  MUST(symlink("loop", "loop"));
  MUST(symlink("file", "link"));
  MUST(symlink("dir", "linkdir"));
  errors();
  syscall(SYS_close_range, 3, ~0U, 0);
  flags();
  permissions();
  with_openat2();
  closing();
  return 0;
}
