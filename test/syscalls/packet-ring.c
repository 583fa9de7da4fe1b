/*
 * Packet sockets whose frames come in memory that is mapped (PACKET_RX_RING), and what accompanies those that are received by a call.
 * Without CAP_NET_RAW there is nothing to see, here as there.
 */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define AS_SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)
#define BLOCK 8192u
#define FRAME 2048u
#define FRAMES 8u

static int udp;
static struct sockaddr_in at;

/* A socket for what `lo` gets for our port: of two events, leaving and arriving, the second. */
static int packet(int type) {
  int fd = socket(AF_PACKET, type, 0);
  if (fd < 0) return fd;
  unsigned port = ntohs(at.sin_port), network = SKF_NET_OFF;
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, network),      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x45, 0, 7),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, network + 9),  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 5),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, network + 22), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 3),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (unsigned)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 1), BPF_STMT(BPF_RET | BPF_K, 1000), BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_fprog whole = {.len = COUNT(program), .filter = program};
  MUST(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole));
  return fd;
}

static void listen_on_lo(int fd) {
  struct sockaddr_ll lo = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = 1};
  MUST(bind(fd, AS_SOCKADDR(lo)));
}

static void send_bytes(size_t length) {
  static char bytes[60000], back[60000];
  memset(bytes, 'a' + (int)(length % 26), length);
  MUST(sendto(udp, bytes, length, 0, AS_SOCKADDR(at)));
  MUST(recv(udp, back, sizeof back, 0));
}

static int readable(int fd) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  MUST(poll(&wait, 1, 0));
  return wait.revents;
}

static int ring(int fd, unsigned block_size, unsigned blocks, unsigned frame_size, unsigned frames) {
  struct tpacket_req request = {block_size, blocks, frame_size, frames};
  return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request);
}

static int set(int fd, int option, int value) { return setsockopt(fd, SOL_PACKET, option, &value, sizeof value); }
static int header_length(int fd, int version) {
  socklen_t size = sizeof version;
  return getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &version, &size) < 0 ? -1 : version;
}

static void requests(void) {
  SECTION("requests");
  int fd = packet(SOCK_RAW);
  SHOW(header_length(fd, TPACKET_V1));
  SHOW(header_length(fd, TPACKET_V2));
  SHOW(header_length(fd, 99));
  SHOW(set(fd, PACKET_VERSION, 99));
  SHOW(set(fd, PACKET_VERSION, TPACKET_V2));
  SHOW(set(fd, PACKET_RESERVE, -1));
  SHOW(ring(fd, 0, 1, FRAME, 1));
  SHOW(ring(fd, 4095, 1, FRAME, 1));
  SHOW(ring(fd, BLOCK, 2, 48, 340));
  SHOW(ring(fd, BLOCK, 2, FRAME + 8, 6));
  SHOW(ring(fd, BLOCK, 2, BLOCK + 16, 2));
  SHOW(ring(fd, BLOCK, 2, FRAME, 7));
  SHOW(ring(fd, BLOCK, 2, FRAME, 9));
  SHOW(ring(fd, 0x10000000, 0x10000000, 0x10000000, 0x10000000));
  SHOW(ring(fd, 0, 0, 0, 1));
  SHOW(ring(fd, 0, 0, 0, 0));
  struct tpacket_req request = {BLOCK, 2, FRAME, FRAMES};
  SHOW(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request - 1));
  SHOW(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0));
  SHOW(ring(fd, BLOCK, 2, FRAME, FRAMES));
  SHOW(ring(fd, BLOCK, 2, FRAME, FRAMES));
  SHOW(set(fd, PACKET_VERSION, TPACKET_V1));
  SHOW(set(fd, PACKET_RESERVE, 16));
  SHOW(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0));
  SHOW(mmap(NULL, 3 * BLOCK, PROT_READ, MAP_SHARED, fd, 0));
  SHOW(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, BLOCK));
  char *seen = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(seen != MAP_FAILED && seen[0] == 0 && seen[2 * BLOCK - 1] == 0);
  SHOW(ring(fd, 0, 0, 0, 0));
  MUST(munmap(seen, BLOCK));
  SHOW(ring(fd, 0, 0, 0, 0));
  MUST(munmap(seen + BLOCK, BLOCK));
  SHOW(ring(fd, 0, 0, 0, 0));
  SHOW(ring(fd, 4096, 1, FRAME, 2));
  close(fd);
}

static char *mapped(int fd, int version, int reserve) {
  MUST(set(fd, PACKET_VERSION, version));
  MUST(set(fd, PACKET_RESERVE, reserve));
  MUST(ring(fd, BLOCK, 2, FRAME, FRAMES));
  listen_on_lo(fd);
  char *memory = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) _exit(98);
  return memory;
}

