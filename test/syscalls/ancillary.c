/*
 * Control messages of datagrams: what is known of a packet that came, and how one is to leave; error queues; several messages at once.
 */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#define AS_SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

static union {
  struct cmsghdr align;
  char bytes[512];
} control;

static struct sockaddr_in name_of(int fd) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  MUST(getsockname(fd, (struct sockaddr *)&address, &size));
  return address;
}

static void set(int fd, int level, int option, int value) {
  MUST(setsockopt(fd, level, option, &value, sizeof value));
}

static int bound(int domain) {
  int fd = (int)MUST(socket(domain, SOCK_DGRAM, 0));
  if (domain == AF_INET) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(fd, AS_SOCKADDR(a)));
  } else {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    MUST(bind(fd, AS_SOCKADDR(a)));
  }
  return fd;
}

static void show_control(struct msghdr *message) {
  say("flags %#x\n", message->msg_flags);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    unsigned char *data = CMSG_DATA(c);
    int value;
    memcpy(&value, data, sizeof value);
    unsigned length = (unsigned)(c->cmsg_len - CMSG_LEN(0));
    if (c->cmsg_level == SOL_IP && c->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, data, sizeof info);
      say("IP_PKTINFO index %d, local %#x, to %#x\n", info.ipi_ifindex, ntohl(info.ipi_spec_dst.s_addr), ntohl(info.ipi_addr.s_addr));
    } else if (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo info;
      char text[INET6_ADDRSTRLEN];
      memcpy(&info, data, sizeof info);
      say("IPV6_PKTINFO index %u, to %s\n", info.ipi6_ifindex, inet_ntop(AF_INET6, &info.ipi6_addr, text, sizeof text));
    } else if (c->cmsg_level == SOL_SOCKET) say("SOL_SOCKET %d, %u bytes\n", c->cmsg_type, length);
    else if (length == 1) say("level %d type %d: %d\n", c->cmsg_level, c->cmsg_type, data[0]);
    else if (length == 4) say("level %d type %d: %d\n", c->cmsg_level, c->cmsg_type, value);
    else say("level %d type %d, %u bytes\n", c->cmsg_level, c->cmsg_type, length);
  }
}

static void receive(int fd, size_t room, int flags) {
  char text[64];
  struct iovec part = {text, sizeof text};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = room};
  memset(control.bytes, 0, sizeof control.bytes);
  SHOW(recvmsg(fd, &message, flags));
  show_control(&message);
}

static struct cmsghdr *put(struct msghdr *message, int level, int type, const void *data, size_t length) {
  message->msg_control = control.bytes;
  message->msg_controllen = CMSG_SPACE(length);
  memset(control.bytes, 0, sizeof control.bytes);
  struct cmsghdr *c = CMSG_FIRSTHDR(message);
  c->cmsg_level = level, c->cmsg_type = type, c->cmsg_len = CMSG_LEN(length);
  memcpy(CMSG_DATA(c), data, length);
  return c;
}

