/*
 * UDP over loopback: names, connected sockets, boundaries, errors that ICMP brings back, options, readiness.
 */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

static struct sockaddr_in any_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return address;
}

static struct sockaddr_in name_of(int fd) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  MUST(getsockname(fd, (struct sockaddr *)&address, &size));
  return address;
}

#define AS_SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

static int udp(void) {
  return (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
}

static void show_int(const char *text, int fd, int level, int option) {
  int value = -99;
  socklen_t size = sizeof value;
  if (getsockopt(fd, level, option, &value, &size) < 0) say("%s: %s\n", text, errno_name(errno));
  else say("%s: %d (%u bytes)\n", text, value, size);
}
#define OPTION(fd, level, option) show_int(#option, fd, level, option)

static void names(void) {
  SECTION("names");
  char text[64];
  struct sockaddr_in from, a = any_port();
  int one = udp(), two = udp();
  socklen_t size = sizeof from;
  SHOW(getsockname(one, (struct sockaddr *)&from, &size));
  CHECK(from.sin_family == AF_INET && from.sin_port == 0 && from.sin_addr.s_addr == 0);
  SHOW(getpeername(one, (struct sockaddr *)&from, &size));
  SHOW(send(one, "x", 1, 0));
  SHOW(bind(one, (struct sockaddr *)&a, 8));
  a.sin_family = AF_UNIX;
  SHOW(bind(one, AS_SOCKADDR(a)));
  a = any_port();
  SHOW(bind(one, AS_SOCKADDR(a)));
  SHOW(bind(one, AS_SOCKADDR(a)));
  struct sockaddr_in at = name_of(one);
  CHECK(at.sin_port != 0 && ntohl(at.sin_addr.s_addr) == INADDR_LOOPBACK);
  SHOW(bind(two, AS_SOCKADDR(at)));
  SHOW(sendto(two, "hello", 5, 0, AS_SOCKADDR(at)));
  CHECK(name_of(two).sin_port != 0 && name_of(two).sin_addr.s_addr == 0);
  size = sizeof from;
  SHOW(recvfrom(one, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  CHECK(size == sizeof from && from.sin_port == name_of(two).sin_port && ntohl(from.sin_addr.s_addr) == INADDR_LOOPBACK);
  SHOW(listen(one, 1));
  SHOW(accept(one, NULL, NULL));
  SHOW(sendto(one, "x", 1, MSG_OOB, AS_SOCKADDR(from)));
  from.sin_port = 0;
  SHOW(sendto(one, "x", 1, 0, AS_SOCKADDR(from)));
  SHOW(sendto(one, "x", 1, 0, (struct sockaddr *)&from, 4));
  SHOW(sendto(one, (char *)8, 1, 0, AS_SOCKADDR(at)));
  SHOW(sendto(one, "x", 1, 0, (struct sockaddr *)8, sizeof at));
  static char huge[70000];
  SHOW(sendto(one, huge, 65508, 0, AS_SOCKADDR(at)));
  SHOW(sendto(one, huge, sizeof huge, 0, AS_SOCKADDR(at)));
  SHOW(sendto(one, huge, 65507, 0, AS_SOCKADDR(at)));
  static char room[70000];
  SHOW(recv(one, room, sizeof room, 0));
  close(one), close(two);
  SHOW(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
  SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
  SHOW(socket(AF_INET, SOCK_SEQPACKET, 0));
  SHOW(socket(AF_INET, SOCK_DGRAM, 1000));
  SHOW(socket(AF_INET, 99, 0));
  int pair[2];
  SHOW(socketpair(AF_INET, SOCK_DGRAM, 0, pair));
}

static void connected(void) {
  SECTION("connected");
  char text[64];
  int one = udp(), two = udp(), three = udp();
  struct sockaddr_in a = any_port();
  MUST(bind(one, AS_SOCKADDR(a)));
  MUST(bind(two, AS_SOCKADDR(a)));
  struct sockaddr_in at1 = name_of(one), at2 = name_of(two);
  SHOW(connect(two, AS_SOCKADDR(at1)));
  SHOW(send(two, "to one", 6, 0));
  SHOW(recv(one, text, sizeof text, 0));
  SHOW(sendto(three, "stranger", 8, 0, AS_SOCKADDR(at2)));
  SHOW(recv(two, text, sizeof text, MSG_DONTWAIT));
  SHOW(sendto(one, "reply", 5, 0, AS_SOCKADDR(at2)));
  SHOW(recv(two, text, sizeof text, 0));
  struct sockaddr_in peer;
  socklen_t size = sizeof peer;
  SHOW(getpeername(two, (struct sockaddr *)&peer, &size));
  CHECK(peer.sin_port == at1.sin_port);
  SHOW(write(two, "w", 1));
  SHOW(read(one, text, sizeof text));
  SHOW(sendto(two, "elsewhere", 9, 0, AS_SOCKADDR(at2)));
  SHOW(recv(two, text, sizeof text, MSG_DONTWAIT));
  struct sockaddr_in none = {.sin_family = AF_UNSPEC};
  SHOW(connect(two, AS_SOCKADDR(none)));
  CHECK(name_of(two).sin_port == 0);
  SHOW(send(two, "x", 1, 0));
  a.sin_port = at1.sin_port, a.sin_addr.s_addr = INADDR_ANY;
  SHOW(connect(three, AS_SOCKADDR(a)));
  CHECK(ntohl(name_of(three).sin_addr.s_addr) == INADDR_LOOPBACK);
  SHOW(send(three, "any", 3, 0));
  SHOW(recv(one, text, sizeof text, 0));
  close(one), close(two), close(three);
}

static void refused(void) {
  SECTION("nobody listens");
  char text[64];
  int one = udp(), two = udp();
  struct sockaddr_in a = any_port();
  MUST(bind(one, AS_SOCKADDR(a)));
  a = name_of(one);
  close(one);
  MUST(connect(two, AS_SOCKADDR(a)));
  SHOW(send(two, "x", 1, 0));
  struct pollfd entry = {.fd = two, .events = POLLIN | POLLOUT};
  SHOW(poll(&entry, 1, 1000));
  CHECK(entry.revents == (POLLERR | POLLOUT));
  SHOW(recv(two, text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(two, text, sizeof text, MSG_DONTWAIT));
  SHOW(send(two, "x", 1, 0));
  int error;
  socklen_t size = sizeof error;
  SHOW(getsockopt(two, SOL_SOCKET, SO_ERROR, &error, &size));
  say("error %s\n", errno_name(error));
  SHOW(send(two, "x", 1, 0));
  SHOW(send(two, "x", 1, 0));
  SHOW(send(two, "x", 1, 0));
  int unconnected = udp();
  SHOW(sendto(unconnected, "x", 1, 0, AS_SOCKADDR(a)));
  SHOW(recv(unconnected, text, sizeof text, MSG_DONTWAIT));
  close(two), close(unconnected);
}

static void boundaries(void) {
  SECTION("boundaries");
  char text[64];
  int bytes;
  int one = udp(), two = udp();
  struct sockaddr_in a = any_port();
  MUST(bind(one, AS_SOCKADDR(a)));
  a = name_of(one);
  MUST(connect(two, AS_SOCKADDR(a)));
  SHOW(send(two, "0123456789", 10, 0));
  SHOW(send(two, "", 0, 0));
  SHOW(send(two, "next", 4, 0));
  SHOW(ioctl(one, FIONREAD, &bytes));
  say("bytes %d\n", bytes);
  SHOW(recv(one, text, 4, MSG_PEEK));
  SHOW(recv(one, text, 4, MSG_PEEK | MSG_TRUNC));
  struct iovec room = {text, 4};
  struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1};
  SHOW(recvmsg(one, &message, 0));
  CHECK(message.msg_flags == MSG_TRUNC && message.msg_namelen == 0);
  SHOW(recv(one, text, sizeof text, 0));
  SHOW(recv(one, text, sizeof text, MSG_WAITALL));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  struct timeval brief = {0, 20000};
  SHOW(setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief));
  SHOW(recv(one, text, sizeof text, 0));
  SHOW(send(two, "lost", 4, 0));
  SHOW(recv(one, (char *)8, 4, 0));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  SHOW(send(two, "a", 1, MSG_MORE));
  SHOW(send(two, "b", 1, MSG_MORE));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  SHOW(send(two, "c", 1, 0));
  SHOW(recv(one, text, sizeof text, 0));
  int on = 1, off = 0;
  SHOW(setsockopt(two, IPPROTO_UDP, UDP_CORK, &on, sizeof on));
  SHOW(send(two, "left", 4, 0));
  SHOW(send(two, "right", 5, 0));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  SHOW(setsockopt(two, IPPROTO_UDP, UDP_CORK, &off, sizeof off));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  unsigned segment = 3;
  SHOW(setsockopt(two, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment));
  SHOW(send(two, "aaabbbcc", 8, 0));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(one, text, sizeof text, MSG_DONTWAIT));
  close(one), close(two);
}

static void sharing(void) {
  SECTION("sharing a port");
  int on = 1;
  struct sockaddr_in a = any_port(), wild = {.sin_family = AF_INET};
  int one = udp(), two = udp(), three = udp(), four = udp();
  MUST(bind(one, AS_SOCKADDR(a)));
  a = name_of(one), wild.sin_port = a.sin_port;
  SHOW(bind(two, AS_SOCKADDR(wild)));
  SHOW(setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  SHOW(bind(two, AS_SOCKADDR(wild)));
  SHOW(setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  SHOW(bind(two, AS_SOCKADDR(wild)));
  SHOW(setsockopt(three, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
  SHOW(bind(three, AS_SOCKADDR(wild)));
  a.sin_port = 0;
  SHOW(bind(three, AS_SOCKADDR(a)));
  a = name_of(three);
  SHOW(setsockopt(four, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
  SHOW(bind(four, AS_SOCKADDR(a)));
  close(one), close(two), close(three), close(four);
  CHILD_BEGIN {
    struct sockaddr_in low = any_port();
    low.sin_port = htons(81);
    become_ordinary();
    SHOW(bind(udp(), AS_SOCKADDR(low)));
    SHOW(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    SHOW(socket(AF_PACKET, SOCK_RAW, 0));
  }
  CHILD_END("ordinary");
}

static void options(void) {
  SECTION("options");
  int fd = udp(), value;
  OPTION(fd, SOL_SOCKET, SO_TYPE);
  OPTION(fd, SOL_SOCKET, SO_PROTOCOL);
  OPTION(fd, SOL_SOCKET, SO_DOMAIN);
  OPTION(fd, SOL_SOCKET, SO_ACCEPTCONN);
  OPTION(fd, SOL_SOCKET, SO_BROADCAST);
  OPTION(fd, SOL_SOCKET, SO_REUSEADDR);
  OPTION(fd, SOL_SOCKET, SO_KEEPALIVE);
  OPTION(fd, SOL_SOCKET, SO_TIMESTAMP);
  OPTION(fd, SOL_SOCKET, SO_PRIORITY);
  OPTION(fd, SOL_SOCKET, SO_MARK);
  OPTION(fd, SOL_SOCKET, SO_RCVLOWAT);
  OPTION(fd, SOL_SOCKET, SO_SNDLOWAT);
  OPTION(fd, SOL_SOCKET, SO_BUSY_POLL);
  OPTION(fd, IPPROTO_IP, IP_TTL);
  OPTION(fd, IPPROTO_IP, IP_TOS);
  OPTION(fd, IPPROTO_IP, IP_MULTICAST_TTL);
  OPTION(fd, IPPROTO_IP, IP_MULTICAST_LOOP);
  OPTION(fd, IPPROTO_IP, IP_MTU_DISCOVER);
  OPTION(fd, IPPROTO_IP, IP_RECVERR);
  OPTION(fd, IPPROTO_IP, IP_PKTINFO);
  OPTION(fd, IPPROTO_IP, IP_FREEBIND);
  OPTION(fd, IPPROTO_IP, IP_MTU);
  OPTION(fd, IPPROTO_IP, IP_HDRINCL);
  OPTION(fd, IPPROTO_IP, 150);
  OPTION(fd, IPPROTO_UDP, UDP_CORK);
  OPTION(fd, IPPROTO_UDP, 50);
  OPTION(fd, IPPROTO_TCP, 1);
  OPTION(fd, IPPROTO_IPV6, 26);
  OPTION(fd, 77, 1);
  value = 65;
  SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof value));
  SHOW(setsockopt(fd, IPPROTO_IP, IP_TOS, &value, 1));
  OPTION(fd, IPPROTO_IP, IP_TTL);
  OPTION(fd, IPPROTO_IP, IP_TOS);
  value = 300;
  SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof value));
  SHOW(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &value, sizeof value));
  SHOW(setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof value));
  value = 0;
  SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof value));
  value = -1;
  SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, &value, sizeof value));
  OPTION(fd, IPPROTO_IP, IP_TTL);
  SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, &value, 0));
  SHOW(setsockopt(fd, IPPROTO_IP, IP_TTL, (void *)8, sizeof value));
  SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 2));
  SHOW(setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, sizeof value));
  SHOW(setsockopt(fd, SOL_SOCKET, 1000, &value, sizeof value));
  SHOW(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
  char device[16] = "";
  socklen_t size = sizeof device;
  SHOW(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &size));
  say("%s %u\n", device, size);
  SHOW(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "none", 5));
  unsigned char small = 0;
  size = 1;
  SHOW(getsockopt(fd, IPPROTO_IP, IP_TTL, &small, &size));
  say("%d %u\n", small, size);
  close(fd);
}

