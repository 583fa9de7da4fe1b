/*
 * AF_UNIX stream and seqpacket sockets: bind, listen, accept, connect, names, shutdown, flags, errors. See unix(7).
 */
#include "guest.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static struct sockaddr_un address;
static socklen_t length;

static void name(const char *path) {
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path);
  length = offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

/* Abstract names begin with a zero byte; the pid keeps two runs apart. */
static void abstract_name(const char *suffix) {
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  int n = snprintf(address.sun_path + 1, 90, "guest-%d-%s", getpid(), suffix);
  length = offsetof(struct sockaddr_un, sun_path) + 1 + n;
}

#define BIND(fd) bind(fd, (struct sockaddr *)&address, length)
#define CONNECT(fd) connect(fd, (struct sockaddr *)&address, length)

static void creating(void) {
  int pair[2];
  SECTION("socket and socketpair");
  SHOW(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  SHOW(fcntl(3, F_GETFD));
  SHOW(fcntl(3, F_GETFL) & O_NONBLOCK);
  SHOW(socket(AF_UNIX, SOCK_STREAM, 99));
  SHOW(socket(AF_UNIX, 99, 0));
  SHOW(socket(999, SOCK_STREAM, 0));
  SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  SHOW(write(pair[0], "hello", 5));
  char text[64] = "";
  SHOW(read(pair[1], text, 3));
  SHOW(read(pair[1], text, 10));
  struct sockaddr_un peer;
  socklen_t size = sizeof peer;
  SHOW(getsockname(pair[0], (struct sockaddr *)&peer, &size));
  SHOW(size);
  size = sizeof peer;
  SHOW(getpeername(pair[0], (struct sockaddr *)&peer, &size));
  SHOW(size);
  SHOW(getpeername(3, (struct sockaddr *)&peer, &size));
  SHOW(read(3, text, 1));
  SHOW(write(3, "x", 1) == -1);
  SHOW(listen(pair[0], 1));
  SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
  SHOW(lseek(pair[0], 0, SEEK_SET));
  int null = (int)MUST(open("/dev/null", O_RDWR));
  SHOW(getsockname(null, (struct sockaddr *)&peer, &size));
  SHOW(getsockname(99, (struct sockaddr *)&peer, &size));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void connecting(void) {
  char text[64] = "";
  struct sockaddr_un peer;
  socklen_t size;
  SECTION("bind, listen, connect, accept");
  int server = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  name("sock");
  SHOW(CONNECT(client));
  SHOW(listen(server, 1));
  SHOW(BIND(server));
  SHOW(BIND(server));
  SHOW(CONNECT(client));
  struct stat st;
  MUST(stat("sock", &st));
  CHECK(S_ISSOCK(st.st_mode));
  SHOW(open("sock", O_RDWR));
  SHOW(listen(server, 5));
  SHOW(accept4(server, NULL, NULL, 1 << 20));
  fcntl(server, F_SETFL, O_NONBLOCK);
  SHOW(accept(server, NULL, NULL));
  struct pollfd entry = {.fd = server, .events = POLLIN};
  SHOW(poll(&entry, 1, 0));
  SHOW(CONNECT(client));
  SHOW(CONNECT(client));
  SHOW(poll(&entry, 1, 0));
  SHOW(write(client, "early", 5));
  size = sizeof peer;
  int connection = (int)SHOW(accept4(server, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC));
  SHOW(size);
  SHOW(fcntl(connection, F_GETFD));
  SHOW(fcntl(connection, F_GETFL) & O_NONBLOCK);
  SHOW(read(connection, text, 10));
  size = sizeof peer;
  SHOW(getpeername(client, (struct sockaddr *)&peer, &size));
  SHOW(strcmp(peer.sun_path, "sock"));
  int value = -1;
  size = sizeof value;
  SHOW(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
  SHOW(value);
  SHOW(getsockopt(client, SOL_SOCKET, SO_TYPE, &value, &size));
  SHOW(value);
  SHOW(getsockopt(client, SOL_SOCKET, SO_DOMAIN, &value, &size));
  SHOW(value);
  SHOW(getsockopt(client, SOL_SOCKET, SO_ERROR, &value, &size));
  SHOW(value);
  SHOW(getsockopt(client, SOL_SOCKET, 9999, &value, &size));
  SHOW(getsockopt(client, 9999, 1, &value, &size));
  struct ucred who;
  size = sizeof who;
  SHOW(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &who, &size));
  CHECK(who.pid == getpid() && who.uid == getuid() && who.gid == getgid());
  SHOW(accept(client, NULL, NULL));
  SHOW(CONNECT(server));
  close(server);
  int late = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  SHOW(CONNECT(late));
  SHOW(unlink("sock"));
  SHOW(CONNECT(late));
  SHOW(write(client, "still", 5));
  SHOW(read(connection, text, 10));
  name("sock");
  int again = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  MUST(BIND(again));
  SHOW(BIND(late));
  name("missing/sock");
  SHOW(BIND(late));
  name("regular");
  put_file("regular", "", 0644);
  SHOW(BIND(late));
  SHOW(CONNECT(late));
  address.sun_family = AF_INET;
  SHOW(BIND(late));
  SHOW(connect(late, (struct sockaddr *)&address, 1));
  int datagram = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  name("sock");
  SHOW(CONNECT(datagram));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void backlog(void) {
  SECTION("backlog");
  name("backlog");
  int server = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  MUST(BIND(server)), MUST(listen(server, 1));
  for (int i = 0; i < 4; i++) {
    int client = (int)MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    SHOW(CONNECT(client));
  }
  /* Closing the listener resets who was never accepted. */
  char text[4];
  close(server);
  SHOW(read(4, text, 1));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void abstract_names(void) {
  struct sockaddr_un own;
  socklen_t size = sizeof own;
  SECTION("abstract names");
  int server = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  abstract_name("a");
  SHOW(BIND(server));
  SHOW(getsockname(server, (struct sockaddr *)&own, &size));
  CHECK(size == length && memcmp(&own, &address, size) == 0);
  int second = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  SHOW(BIND(second));
  MUST(listen(server, 1));
  SHOW(CONNECT(client));
  close(server);
  SHOW(BIND(second));
  /* An autobound name is a zero byte and five hexadecimal digits. */
  int automatic = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
  address.sun_family = AF_UNIX;
  SHOW(bind(automatic, (struct sockaddr *)&address, sizeof(sa_family_t)));
  size = sizeof own;
  MUST(getsockname(automatic, (struct sockaddr *)&own, &size));
  SHOW(size);
  SHOW(own.sun_path[0]);
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void data(void) {
  int pair[2], available = -1;
  char text[64] = "", more[64] = "";
  SECTION("shutdown, flags, hang-up");
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  SHOW(recv(pair[0], text, 10, MSG_DONTWAIT));
  SHOW(send(pair[1], "abcdef", 6, 0));
  SHOW(recv(pair[0], text, 3, MSG_PEEK));
  SHOW(recv(pair[0], text, 3, 0));
  SHOW(memcmp(text, "abc", 3));
  SHOW(ioctl(pair[0], FIONREAD, &available));
  SHOW(available);
  MUST(send(pair[1], "ghi", 3, 0));
  SHOW(recv(pair[0], text, 6, MSG_WAITALL));
  SHOW(memcmp(text, "defghi", 6));
  struct iovec out[2] = {{"one", 3}, {"two", 3}}, in[2] = {{text, 2}, {more, 10}};
  struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
  SHOW(sendmsg(pair[1], &message, 0));
  message.msg_iov = in;
  SHOW(recvmsg(pair[0], &message, 0));
  SHOW(memcmp(more, "etwo", 4));
  SHOW(message.msg_flags);
  SHOW(sendmsg(pair[1], (void *)8, 0));
  SHOW(send(pair[1], (void *)8, 5, 0));
  SHOW(send(pair[1], "x", 1, MSG_OOB) == -1 || errno == 0);
  while (recv(pair[0], text, 10, MSG_DONTWAIT) > 0) continue;
  SHOW(shutdown(pair[1], SHUT_WR));
  SHOW(read(pair[0], text, 10));
  SHOW(send(pair[1], "x", 1, MSG_NOSIGNAL));
  SHOW(send(pair[0], "back", 4, 0));
  SHOW(read(pair[1], text, 10));
  struct pollfd entry = {.fd = pair[0], .events = POLLIN | POLLOUT | POLLRDHUP};
  MUST(poll(&entry, 1, 0));
  CHECK(entry.revents == (POLLIN | POLLOUT | POLLRDHUP));
  SHOW(shutdown(pair[1], SHUT_RD));
  SHOW(send(pair[0], "x", 1, MSG_NOSIGNAL));
  MUST(poll(&entry, 1, 0));
  CHECK((entry.revents & POLLHUP) != 0);
  SHOW(shutdown(pair[1], 99));
  int null = (int)MUST(open("/dev/null", O_RDWR));
  SHOW(shutdown(null, SHUT_WR));
  close(null);
  close(pair[0]), close(pair[1]);
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  MUST(write(pair[0], "unread", 6));
  close(pair[1]);
  SHOW(read(pair[0], text, 10));
  SHOW(read(pair[0], text, 10));
  SHOW(send(pair[0], "x", 1, MSG_NOSIGNAL));
  close(pair[0]);
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  close(pair[1]);
  CHILD_BEGIN
  MUST(write(pair[0], "x", 1));
  CHILD_END("writer to a closed peer");
  close(pair[0]);
}

static void big(void) {
  int pair[2];
  static char block[1 << 20];
  SECTION("large transfer");
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    close(pair[0]);
    unsigned char c = 0;
    for (size_t i = 0; i < sizeof block; i++) block[i] = c++;
    say("sent %ld\n", (long)send(pair[1], block, sizeof block, 0));
    _exit(0);
  }
  close(pair[1]);
  long total = 0, n, wrong = 0;
  while ((n = read(pair[0], block, 5000)) > 0) {
    for (long i = 0; i < n; i++) wrong += (unsigned char)block[i] != (unsigned char)(total + i);
    total += n;
  }
  reap("sender", child);
  SHOW(total);
  SHOW(wrong);
  close(pair[0]);
}

/* A full pipe goes into a socket at once: it takes more than what poll calls writable. */
static void splicing(void) {
  int pair[2], in[2];
  static char block[65536];
  long moved = 0;
  SECTION("a pipe spliced into a socket");
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  MUST(pipe(in));
  MUST(write(in[1], block, sizeof block));
  while (moved < (long)sizeof block) moved += MUST(splice(in[0], NULL, pair[0], NULL, sizeof block - moved, 0));
  SHOW(moved);
  close(in[0]), close(in[1]), close(pair[0]), close(pair[1]);
}

static void seqpacket(void) {
  int pair[2];
  char text[64] = "";
  SECTION("seqpacket");
  SHOW(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  SHOW(send(pair[0], "first", 5, 0));
  SHOW(send(pair[0], "second", 6, 0));
  struct iovec in = {text, 3};
  struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1};
  SHOW(recvmsg(pair[1], &message, 0));
  SHOW((message.msg_flags & MSG_TRUNC) != 0);
  SHOW(recv(pair[1], text, 10, 0));
  SHOW(memcmp(text, "second", 6));
  close(pair[0]);
  SHOW(recv(pair[1], text, 10, 0));
  SHOW(send(pair[1], "x", 1, MSG_NOSIGNAL));
  close(pair[1]);
}

int main(void) {
  begin();
  scratch();
  creating();
  connecting();
  backlog();
  abstract_names();
  data();
  big();
  splicing();
  seqpacket();
  return 0;
}