static void ipv4(void) {
  SECTION("IPv4");
  int fd = bound(AF_INET), sender = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in at = name_of(fd);
  set(fd, IPPROTO_IP, IP_PKTINFO, 1), set(fd, IPPROTO_IP, IP_RECVTTL, 1), set(fd, IPPROTO_IP, IP_RECVTOS, 1);
  set(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
  MUST(sendto(sender, "plain", 5, 0, AS_SOCKADDR(at)));
  receive(fd, sizeof control, 0);
  set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  set(sender, IPPROTO_IP, IP_TTL, 9), set(sender, IPPROTO_IP, IP_TOS, 0x28);
  MUST(sendto(sender, "options", 7, 0, AS_SOCKADDR(at)));
  receive(fd, sizeof control, MSG_PEEK);
  receive(fd, 40, 0);
  set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 0);
  MUST(sendto(sender, "little room", 11, 0, AS_SOCKADDR(at)));
  receive(fd, 20, 0);
  MUST(sendto(sender, "none", 4, 0, AS_SOCKADDR(at)));
  receive(fd, 0, 0);

  SECTION("leaving");
  struct iovec part = {"data", 4};
  struct msghdr message = {.msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &part, .msg_iovlen = 1};
  int ttl = 33, tos = 0x10;
  put(&message, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
  SHOW(sendmsg(sender, &message, 0));
  receive(fd, sizeof control, 0);
  put(&message, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
  SHOW(sendmsg(sender, &message, 0));
  receive(fd, sizeof control, 0);
  ttl = 0;
  put(&message, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
  SHOW(sendmsg(sender, &message, 0));
  ttl = 256;
  put(&message, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
  SHOW(sendmsg(sender, &message, 0));
  put(&message, IPPROTO_IP, 99, &ttl, sizeof ttl);
  SHOW(sendmsg(sender, &message, 0));
  put(&message, 99, 99, &ttl, sizeof ttl);
  SHOW(sendmsg(sender, &message, 0));
  receive(fd, sizeof control, 0);
  put(&message, SOL_SOCKET, 99, &ttl, sizeof ttl);
  SHOW(sendmsg(sender, &message, 0));
  struct cmsghdr *c = put(&message, IPPROTO_IP, IP_TTL, &tos, sizeof tos);
  c->cmsg_len = 5;
  SHOW(sendmsg(sender, &message, 0));
  c->cmsg_len = 500;
  SHOW(sendmsg(sender, &message, 0));
  struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x7f000007)};
  put(&message, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  SHOW(sendmsg(sender, &message, 0));
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  char text[16];
  SHOW(recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  say("from %#x\n", ntohl(from.sin_addr.s_addr));
  info.ipi_ifindex = 4711;
  put(&message, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  SHOW(sendmsg(sender, &message, 0));
  put(&message, IPPROTO_IP, IP_PKTINFO, &info, 8);
  SHOW(sendmsg(sender, &message, 0));
  uint16_t segment = 2;
  message.msg_control = control.bytes;
  put(&message, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
  SHOW(sendmsg(sender, &message, 0));
  SHOW(recv(fd, text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(fd, text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(fd, text, sizeof text, MSG_DONTWAIT));
  close(fd), close(sender);
}

static void ipv6(void) {
  SECTION("IPv6");
  int fd = bound(AF_INET6), sender = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
  struct sockaddr_in6 at;
  socklen_t size = sizeof at;
  MUST(getsockname(fd, (struct sockaddr *)&at, &size));
  at.sin6_addr = in6addr_loopback;
  set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1), set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1), set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  MUST(sendto(sender, "six", 3, 0, AS_SOCKADDR(at)));
  receive(fd, sizeof control, 0);
  struct iovec part = {"data", 4};
  struct msghdr message = {.msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &part, .msg_iovlen = 1};
  int value = 77;
  put(&message, IPPROTO_IPV6, IPV6_HOPLIMIT, &value, sizeof value);
  SHOW(sendmsg(sender, &message, 0));
  receive(fd, sizeof control, 0);
  put(&message, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value);
  SHOW(sendmsg(sender, &message, 0));
  receive(fd, sizeof control, 0);
  value = 300;
  put(&message, IPPROTO_IPV6, IPV6_HOPLIMIT, &value, sizeof value);
  SHOW(sendmsg(sender, &message, 0));
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = at.sin6_port};
  int four = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
  MUST(sendto(four, "four", 4, 0, AS_SOCKADDR(v4)));
  receive(fd, sizeof control, 0);
  close(fd), close(sender), close(four);
}

static void errors(void) {
  SECTION("the error queue");
  int gone = bound(AF_INET), fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in at = name_of(gone), to;
  close(gone);
  set(fd, IPPROTO_IP, IP_RECVERR, 1);
  char text[64];
  SHOW(recv(fd, text, sizeof text, MSG_ERRQUEUE));
  SHOW(sendto(fd, "lost", 4, 0, AS_SOCKADDR(at)));
  struct pollfd entry = {.fd = fd, .events = POLLIN};
  SHOW(poll(&entry, 1, 1000));
  say("events %#x\n", entry.revents);
  struct iovec part = {text, sizeof text};
  struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
  SHOW(recvmsg(fd, &message, MSG_ERRQUEUE));
  say("flags %#x, to the port: %d\n", message.msg_flags, to.sin_port == at.sin_port);
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  struct sock_extended_err error;
  memcpy(&error, CMSG_DATA(c), sizeof error);
  struct sockaddr_in offender;
  memcpy(&offender, CMSG_DATA(c) + sizeof error, sizeof offender);
  say("level %d type %d length %zu\n", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
  say("%s origin %d type %d code %d offender %#x\n", errno_name((int)error.ee_errno), error.ee_origin, error.ee_type, error.ee_code,
      ntohl(offender.sin_addr.s_addr));
  SHOW(recv(fd, text, sizeof text, MSG_ERRQUEUE));
  SHOW(recv(fd, text, sizeof text, MSG_DONTWAIT));
  SHOW(poll(&entry, 1, 0));
  close(fd);
}

static void many(void) {
  SECTION("many at once");
  int fd = bound(AF_INET), sender = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in at = name_of(fd), names[4];
  MUST(connect(sender, AS_SOCKADDR(at)));
  struct iovec parts[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}}, rooms[4];
  struct mmsghdr out[3], in[4];
  char buffers[4][8];
  memset(out, 0, sizeof out), memset(in, 0, sizeof in);
  for (int i = 0; i < 3; i++) out[i].msg_hdr.msg_iov = &parts[i], out[i].msg_hdr.msg_iovlen = 1;
  for (int i = 0; i < 4; i++) {
    rooms[i] = (struct iovec){buffers[i], 8};
    in[i].msg_hdr.msg_iov = &rooms[i], in[i].msg_hdr.msg_iovlen = 1;
    in[i].msg_hdr.msg_name = &names[i], in[i].msg_hdr.msg_namelen = sizeof names[i];
  }
  SHOW(sendmmsg(sender, out, 3, 0));
  SHOW(recvmmsg(fd, in, 4, MSG_WAITFORONE, NULL));
  say("lengths %u %u %u, names of %u bytes\n", in[0].msg_len, in[1].msg_len, in[2].msg_len, in[0].msg_hdr.msg_namelen);
  struct timespec patience = {0, 20000000};
  SHOW(recvmmsg(fd, in, 4, MSG_DONTWAIT, &patience));
  SHOW(sendmmsg(sender, out, 0, 0));
  close(fd);
  SHOW(sendmmsg(sender, out, 1, 0));
  usleep(10000);
  SHOW(sendmmsg(sender, out, 3, 0));
  close(sender);
}

int main(void) {
  begin();
  ipv4();
  ipv6();
  errors();
  many();
  return 0;
}