/* What of a frame is the same on every run. */
static void show_second(const char *frame) {
  const struct tpacket2_hdr *head = (const void *)frame;
  const struct sockaddr_ll *from = (const void *)(frame + TPACKET_ALIGN(sizeof *head));
  unsigned status = head->tp_status & (TP_STATUS_USER | TP_STATUS_LOSING);
  say("status %u length %u captured %u link at %u network at %u\n", status, head->tp_len, head->tp_snaplen, head->tp_mac, head->tp_net);
  if (head->tp_status == 0) return;
  say("family %d protocol %#x interface %d hardware %d kind %d address of %d\n", from->sll_family, ntohs(from->sll_protocol), from->sll_ifindex,
      from->sll_hatype, from->sll_pkttype, from->sll_halen);
  CHECK(head->tp_sec > 1600000000u && head->tp_nsec < 1000000000u);
  say("begins with %#x, ends with '%c'\n", (unsigned char)frame[head->tp_net], frame[head->tp_mac + head->tp_snaplen - 1]);
}

static void frames(int type, int reserve) {
  SECTION(type == SOCK_RAW ? "frames" : "packets");
  int fd = packet(type);
  char *memory = mapped(fd, TPACKET_V2, reserve);
  CHECK(readable(fd) == 0);
  send_bytes(5);
  CHECK(readable(fd) == POLLIN);
  show_second(memory);
  send_bytes(1500);
  show_second(memory + FRAME);
  /* More than the filter leaves, and more than there is room for. */
  send_bytes(3000);
  show_second(memory + 2 * FRAME);
  struct tpacket2_hdr *third = (void *)(memory + 2 * FRAME), *first = (void *)memory;
  third->tp_status = TP_STATUS_KERNEL;
  CHECK(readable(fd) == 0);
  for (unsigned i = 0; i < FRAMES - 2; i++) send_bytes(10 + i);
  show_second(memory + 7 * FRAME);
  say("first: %u\n", first->tp_status & 5);
  struct tpacket_stats statistics;
  socklen_t size = sizeof statistics;
  SHOW(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size));
  say("%u seen, %u lost\n", statistics.tp_packets, statistics.tp_drops);
  first->tp_status = TP_STATUS_KERNEL;
  send_bytes(20);
  show_second(memory);
  char byte;
  SHOW(recv(fd, &byte, 1, MSG_DONTWAIT));
  close(fd);
  /* The mapping keeps it alive. */
  CHECK(memory[FRAME] != 0);
  munmap(memory, 2 * BLOCK);
}

static void first_version(void) {
  SECTION("the first version");
  int fd = packet(SOCK_RAW);
  char *memory = mapped(fd, TPACKET_V1, 0);
  send_bytes(9);
  const struct tpacket_hdr *head = (const void *)memory;
  say("status %lu length %u captured %u link at %u network at %u\n", head->tp_status & 5, head->tp_len, head->tp_snaplen, head->tp_mac, head->tp_net);
  CHECK(head->tp_sec > 1600000000u && head->tp_usec < 1000000u && memory[head->tp_mac + head->tp_snaplen - 1] == 'j');
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    memset(memory, 0, FRAME);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  CHECK(readable(fd) == 0);
  memset(memory, 0xff, 2 * BLOCK);
  send_bytes(9);
  CHECK(readable(fd) == POLLIN && memory[0] == -1);
  close(fd);
  munmap(memory, 2 * BLOCK);
}

static void auxiliary(int type) {
  SECTION("what accompanies frames");
  int fd = packet(type);
  listen_on_lo(fd);
  SHOW(set(fd, PACKET_AUXDATA, 1));
  char room[64], control[256];
  struct iovec piece = {room, sizeof room};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  send_bytes(2000);
  SHOW(recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC));
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    struct tpacket_auxdata facts;
    memcpy(&facts, CMSG_DATA(c), sizeof facts);
    say("level %d type %d bytes %zu: status %u length %u captured %u link %u network %u vlan %u\n", c->cmsg_level, c->cmsg_type, c->cmsg_len - CMSG_LEN(0),
        facts.tp_status & 1, facts.tp_len, facts.tp_snaplen, facts.tp_mac, facts.tp_net, facts.tp_vlan_tci);
  }
  close(fd);
}

int main(void) {
  begin();
  at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  udp = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
  MUST(bind(udp, AS_SOCKADDR(at)));
  MUST(getsockname(udp, (struct sockaddr *)&at, &(socklen_t){sizeof at}));
  if (socket(AF_PACKET, SOCK_RAW, 0) < 0) {
    say("%s\n", errno_name(errno));
    return 0;
  }
  requests();
  frames(SOCK_RAW, 0);
  frames(SOCK_DGRAM, 0);
  frames(SOCK_RAW, 4);
  frames(SOCK_DGRAM, 1900);
  first_version();
  auxiliary(SOCK_RAW);
  auxiliary(SOCK_DGRAM);
  return 0;
}
