/*
 * IPv6 over loopback: addresses, sockets that also speak IPv4, options of the level IPPROTO_IPV6.
 */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#define AS_SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

static struct sockaddr_in6 name_of(int fd) {
  struct sockaddr_in6 address;
  socklen_t size = sizeof address;
  MUST(getsockname(fd, (struct sockaddr *)&address, &size));
  return address;
}

static struct sockaddr_in6 loopback(void) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
  return address;
}

static void show_name(const char *who, struct sockaddr_in6 address, socklen_t size) {
  char text[INET6_ADDRSTRLEN] = "?";
  inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
  say("%s: family %d, %u bytes, %s, scope %u, port %s\n", who, address.sin6_family, size, text, address.sin6_scope_id,
      address.sin6_port ? "some" : "none");
}

static void show_int(const char *text, int fd, int level, int option) {
  int value = -99;
  socklen_t size = sizeof value;
  if (getsockopt(fd, level, option, &value, &size) < 0) say("%s: %s\n", text, errno_name(errno));
  else say("%s: %d (%u bytes)\n", text, value, size);
}
#define OPTION(fd, level, option) show_int(#option, fd, level, option)

static void set_int(const char *text, int fd, int level, int option, int value) {
  errno = 0;
  int result = setsockopt(fd, level, option, &value, sizeof value);
  say("%s := %d: %s\n", text, value, result < 0 ? errno_name(errno) : "ok");
}
#define SET(fd, level, option, value) set_int(#option, fd, level, option, value)

static void names(void) {
  SECTION("names");
  int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), other = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
  struct sockaddr_in6 a = loopback(), from;
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  show_name("fresh", name_of(fd), sizeof a);
  SHOW(bind(fd, (struct sockaddr *)&a, 20));
  SHOW(bind(fd, AS_SOCKADDR(v4)));
  SHOW(bind(fd, (struct sockaddr *)&a, 24));
  SHOW(bind(fd, AS_SOCKADDR(a)));
  show_name("bound", name_of(fd), sizeof a);
  a = name_of(fd);
  SHOW(sendto(other, "six", 3, 0, AS_SOCKADDR(a)));
  char text[16];
  socklen_t size = sizeof from;
  SHOW(recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  show_name("from", from, size);
  v4.sin_port = a.sin6_port;
  SHOW(connect(other, (struct sockaddr *)&a, 20));
  SHOW(connect(other, AS_SOCKADDR(a)));
  SHOW(send(other, "x", 1, 0));
  SHOW(recv(fd, text, sizeof text, 0));
  show_name("connected", name_of(other), sizeof a);
  close(fd);
  SHOW(send(other, "x", 1, 0));
  struct pollfd entry = {.fd = other, .events = POLLIN};
  SHOW(poll(&entry, 1, 1000));
  SHOW(recv(other, text, sizeof text, 0));
  close(other);
}

static void dual(void) {
  SECTION("both versions");
  struct sockaddr_in6 any = {.sin6_family = AF_INET6}, peer;
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof peer;
  int listener = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
  OPTION(listener, IPPROTO_IPV6, IPV6_V6ONLY);
  SHOW(bind(listener, AS_SOCKADDR(any)));
  SET(listener, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  SHOW(listen(listener, 2));
  any = name_of(listener);
  v4.sin_port = any.sin6_port;
  int client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
  SHOW(connect(client, AS_SOCKADDR(v4)));
  int server = (int)MUST(accept(listener, (struct sockaddr *)&peer, &size));
  show_name("IPv4 client", peer, size);
  show_name("own name", name_of(server), size);
  SHOW(send(server, "hi", 2, 0));
  char text[8];
  SHOW(recv(client, text, sizeof text, 0));
  close(client), close(server);
  client = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
  struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = any.sin6_port};
  inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
  SHOW(connect(client, AS_SOCKADDR(mapped)));
  show_name("mapped", name_of(client), size);
  size = sizeof peer;
  SHOW(getpeername(client, (struct sockaddr *)&peer, &size));
  show_name("its peer", peer, size);
  OPTION(client, IPPROTO_IPV6, IPV6_V6ONLY);
  close(client);
  int other = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
  v4.sin_addr.s_addr = INADDR_ANY;
  SHOW(bind(other, AS_SOCKADDR(v4)));
  close(listener), close(other);
  listener = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
  SET(listener, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  any.sin6_port = 0;
  MUST(bind(listener, AS_SOCKADDR(any)));
  MUST(listen(listener, 1));
  v4.sin_port = name_of(listener).sin6_port;
  client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  SHOW(connect(client, AS_SOCKADDR(v4)));
  close(client);
  other = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
  v4.sin_addr.s_addr = INADDR_ANY;
  SHOW(bind(other, AS_SOCKADDR(v4)));
  close(other), close(listener);
  client = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
  SET(client, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK), v4.sin_port = htons(9);
  SHOW(sendto(client, "x", 1, 0, AS_SOCKADDR(v4)));
  mapped.sin6_port = htons(9);
  SHOW(sendto(client, "x", 1, 0, AS_SOCKADDR(mapped)));
  close(client);
  client = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0));
  SHOW(sendto(client, "x", 1, 0, AS_SOCKADDR(v4)));
  SHOW(sendto(client, "x", 1, 0, AS_SOCKADDR(mapped)));
  close(client);
}

