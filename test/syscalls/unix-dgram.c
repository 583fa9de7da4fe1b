/*
 * AF_UNIX datagram sockets: boundaries, names, connect, truncation, queue limits, sendmmsg(2), recvmmsg(2).
 */
#include "guest.h"
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static struct sockaddr_un named(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  return address;
}

int main(void) {
  char text[64] = "";
  struct sockaddr_un a = named("a"), b = named("b"), from;
  socklen_t size;
  begin();
  scratch();
  SECTION("names");
  int one = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), two = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  SHOW(send(one, "x", 1, 0));
  SHOW(sendto(one, "x", 1, 0, (struct sockaddr *)&b, sizeof b));
  SHOW(bind(one, (struct sockaddr *)&a, sizeof a));
  SHOW(bind(two, (struct sockaddr *)&b, sizeof b));
  SHOW(sendto(one, "to b", 4, 0, (struct sockaddr *)&b, sizeof b));
  size = sizeof from;
  SHOW(recvfrom(two, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  SHOW(strcmp(from.sun_path, "a"));
  SHOW(listen(one, 1));
  SHOW(connect(one, (struct sockaddr *)&b, sizeof b));
  SHOW(send(one, "connected", 9, 0));
  SHOW(recv(two, text, sizeof text, 0));
  int three = (int)MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
  SHOW(sendto(three, "anonymous", 9, 0, (struct sockaddr *)&b, sizeof b));
  size = sizeof from;
  SHOW(recvfrom(two, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  SHOW(size);
  MUST(connect(two, (struct sockaddr *)&a, sizeof a));
  SHOW(sendto(three, "refused", 7, 0, (struct sockaddr *)&b, sizeof b));
  struct sockaddr_un none = {.sun_family = AF_UNSPEC};
  SHOW(connect(two, (struct sockaddr *)&none, sizeof(sa_family_t)));
  SHOW(sendto(three, "accepted", 8, 0, (struct sockaddr *)&b, sizeof b));
  SHOW(recv(two, text, sizeof text, 0));

  SECTION("boundaries");
  SHOW(send(one, "0123456789", 10, 0));
  SHOW(send(one, "", 0, 0));
  SHOW(send(one, "next", 4, 0));
  SHOW(recv(two, text, 4, MSG_PEEK));
  SHOW(recv(two, text, 4, MSG_TRUNC));
  SHOW(recv(two, text, sizeof text, 0));
  SHOW(recv(two, text, sizeof text, 0));
  SHOW(recv(two, text, sizeof text, MSG_DONTWAIT));
  struct timeval brief = {0, 20000};
  SHOW(setsockopt(two, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief));
  SHOW(recv(two, text, sizeof text, 0));
  SHOW(sendto(one, "x", 1, 0, (struct sockaddr *)8, sizeof b));
  SHOW(recv(two, text, sizeof text, 0));
  SHOW(send(one, "x", 1, 0));
  SHOW(recv(two, (void *)8, 1, 0));

  SECTION("vectors of messages");
  struct iovec parts[3] = {{"aa", 2}, {"bbb", 3}, {"cccc", 4}};
  struct mmsghdr out[3], in[4];
  char buffers[4][16];
  struct iovec rooms[4];
  memset(out, 0, sizeof out), memset(in, 0, sizeof in);
  for (int i = 0; i < 3; i++) out[i].msg_hdr.msg_iov = &parts[i], out[i].msg_hdr.msg_iovlen = 1;
  for (int i = 0; i < 4; i++) {
    rooms[i] = (struct iovec){buffers[i], 16};
    in[i].msg_hdr.msg_iov = &rooms[i], in[i].msg_hdr.msg_iovlen = 1;
  }
  while (recv(two, text, sizeof text, MSG_DONTWAIT) >= 0) continue;
  SHOW(sendmmsg(one, out, 3, 0));
  SHOW(recvmmsg(two, in, 4, MSG_DONTWAIT, NULL));
  say("lengths %u %u %u\n", in[0].msg_len, in[1].msg_len, in[2].msg_len);

  SECTION("the queue is bounded");
  fcntl(one, F_SETFL, O_NONBLOCK);
  int sent = 0;
  while (sent < 100000 && send(one, "x", 1, 0) == 1) sent++;
  CHECK(sent > 0 && sent < 100000 && errno == EAGAIN);
  struct pollfd entry = {.fd = one, .events = POLLOUT};
  SHOW(poll(&entry, 1, 0));
  int received = 0;
  while (recv(two, text, 1, MSG_DONTWAIT) == 1) received++;
  CHECK(received == sent);
  SHOW(poll(&entry, 1, 0));
  static char huge[1 << 22];
  SHOW(send(one, huge, sizeof huge, 0));

  SECTION("the peer goes away");
  close(two);
  SHOW(send(one, "x", 1, 0));
  SHOW(connect(one, (struct sockaddr *)&b, sizeof b));
  SHOW(unlink("b"));
  SHOW(connect(one, (struct sockaddr *)&b, sizeof b));
  int pair[2];
  SHOW(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  SHOW(send(pair[0], "pair", 4, 0));
  SHOW(recv(pair[1], text, sizeof text, 0));
  close(pair[1]);
  SHOW(send(pair[0], "x", 1, 0));
  return 0;
}
