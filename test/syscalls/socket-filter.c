/*
 * Filters of sockets (SO_ATTACH_FILTER): which programs are taken, what they see of a packet, what they leave of it, for every kind of socket.
 */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define KEEP(n) BPF_STMT(BPF_RET | BPF_K, n)
#define ALL 0xffffffff
#define DROP KEEP(0)
#define LOAD(size, at) BPF_STMT(BPF_LD | size | BPF_ABS, (unsigned)(at))
#define IF_EQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
#define PROGRAM(...) (struct sock_filter[]){__VA_ARGS__}, sizeof((struct sock_filter[]){__VA_ARGS__}) / sizeof(struct sock_filter)
#define AS_SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

static int attach(int fd, const struct sock_filter *program, size_t length) {
  struct sock_fprog whole = {.len = (unsigned short)length, .filter = (struct sock_filter *)program};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole);
}
static int detach(int fd) { return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int)); }

static struct sockaddr_in bound(int fd) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  MUST(bind(fd, AS_SOCKADDR(address)));
  MUST(getsockname(fd, (struct sockaddr *)&address, &(socklen_t){sizeof address}));
  return address;
}

/* A datagram to itself: what comes of it. */
static int one;
static struct sockaddr_in at;
static void send_one(const char *what, const char *text) {
  char room[256] = "";
  MUST(sendto(one, text, strlen(text), 0, AS_SOCKADDR(at)));
  ssize_t n = recv(one, room, sizeof room - 1, MSG_DONTWAIT);
  if (n < 0) say("%s: %s\n", what, errno_name(errno));
  else say("%s: %zd \"%.*s\"\n", what, n, (int)n, room);
}
#define WITH(text, ...)                                                    \
  do {                                                                     \
    int result_ = attach(one, PROGRAM(__VA_ARGS__));                       \
    if (result_ < 0) say("%s: %s\n", #__VA_ARGS__, errno_name(errno));     \
    else send_one(#__VA_ARGS__, text);                                     \
  } while (0)

static void checked(void) {
  SECTION("which programs are taken");
  struct sock_fprog whole = {.len = 1, .filter = NULL};
  SHOW(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole));
  whole.filter = (void *)8;
  SHOW(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole));
  SHOW(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole - 1));
  SHOW(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole + 1));
  SHOW(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, &whole, 4));
  SHOW(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, (void *)8, sizeof whole));
  struct sock_filter keep = KEEP(ALL);
  SHOW(attach(one, &keep, 0));
  SHOW(attach(one, &keep, BPF_MAXINSNS + 1));
  SHOW(detach(one));
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(munmap(page + 4096, 4096));
  struct sock_filter *last = (struct sock_filter *)(page + 4096) - 1;
  *last = keep;
  SHOW(attach(one, last, 2));
  SHOW(attach(one, last, 1));
  SHOW(detach(one));
  WITH("x", LOAD(BPF_W, 0));
  WITH("x", BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), KEEP(ALL));
  WITH("x", BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 0), KEEP(ALL));
  WITH("x", BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), KEEP(ALL));
  WITH("x", BPF_STMT(BPF_LD | BPF_MEM, 3), KEEP(ALL));
  WITH("x", BPF_STMT(BPF_ST, 16), KEEP(ALL));
  WITH("x", BPF_STMT(BPF_JMP | BPF_JA, 1), KEEP(ALL));
  WITH("x", IF_EQ(0, 0, 1), KEEP(ALL));
  WITH("x", BPF_STMT(BPF_RET | BPF_X, 0));
  WITH("x", BPF_STMT(BPF_LDX | BPF_H | BPF_MSH, 0), KEEP(ALL));
  WITH("x", LOAD(BPF_W, SKF_AD_OFF + 1), KEEP(ALL));
  WITH("x", LOAD(BPF_W, SKF_AD_OFF + SKF_AD_MAX), KEEP(ALL));
  WITH("x", BPF_STMT(0xffff, 0), KEEP(ALL));
  for (unsigned code = 0; code < 256; code++) {
    int taken = attach(one, PROGRAM(BPF_STMT(BPF_ST, 1), BPF_STMT(code, 1), KEEP(ALL))) == 0;
    if (taken) say("code %#x\n", code);
  }
  SHOW(detach(one));
}