static void stream(void) {
  SECTION("a stream");
  struct sockaddr_in6 a = loopback(), peer;
  int listener = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0)), client = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
  MUST(bind(listener, AS_SOCKADDR(a)));
  MUST(listen(listener, 1));
  a = name_of(listener);
  SHOW(connect(client, AS_SOCKADDR(a)));
  socklen_t size = sizeof peer;
  int server = (int)MUST(accept(listener, (struct sockaddr *)&peer, &size));
  show_name("client", peer, size);
  static char block[200000];
  for (int i = 0; i < 3; i++) {
    struct pollfd entry = {.fd = server, .events = POLLIN};
    ssize_t sent = send(client, block, 30000, 0), got = 0;
    while (got < sent && poll(&entry, 1, 1000) == 1) got += recv(server, block, sizeof block, 0);
    CHECK(got == sent);
  }
  OPTION(client, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
  OPTION(client, IPPROTO_IPV6, IPV6_MTU);
  OPTION(client, IPPROTO_IP, IP_TTL);
  OPTION(client, SOL_SOCKET, SO_DOMAIN);
  close(client), close(server), close(listener);
  client = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
  SHOW(connect(client, AS_SOCKADDR(a)));
  close(client);
}

static void options(void) {
  SECTION("options");
  int fd = (int)MUST(socket(AF_INET6, SOCK_DGRAM, 0)), tcp = (int)MUST(socket(AF_INET6, SOCK_STREAM, 0));
  OPTION(fd, IPPROTO_IPV6, IPV6_V6ONLY);
  OPTION(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
  OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS);
  OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP);
  OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF);
  OPTION(fd, IPPROTO_IPV6, IPV6_TCLASS);
  OPTION(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
  OPTION(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
  OPTION(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER);
  OPTION(fd, IPPROTO_IPV6, IPV6_DONTFRAG);
  OPTION(fd, IPPROTO_IPV6, IPV6_RECVERR);
  OPTION(fd, IPPROTO_IPV6, 250);
  SET(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256);
  SET(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 7);
  OPTION(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
  SET(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1);
  OPTION(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
  SET(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, -2);
  SET(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 3);
  OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS);
  SET(tcp, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 3);
  SET(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 2);
  SET(fd, IPPROTO_IPV6, IPV6_TCLASS, 300);
  SET(fd, IPPROTO_IPV6, IPV6_TCLASS, 32);
  OPTION(fd, IPPROTO_IPV6, IPV6_TCLASS);
  SET(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, 6);
  SET(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, 12345);
  SET(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, 1);
  OPTION(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF);
  SET(fd, IPPROTO_IPV6, 250, 1);
  SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &fd, 2));
  struct ipv6_mreq group = {.ipv6mr_interface = 1};
  inet_pton(AF_INET6, "ff02::1234", &group.ipv6mr_multiaddr);
  SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, 8));
  SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group));
  SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group));
  SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &group, sizeof group));
  SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &group, sizeof group));
  group.ipv6mr_multiaddr = in6addr_loopback;
  SHOW(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof group));
  OPTION(fd, IPPROTO_IP, IP_TOS);
  SET(fd, IPPROTO_IP, IP_TTL, 9);
  OPTION(fd, IPPROTO_IP, IP_TTL);
  close(fd), close(tcp);
}

int main(void) {
  begin();
  names();
  dual();
  stream();
  options();
  return 0;
}
