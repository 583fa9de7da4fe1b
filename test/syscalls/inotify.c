/*
 * inotify(7): events of files and directories, in order; masks, one-shot watches, removal, errors.
 */
#include "guest.h"
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

static int in;

static void show(const char *what) {
  static char buffer[8192] __attribute__((aligned(8)));
  static const char *const names[] = {"ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO",
      "CREATE", "DELETE", "DELETE_SELF", "MOVE_SELF", "", "UNMOUNT", "Q_OVERFLOW", "IGNORED"};
  say("%s:", what);
  ssize_t n = read(in, buffer, sizeof buffer);
  uint32_t cookie = 0;
  for (char *at = buffer; n > 0 && at < buffer + n;) {
    struct inotify_event *event = (void *)at;
    say(" [%d", event->wd);
    for (int bit = 0; bit < 16; bit++)
      if (event->mask & (1u << bit)) say(" %s", names[bit]);
    if (event->mask & IN_ISDIR) say(" ISDIR");
    if (event->len) say(" %s (%u)", event->name, event->len);
    if (event->cookie) say(cookie == event->cookie ? " same cookie" : " cookie");
    cookie = event->cookie;
    say("]");
    at += sizeof *event + event->len;
  }
  say("\n");
}

static void touch(const char *name) { close((int)MUST(open(name, O_WRONLY | O_CREAT, 0644))); }

int main(void) {
  char byte;
  int bytes = -1;
  begin();
  scratch();
  MUST(mkdir("dir", 0755));
  SECTION("a directory");
  in = (int)SHOW(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  SHOW(fcntl(in, F_GETFD));
  SHOW(read(in, &byte, 1));
  SHOW(inotify_add_watch(in, "dir", IN_ALL_EVENTS));
  touch("dir/file");
  show("create");
  put_file("dir/file", "text", 0600);
  show("write");
  int fd = (int)MUST(open("dir/file", O_RDONLY));
  MUST(read(fd, &byte, 1));
  close(fd);
  show("read");
  MUST(chmod("dir/file", 0644));
  MUST(truncate("dir/file", 1));
  show("chmod, truncate");
  MUST(link("dir/file", "dir/link"));
  MUST(symlink("file", "dir/symlink"));
  MUST(mkdir("dir/sub", 0755));
  show("link, symlink, mkdir");
  MUST(rename("dir/file", "dir/renamed"));
  show("rename");
  MUST(rename("dir/renamed", "outside"));
  show("moved out");
  MUST(rename("outside", "dir/a-rather-long-name"));
  show("moved in");
  MUST(rmdir("dir/sub"));
  MUST(unlink("dir/link"));
  show("rmdir, unlink");
  SECTION("reading");
  touch("dir/one");
  struct pollfd entry = {.fd = in, .events = POLLIN};
  SHOW(poll(&entry, 1, 0));
  SHOW(ioctl(in, FIONREAD, &bytes));
  SHOW(bytes);
  SHOW(read(in, &byte, 1));
  SHOW(read(in, (void *)8, 100));
  show("one");
  SHOW(poll(&entry, 1, 0));

  SECTION("a file");
  int wd = (int)SHOW(inotify_add_watch(in, "dir/one", IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF));
  SHOW(inotify_add_watch(in, "dir", IN_DELETE));
  SHOW(inotify_add_watch(in, "dir/one", IN_OPEN | IN_MASK_ADD) == wd);
  put_file("dir/one", "new", 0600);
  show("written");
  MUST(rename("dir/one", "dir/two"));
  show("moved");
  MUST(unlink("dir/two"));
  show("deleted");
  SHOW(inotify_rm_watch(in, wd));
  SECTION("a file that has lost its name");
  fd = (int)MUST(open("dir/lost", O_RDWR | O_CREAT, 0600));
  int kept = (int)MUST(inotify_init1(IN_NONBLOCK)), normal = in;
  MUST(inotify_add_watch(kept, "dir", IN_MODIFY));
  in = (int)MUST(inotify_init1(IN_NONBLOCK));
  MUST(inotify_add_watch(in, "dir", IN_MODIFY | IN_EXCL_UNLINK | IN_ONESHOT));
  char fdinfo[64];
  snprintf(fdinfo, sizeof fdinfo, "/proc/self/fdinfo/%d", in);
  say("%.14s\n", strstr(get_file(fdinfo), "mask:"));
  MUST(unlink("dir/lost"));
  MUST(write(fd, "x", 1));
  show("with IN_EXCL_UNLINK");
  close(in);
  in = kept;
  show("without");
  close(fd), close(kept);
  in = normal;
  show("what the first watch saw");
  SECTION("one shot");
  touch("dir/three");
  SHOW(inotify_add_watch(in, "dir/three", IN_OPEN | IN_ONESHOT));
  touch("dir/three");
  touch("dir/three");
  show("once");
  SECTION("removal");
  SHOW(inotify_rm_watch(in, 1));
  show("removed");
  MUST(unlink("dir/three"));
  show("nothing");
  wd = (int)SHOW(inotify_add_watch(in, "dir", IN_DELETE_SELF | IN_MOVE_SELF));
  MUST(rename("dir", "dir2"));
  MUST(unlink("dir2/symlink"));
  MUST(unlink("dir2/a-rather-long-name"));
  MUST(rmdir("dir2"));
  show("directory gone");
  SECTION("errors");
  SHOW(inotify_init1(1));
  SHOW(inotify_add_watch(in, "missing", IN_OPEN));
  SHOW(inotify_add_watch(in, ".", 0));
  SHOW(inotify_add_watch(1, ".", IN_OPEN));
  SHOW(inotify_add_watch(99, ".", IN_OPEN));
  put_file("file", "x", 0600);
  SHOW(inotify_add_watch(in, "file", IN_OPEN | IN_ONLYDIR));
  SHOW(inotify_add_watch(in, "file", IN_OPEN) > 0);
  SHOW(inotify_add_watch(in, "file", IN_OPEN | IN_MASK_CREATE));
  SHOW(inotify_add_watch(in, (void *)8, IN_OPEN));
  SHOW(inotify_rm_watch(in, 99));
  SHOW(inotify_rm_watch(1, 1));
  SHOW(write(in, "x", 1));
  return 0;
}