static void seen(void) {
  SECTION("what they see, and what they leave");
  WITH("hello", KEEP(ALL));
  WITH("hello", DROP);
  WITH("hello", KEEP(1));
  WITH("hello", KEEP(8));
  WITH("hello", KEEP(10));
  WITH("hello", KEEP(13));
  WITH("hello", KEEP(0x80000000));
  WITH("hello", BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), IF_EQ(13, 0, 1), KEEP(ALL), DROP);
  WITH("hello", BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_STMT(BPF_RET | BPF_A, 0));
  WITH("hello", LOAD(BPF_H, 2), IF_EQ(ntohs(at.sin_port), 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_H, 4), IF_EQ(13, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_B, 8), IF_EQ('h', 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_W, 9), IF_EQ(0x656c6c6f, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_W, 10), KEEP(ALL));
  WITH("hello", LOAD(BPF_H, 12), KEEP(ALL));
  WITH("hello", LOAD(BPF_B, 12), KEEP(ALL));
  WITH("hello", LOAD(BPF_B, 13), KEEP(ALL));
  WITH("hello", LOAD(BPF_W, 0x7fffffff), KEEP(ALL));
  WITH("hello", BPF_STMT(BPF_LDX | BPF_IMM, 8), BPF_STMT(BPF_LD | BPF_B | BPF_IND, 4), IF_EQ('o', 0, 1), KEEP(ALL), DROP);
  WITH("hello", BPF_STMT(BPF_LDX | BPF_IMM, 9), BPF_STMT(BPF_LD | BPF_B | BPF_IND, -1), IF_EQ('h', 0, 1), KEEP(ALL), DROP);
  WITH("hello", BPF_STMT(BPF_LDX | BPF_IMM, 0x7fffffff), BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0x7fffffff), KEEP(ALL));
  /* X = 4 * (second nibble of 'h' 0x68) */
  WITH("hello", BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 8), BPF_STMT(BPF_MISC | BPF_TXA, 0), IF_EQ(32, 0, 1), KEEP(ALL), DROP);
  WITH("hello", BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 13), KEEP(ALL));
  SECTION("the headers before");
  WITH("hello", LOAD(BPF_B, SKF_NET_OFF), IF_EQ(0x45, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_H, SKF_NET_OFF + 2), IF_EQ(33, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_B, SKF_NET_OFF + 8), IF_EQ(64, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_B, SKF_NET_OFF + 9), IF_EQ(17, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_W, SKF_NET_OFF + 16), IF_EQ(INADDR_LOOPBACK, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_B, SKF_NET_OFF + 28), IF_EQ('h', 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_B, SKF_NET_OFF + 33), KEEP(ALL));
  WITH("hello", BPF_STMT(BPF_LDX | BPF_IMM, 9), BPF_STMT(BPF_LD | BPF_B | BPF_IND, SKF_NET_OFF), IF_EQ(17, 0, 1), KEEP(ALL), DROP);
  SECTION("what is known besides");
  WITH("hello", LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PROTOCOL), IF_EQ(ETH_P_IP, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PKTTYPE), IF_EQ(PACKET_HOST, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_H, SKF_AD_OFF + SKF_AD_IFINDEX), IF_EQ(1, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_B, SKF_AD_OFF + SKF_AD_HATYPE), IF_EQ(772, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_W, SKF_AD_OFF + SKF_AD_MARK), IF_EQ(0, 0, 1), KEEP(ALL), DROP);
  WITH("hello", LOAD(BPF_W, SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT), IF_EQ(0, 0, 1), KEEP(ALL), DROP);
  WITH("hello", BPF_STMT(BPF_LD | BPF_IMM, 12), BPF_STMT(BPF_LDX | BPF_IMM, 6), LOAD(BPF_W, SKF_AD_OFF + SKF_AD_ALU_XOR_X), BPF_STMT(BPF_RET | BPF_A, 0));
  SECTION("arithmetic");
  WITH("hello", BPF_STMT(BPF_LD | BPF_IMM, 29), BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 18), BPF_STMT(BPF_RET | BPF_A, 0));
  WITH("hello", BPF_STMT(BPF_LD | BPF_IMM, -1), BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 11), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 8), BPF_STMT(BPF_RET | BPF_A, 0));
  WITH("hello", BPF_STMT(BPF_LD | BPF_IMM, 9), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), KEEP(ALL));
  WITH("hello", BPF_STMT(BPF_LD | BPF_IMM, 9), BPF_STMT(BPF_ALU | BPF_MOD | BPF_X, 0), KEEP(ALL));
  WITH("hello", BPF_STMT(BPF_LD | BPF_IMM, -20), BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1), BPF_STMT(BPF_RET | BPF_A, 0));
  SECTION("none any more");
  SHOW(detach(one));
  SHOW(detach(one));
  send_one("without", "hello");
}

