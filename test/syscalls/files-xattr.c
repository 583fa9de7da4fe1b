/*
 * Extended attributes in the user namespace: setxattr(2), getxattr(2), listxattr(2), removexattr(2), their l and f forms.
 */
#include "guest.h"
#include <sys/xattr.h>

int main(void) {
  char value[256], list[256];
  begin();
  scratch();
  put_file("file", "", 0644);
  MUST(symlink("file", "link"));
  MUST(mkdir("dir", 0755));
  int fd = (int)MUST(open("file", O_RDWR));
  if (setxattr("file", "user.probe", "", 0, 0) == -1) {
    say("user xattrs: %s\n", errno_name(errno));
    return 0;
  }
  MUST(removexattr("file", "user.probe"));
  SHOW(setxattr("file", "user.one", "first", 5, 0));
  SHOW(getxattr("file", "user.one", value, sizeof value));
  SHOW(memcmp(value, "first", 5));
  SHOW(getxattr("file", "user.one", NULL, 0));
  SHOW(getxattr("file", "user.one", value, 2));
  SHOW(getxattr("file", "user.none", value, sizeof value));
  SHOW(getxattr("missing", "user.one", value, sizeof value));
  SHOW(setxattr("file", "user.one", "x", 1, XATTR_CREATE));
  SHOW(setxattr("file", "user.two", "x", 1, XATTR_REPLACE));
  SHOW(setxattr("file", "user.one", "second!", 7, XATTR_REPLACE));
  SHOW(fgetxattr(fd, "user.one", value, sizeof value));
  SHOW(fsetxattr(fd, "user.two", "", 0, XATTR_CREATE));
  SHOW(getxattr("link", "user.two", value, sizeof value));
  SHOW(lgetxattr("link", "user.two", value, sizeof value));
  SHOW(lsetxattr("link", "user.two", "x", 1, 0));
  SHOW(setxattr("dir", "user.dir", "d", 1, 0));
  SHOW(setxattr("file", "nonsense", "x", 1, 0));
  SHOW(setxattr("file", "bogus.name", "x", 1, 0));
  SHOW(setxattr("file", "user.", "x", 1, 0));
  SHOW(setxattr("file", "", "x", 1, 0));
  SHOW(setxattr("file", "user.x", "x", 1, 99));
  SHOW(setxattr("file", "user.x", (void *)8, 1, 0));
  SHOW(setxattr("file", "user.x", "x", 1 << 20, 0));
  long n = SHOW(flistxattr(fd, list, sizeof list));
  int found = 0;
  for (long at = 0; at < n; at += strlen(list + at) + 1) found += strncmp(list + at, "user.", 5) == 0;
  SHOW(found);
  SHOW(listxattr("file", NULL, 0) == n);
  SHOW(listxattr("file", list, 3));
  SHOW(removexattr("file", "user.one"));
  SHOW(removexattr("file", "user.one"));
  SHOW(fremovexattr(fd, "user.two"));
  SHOW(fgetxattr(99, "user.two", value, sizeof value));
  SHOW(getxattr("file", "user.two", value, sizeof value));
  MUST(setxattr("file", "user.kept", "k", 1, 0));
  MUST(rename("file", "moved"));
  SHOW(getxattr("moved", "user.kept", value, sizeof value));
  return 0;
}