static void readiness(void) {
  SECTION("readiness");
  char text[8];
  int one = udp(), two = udp(), epoll = (int)MUST(epoll_create1(0));
  struct sockaddr_in a = any_port();
  MUST(bind(one, AS_SOCKADDR(a)));
  a = name_of(one);
  MUST(connect(two, AS_SOCKADDR(a)));
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET}, got[2];
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, one, &event));
  SHOW(epoll_wait(epoll, got, 2, 0));
  say("events %#x\n", got[0].events);
  SHOW(epoll_wait(epoll, got, 2, 0));
  SHOW(send(two, "x", 1, 0));
  SHOW(epoll_wait(epoll, got, 2, 100));
  say("events %#x\n", got[0].events);
  SHOW(epoll_wait(epoll, got, 2, 0));
  SHOW(recv(one, text, sizeof text, 0));
  struct pollfd entry = {.fd = one, .events = -1};
  SHOW(poll(&entry, 1, 0));
  say("events %#x\n", entry.revents);
  SHOW(shutdown(one, SHUT_RD));
  SHOW(shutdown(two, 7));
  SHOW(shutdown(two, SHUT_RD));
  entry.fd = two;
  SHOW(poll(&entry, 1, 0));
  say("events %#x\n", entry.revents);
  SHOW(recv(two, text, sizeof text, 0));
  SHOW(shutdown(two, SHUT_WR));
  signal(SIGPIPE, SIG_DFL);
  SHOW(send(two, "x", 1, 0));
  SHOW(poll(&entry, 1, 0));
  say("events %#x\n", entry.revents);
  close(one), close(two), close(epoll);
}


int main(void) {
  begin();
  names();
  connected();
  refused();
  boundaries();
  sharing();
  options();
  readiness();
  return 0;
}