static void read_back(void) {
  SECTION("reading it, and locking");
  struct sock_filter back[4] = {{0}};
  socklen_t size = 4;
  SHOW(getsockopt(one, SOL_SOCKET, SO_GET_FILTER, back, &size));
  CHECK(size == 0);
  SHOW(attach(one, PROGRAM(LOAD(BPF_B, 0), KEEP(9))));
  size = 0;
  SHOW(getsockopt(one, SOL_SOCKET, SO_GET_FILTER, NULL, &size));
  CHECK(size == 2);
  size = 1;
  SHOW(getsockopt(one, SOL_SOCKET, SO_GET_FILTER, back, &size));
  size = 4;
  SHOW(getsockopt(one, SOL_SOCKET, SO_GET_FILTER, (void *)8, &size));
  SHOW(getsockopt(one, SOL_SOCKET, SO_GET_FILTER, back, &size));
  CHECK(size == 2 && back[0].code == (BPF_LD | BPF_B | BPF_ABS) && back[1].k == 9 && back[2].code == 0);
  int on = 1;
  SHOW(setsockopt(one, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on));
  on = 7, size = sizeof on;
  SHOW(getsockopt(one, SOL_SOCKET, SO_LOCK_FILTER, &on, &size));
  CHECK(on == 1 && size == 4);
  SHOW(setsockopt(one, SOL_SOCKET, SO_LOCK_FILTER, &(int){5}, 4));
  SHOW(setsockopt(one, SOL_SOCKET, SO_LOCK_FILTER, &(int){0}, 4));
  SHOW(attach(one, PROGRAM(KEEP(ALL))));
  SHOW(detach(one));
  send_one("locked", "hello");
}

static void streams(void) {
  SECTION("TCP");
  int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in name = bound(listener);
  MUST(listen(listener, 4));
  /* Only what has a destination port of its own, and no data 'Z' first. */
  SHOW(attach(listener, PROGRAM(LOAD(BPF_H, 2), IF_EQ(ntohs(name.sin_port), 0, 7), BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 12), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
                                BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2), BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
                                BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), BPF_STMT(BPF_RET | BPF_K, ALL), DROP)));
  int client = (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
  SHOW(connect(client, AS_SOCKADDR(name)));
  int server = (int)MUST(accept(listener, NULL, NULL));
  char text[16];
  SHOW(write(client, "hello", 5));
  SHOW(read(server, text, sizeof text));
  socklen_t size = 0;
  SHOW(getsockopt(server, SOL_SOCKET, SO_GET_FILTER, NULL, &size));
  CHECK(size == 10);
  SHOW(attach(server, PROGRAM(DROP)));
  SHOW(write(client, "lost, for now", 13));
  struct pollfd wait = {.fd = server, .events = POLLIN};
  SHOW(poll(&wait, 1, 100));
  SHOW(detach(server));
  SHOW(poll(&wait, 1, 5000));
  SHOW(read(server, text, sizeof text));
  SHOW(attach(listener, PROGRAM(DROP)));
  int unheard = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  SHOW(connect(unheard, AS_SOCKADDR(name)));
  wait.fd = unheard, wait.events = POLLOUT;
  SHOW(poll(&wait, 1, 100));
  close(unheard), close(client), close(server), close(listener);
}

