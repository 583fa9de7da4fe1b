/* mount(2), umount2(2), in a mount namespace of its own where Linux gives one; skipped alike on both sides where it does not. */
#include "guest.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>

static int exists(const char *path) { return access(path, F_OK) == 0; }

int main(void) {
  begin();
  if (geteuid() != 0) {
    SHOW(mount("none", ".", "tmpfs", 0, NULL));
    SHOW(umount2(".", 0));
    return 0;
  }
  /* Inside a sandbox the whole tree is its own already; whether unshare works there is another test's business. */
  (void)unshare(CLONE_NEWNS);
  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  MUST(mkdir("dir", 0755));
  MUST(mkdir("other", 0755));
  put_file("file", "text", 0644);

  SECTION("tmpfs");
  SHOW(mount("none", "dir", "tmpfs", MS_NOSUID, "mode=700"));
  put_file("dir/inside", "x", 0644);
  struct statfs fs;
  MUST(statfs("dir", &fs));
  CHECK(fs.f_type == 0x01021994);
  CHECK((fs.f_flags & MS_NOSUID) != 0);
  struct stat st, above;
  MUST(stat("dir", &st));
  MUST(stat(".", &above));
  say("mode %o\n", st.st_mode);
  CHECK(st.st_dev != above.st_dev);
  SHOW(rmdir("dir"));
  SHOW(rename("dir", "renamed"));
  SHOW(link("dir/inside", "hard"));
  SHOW(rename("dir/inside", "moved"));

  SECTION("bind");
  SHOW(mount("dir", "other", NULL, MS_BIND, NULL));
  CHECK(exists("other/inside"));
  SHOW(mount(NULL, "other", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  SHOW(open("other/new", O_CREAT | O_WRONLY, 0644));
  CHECK(open("dir/new", O_CREAT | O_WRONLY, 0644) >= 0);
  SHOW(umount2("other", 0));
  CHECK(!exists("other/inside"));
  SHOW(mount("file", "other", NULL, MS_BIND, NULL));
  SHOW(mount("missing", "other", NULL, MS_BIND, NULL));

  SECTION("busy");
  int fd = (int)MUST(open("dir/inside", O_RDONLY));
  SHOW(umount2("dir", 0));
  SHOW(umount2("dir", MNT_DETACH));
  CHECK(!exists("dir/inside"));
  char byte;
  SHOW(read(fd, &byte, 1));
  close(fd);

  SECTION("errors");
  SHOW(umount2("dir", 0));
  SHOW(umount2("missing", 0));
  SHOW(umount2("dir", 0x80));
  SHOW(mount("none", "dir", "nosuchfs", 0, NULL));
  SHOW(mount("none", "missing", "tmpfs", 0, NULL));
  SHOW(mount("none", "file", "tmpfs", 0, NULL));
  SHOW(mount("none", "dir", "tmpfs", 0, "bogus=1"));
  SHOW(mount("none", "dir", (char *)8, 0, NULL));
  SHOW(mount("none", (char *)8, "tmpfs", 0, NULL));
  return 0;
}
