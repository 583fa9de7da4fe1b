/*
 * Ancillary data of AF_UNIX: SCM_RIGHTS and SCM_CREDENTIALS, truncation, descriptors in flight. See unix(7).
 */
#include "guest.h"
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static int pair[2];

static long send_fds(int to, const char *text, const int *fds, int count) {
  char control[CMSG_SPACE(sizeof(int) * 300)];
  struct iovec iov = {(char *)text, strlen(text)};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control, message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  }
  return sendmsg(to, &message, 0);
}

/* Prints what came, and gives the received descriptors. */
static int receive(int from, int *fds, size_t room, int flags) {
  char control[512], text[64] = "";
  struct iovec iov = {text, sizeof text - 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room ? control : NULL, .msg_controllen = room};
  long n = recvmsg(from, &message, flags);
  if (n < 0) {
    say("recvmsg: %s\n", errno_name(errno));
    return 0;
  }
  int count = 0;
  say("received \"%s\"%s", text, message.msg_flags & MSG_CTRUNC ? " CTRUNC" : "");
  for (struct cmsghdr *h = room ? CMSG_FIRSTHDR(&message) : NULL; h; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_type == SCM_RIGHTS) {
      count = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      if (fds) memcpy(fds, CMSG_DATA(h), count * sizeof(int));
      say(" %d descriptors", count);
    } else if (h->cmsg_type == SCM_CREDENTIALS) {
      struct ucred who;
      memcpy(&who, CMSG_DATA(h), sizeof who);
      say(" credentials pid %s uid %s", who.pid == getpid() ? "own" : who.pid > 0 ? "other" : "none", who.uid == getuid() ? "own" : "other");
    }
  }
  say("\n");
  return count;
}

static void rights(void) {
  int got[300], fds[3];
  char text[16] = "";
  SECTION("SCM_RIGHTS");
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  put_file("file", "content", 0644);
  fds[0] = (int)MUST(open("file", O_RDONLY | O_CLOEXEC));
  MUST(pipe(fds + 1));
  SHOW(send_fds(pair[0], "three", fds, 3));
  receive(pair[1], got, 512, 0);
  SHOW(fcntl(got[0], F_GETFD));
  SHOW(read(got[0], text, 3));
  SHOW(read(fds[0], text, 10));
  SHOW(write(got[2], "pipe", 4));
  SHOW(read(fds[1], text, 10));
  for (int i = 0; i < 3; i++) close(got[i]);
  SHOW(send_fds(pair[0], "cloexec", fds, 1));
  receive(pair[1], got, 512, MSG_CMSG_CLOEXEC);
  SHOW(fcntl(got[0], F_GETFD));
  close(got[0]);
  /* In flight while the sender has closed it. */
  SHOW(send_fds(pair[0], "flying", fds, 1));
  MUST(lseek(fds[0], 0, SEEK_SET));
  close(fds[0]);
  receive(pair[1], got, 512, 0);
  SHOW(read(got[0], text, 10));
  fds[0] = got[0];
  SECTION("room too small");
  MUST(send_fds(pair[0], "none", fds, 2));
  receive(pair[1], got, 0, 0);
  MUST(send_fds(pair[0], "one of two", fds, 2));
  receive(pair[1], got, CMSG_SPACE(sizeof(int)) - 4, 0);
  SECTION("nowhere to tell the numbers");
  MUST(send_fds(pair[0], "untold", fds, 2));
  struct iovec iov = {text, sizeof text};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = (void *)8, .msg_controllen = 512};
  int before = (int)MUST(dup(0));
  close(before);
  SHOW(recvmsg(pair[1], &message, 0));
  CHECK((message.msg_flags & MSG_CTRUNC) != 0);
  int after = (int)MUST(dup(0));
  close(after);
  CHECK(before == after);
  SECTION("errors");
  int bad = 99;
  SHOW(send_fds(pair[0], "bad", &bad, 1));
  static int many[260];
  for (int i = 0; i < 260; i++) many[i] = fds[0];
  SHOW(send_fds(pair[0], "too many", many, 254));
  SHOW(send_fds(pair[0], "most", many, 253));
  receive(pair[1], got, 512, 0);
  syscall(SYS_close_range, 3, ~0U, 0);
}

/* Bytes of one recv never cross a message that carries descriptors. */
static void boundaries(void) {
  int got[4], fds[1];
  SECTION("a message with descriptors ends a read");
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  fds[0] = (int)MUST(open("file", O_RDONLY));
  SHOW(send_fds(pair[0], "plain", NULL, 0));
  SHOW(send_fds(pair[0], "with", fds, 1));
  SHOW(send_fds(pair[0], "after", NULL, 0));
  receive(pair[1], got, 512, MSG_DONTWAIT);
  receive(pair[1], got, 512, MSG_DONTWAIT);
  receive(pair[1], got, 512, MSG_DONTWAIT);
  /* read(2) drops them. */
  char text[16];
  MUST(send_fds(pair[0], "dropped", fds, 1));
  SHOW(read(pair[1], text, sizeof text));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void between_processes(void) {
  SECTION("between processes");
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  int p[2];
  MUST(pipe(p));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    close(p[0]), close(p[1]);
    int got[4];
    receive(pair[1], got, 512, 0);
    MUST(write(got[0], "from the child", 14));
    _exit(0);
  }
  MUST(send_fds(pair[0], "writer", &p[1], 1));
  close(p[1]);
  char text[32] = "";
  reap("child", child);
  SHOW(read(p[0], text, sizeof text));
  SHOW(read(p[0], text, sizeof text));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void credentials(void) {
  SECTION("SCM_CREDENTIALS");
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  receive(pair[1], NULL, 512, MSG_DONTWAIT);
  SHOW(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
  SHOW(send_fds(pair[0], "automatic", NULL, 0));
  receive(pair[1], NULL, 512, 0);
  char control[CMSG_SPACE(sizeof(struct ucred))];
  struct iovec iov = {"explicit", 8};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  struct ucred me = {getpid(), getuid(), getgid()};
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_CREDENTIALS, header->cmsg_len = CMSG_LEN(sizeof me);
  memcpy(CMSG_DATA(header), &me, sizeof me);
  SHOW(sendmsg(pair[0], &message, 0));
  receive(pair[1], NULL, 512, 0);
  CHILD_BEGIN
  become_ordinary();
  me.pid = getpid(), me.uid = 12345, me.gid = getgid();
  memcpy(CMSG_DATA(header), &me, sizeof me);
  SHOW(sendmsg(pair[0], &message, 0));
  CHILD_END("ordinary user lies about its uid");
  header->cmsg_type = 99;
  SHOW(sendmsg(pair[0], &message, 0));
  header->cmsg_type = SCM_CREDENTIALS, header->cmsg_len = 3;
  SHOW(sendmsg(pair[0], &message, 0));
}

/* A socket sent through itself and closed: the kernel must not keep the cycle alive for ever, nor crash. */
static void cycle(void) {
  SECTION("cycles");
  for (int i = 0; i < 50; i++) {
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    MUST(send_fds(pair[0], "x", pair, 2));
    MUST(send_fds(pair[1], "y", pair, 2));
    close(pair[0]), close(pair[1]);
  }
  say("fifty cycles made\n");
}

int main(void) {
  begin();
  scratch();
  rights();
  boundaries();
  between_processes();
  credentials();
  cycle();
  return 0;
}