static void messages(int type) {
  char text[16];
  int pair[2];
  MUST(socketpair(AF_UNIX, type, 0, pair));
  SHOW(attach(pair[1], PROGRAM(LOAD(BPF_B, 0), IF_EQ('a', 0, 1), KEEP(3), DROP)));
  SHOW(send(pair[0], "abcdef", 6, 0));
  SHOW(send(pair[0], "bcdef", 5, 0));
  SHOW(send(pair[0], "", 0, 0));
  SHOW(recv(pair[1], text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(pair[1], text, sizeof text, MSG_DONTWAIT));
  SHOW(send(pair[1], "zzz", 3, 0));
  SHOW(recv(pair[0], text, sizeof text, MSG_DONTWAIT));
  close(pair[0]), close(pair[1]);
}

static void netlink(void) {
  SECTION("netlink");
  int fd = (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct {
    struct nlmsghdr head;
    struct ifinfomsg info;
  } question = {{sizeof question, RTM_GETLINK, NLM_F_REQUEST, 1, 0}, {.ifi_index = 1}};
  static char reply[8192];
  SHOW(attach(fd, PROGRAM(DROP)));
  SHOW(send(fd, &question, sizeof question, 0));
  SHOW(recv(fd, reply, sizeof reply, MSG_DONTWAIT));
  SHOW(attach(fd, PROGRAM(KEEP(20))));
  SHOW(send(fd, &question, sizeof question, 0));
  SHOW(recv(fd, reply, sizeof reply, MSG_DONTWAIT));
  CHECK(((struct nlmsghdr *)reply)->nlmsg_type == RTM_NEWLINK);
  close(fd);
}

static void raw(void) {
  SECTION("raw and packet sockets");
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
  int frames = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
  int cooked = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
  if (fd < 0 || frames < 0 || cooked < 0) return;
  /* What goes to our port, and of that the first bytes. */
  unsigned port = ntohs(at.sin_port);
  static char room[256];
  SHOW(attach(fd, PROGRAM(LOAD(BPF_B, 0), BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2), IF_EQ(port, 0, 1), KEEP(30), DROP)));
  SHOW(attach(frames, PROGRAM(LOAD(BPF_H, 12), IF_EQ(ETH_P_IP, 0, 7), LOAD(BPF_B, 23), IF_EQ(17, 0, 5), BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
                              BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16), IF_EQ(port, 0, 2), LOAD(BPF_W, SKF_LL_OFF), KEEP(40), DROP)));
  SHOW(attach(cooked, PROGRAM(LOAD(BPF_B, 9), IF_EQ(17, 0, 6), BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2), IF_EQ(port, 0, 3),
                              LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PKTTYPE), IF_EQ(PACKET_OUTGOING, 1, 0), KEEP(ALL), DROP)));
  MUST(recv(one, room, sizeof room, MSG_DONTWAIT) < 0);
  send_one("itself", "hello");
  SHOW(recv(fd, room, sizeof room, MSG_DONTWAIT));
  CHECK(room[28] == 'h' && room[29] == 'e');
  SHOW(recv(fd, room, sizeof room, MSG_DONTWAIT));
  SHOW(recv(frames, room, sizeof room, MSG_DONTWAIT | MSG_TRUNC));
  SHOW(recv(frames, room, sizeof room, MSG_DONTWAIT));
  SHOW(recv(frames, room, sizeof room, MSG_DONTWAIT));
  SHOW(recv(cooked, room, sizeof room, MSG_DONTWAIT));
  CHECK(room[28] == 'h');
  SHOW(recv(cooked, room, sizeof room, MSG_DONTWAIT));
  close(fd), close(frames), close(cooked);
}

int main(void) {
  begin();
  one = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
  at = bound(one);
  checked();
  seen();
  raw();
  streams();
  SECTION("AF_UNIX");
  messages(SOCK_DGRAM);
  messages(SOCK_SEQPACKET);
  messages(SOCK_STREAM);
  netlink();
  read_back();
  return 0;
}
