/*
 * Netlink: sockets of NETLINK_ROUTE and NETLINK_SOCK_DIAG, as far as the answers are the same on every machine: the loopback interface, errors,
 * a listening socket of our own.
 */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define AS_SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

static struct {
  struct nlmsghdr header;
  char body[256];
} request;
static char answer[32768] __attribute__((aligned(8)));

static int route(void) {
  return (int)MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

static void ask(int fd, int type, int flags, const void *body, size_t size) {
  memset(&request, 0, sizeof request);
  request.header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(size), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 7};
  memcpy(request.body, body, size);
  if (send(fd, &request, request.header.nlmsg_len, 0) < 0) say("send: %s\n", errno_name(errno));
}

static void attribute(int type, const void *data, size_t size) {
  struct rtattr *at = (struct rtattr *)((char *)&request + NLMSG_ALIGN(request.header.nlmsg_len));
  at->rta_type = type, at->rta_len = RTA_LENGTH(size);
  memcpy(RTA_DATA(at), data, size);
  request.header.nlmsg_len = NLMSG_ALIGN(request.header.nlmsg_len) + RTA_SPACE(size);
}

/* The next message that is an error or acknowledgement. */
static void show_error(int fd) {
  ssize_t n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
  struct nlmsghdr *h = (struct nlmsghdr *)answer;
  if (n < 0) say("no answer: %s\n", errno_name(errno));
  else if (h->nlmsg_type != NLMSG_ERROR) say("type %d, not an error\n", h->nlmsg_type);
  else {
    struct nlmsgerr *e = NLMSG_DATA(h);
    say("error %s, sequence %u, of type %d, flags %#x\n", errno_name(-e->error), h->nlmsg_seq, e->msg.nlmsg_type, h->nlmsg_flags);
  }
}

static void names(void) {
  SECTION("names");
  int fd = route(), other = route();
  struct sockaddr_nl name = {.nl_family = AF_NETLINK}, got;
  socklen_t size = sizeof got;
  SHOW(getsockname(fd, (struct sockaddr *)&got, &size));
  CHECK(size == sizeof got && got.nl_family == AF_NETLINK && got.nl_pid == 0);
  SHOW(bind(fd, (struct sockaddr *)&name, 4));
  SHOW(bind(fd, AS_SOCKADDR(name)));
  size = sizeof got;
  SHOW(getsockname(fd, (struct sockaddr *)&got, &size));
  CHECK((pid_t)got.nl_pid == getpid());
  SHOW(bind(other, AS_SOCKADDR(got)));
  name.nl_family = AF_INET;
  SHOW(bind(other, AS_SOCKADDR(name)));
  name.nl_family = AF_NETLINK;
  SHOW(bind(other, AS_SOCKADDR(name)));
  size = sizeof got;
  MUST(getsockname(other, (struct sockaddr *)&got, &size));
  CHECK(got.nl_pid != 0 && (pid_t)got.nl_pid != getpid());
  SHOW(listen(fd, 1));
  SHOW(accept(fd, NULL, NULL));
  SHOW(recv(fd, answer, sizeof answer, MSG_DONTWAIT));
  struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT};
  SHOW(poll(&entry, 1, 0));
  say("events %#x\n", entry.revents);
  SHOW(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
  SHOW(socket(AF_NETLINK, SOCK_RAW, 31));
  SHOW(socket(AF_NETLINK, SOCK_RAW, 32));
  int on = 1;
  SHOW(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on));
  SHOW(setsockopt(fd, SOL_NETLINK, 77, &on, sizeof on));
  close(fd), close(other);
}

static void errors(void) {
  SECTION("errors");
  int fd = route();
  struct rtgenmsg any = {.rtgen_family = AF_UNSPEC};
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
  ask(fd, RTM_GETLINK, 0, &link, sizeof link);
  show_error(fd);
  link.ifi_index = 54321;
  ask(fd, RTM_GETLINK, 0, &link, sizeof link);
  show_error(fd);
  ask(fd, 1000, 0, &any, sizeof any);
  show_error(fd);
  ask(fd, RTM_GETLINK, 0, &any, 0);
  show_error(fd);
  memset(&request, 0, sizeof request);
  request.header = (struct nlmsghdr){.nlmsg_len = 16, .nlmsg_type = NLMSG_NOOP, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK};
  SHOW(send(fd, &request, 16, 0));
  show_error(fd);
  request.header.nlmsg_len = 8;
  SHOW(send(fd, &request, 16, 0));
  show_error(fd);
  SHOW(send(fd, &request, 3, 0));
  show_error(fd);
  struct sockaddr_nl nobody = {.nl_family = AF_NETLINK, .nl_pid = 4000000};
  SHOW(sendto(fd, &request, 16, 0, AS_SOCKADDR(nobody)));
  CHILD_BEGIN {
    become_ordinary();
    int mine = route();
    struct ifaddrmsg address = {.ifa_family = AF_INET, .ifa_prefixlen = 8, .ifa_index = 1};
    ask(mine, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &address, sizeof address);
    show_error(mine);
    link.ifi_index = 1;
    ask(mine, RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
    show_error(mine);
  }
  CHILD_END("ordinary");
  close(fd);
}

static void show_link(struct nlmsghdr *h) {
  struct ifinfomsg *link = NLMSG_DATA(h);
  int length = (int)IFLA_PAYLOAD(h);
  say("index %d type %d up %d loopback %d\n", link->ifi_index, link->ifi_type, !!(link->ifi_flags & IFF_UP), !!(link->ifi_flags & IFF_LOOPBACK));
  for (struct rtattr *a = IFLA_RTA(link); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
    if (a->rta_type == IFLA_IFNAME) say("name %s\n", (char *)RTA_DATA(a));
    if (a->rta_type == IFLA_MTU) say("mtu %u\n", *(unsigned *)RTA_DATA(a));
    if (a->rta_type == IFLA_ADDRESS) say("address of %d bytes\n", (int)RTA_PAYLOAD(a));
  }
}

static void links(void) {
  SECTION("links");
  int fd = route(), done = 0, found = 0;
  struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = 1};
  ask(fd, RTM_GETLINK, 0, &link, sizeof link);
  ssize_t n = recv(fd, answer, sizeof answer, 0);
  struct nlmsghdr *h = (struct nlmsghdr *)answer;
  CHECK(n > 0 && h->nlmsg_type == RTM_NEWLINK && h->nlmsg_seq == 7 && h->nlmsg_flags == 0);
  show_link(h);
  SHOW(recv(fd, answer, sizeof answer, MSG_DONTWAIT));
  link.ifi_index = 0;
  ask(fd, RTM_GETLINK, NLM_F_DUMP, &link, sizeof link);
  while (!done) {
    struct sockaddr_nl from;
    socklen_t size = sizeof from;
    n = recvfrom(fd, answer, sizeof answer, 0, (struct sockaddr *)&from, &size);
    if (n < 0) break;
    if (from.nl_pid != 0 || size != sizeof from) say("not from the kernel\n");
    for (h = (struct nlmsghdr *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      if (!(h->nlmsg_flags & NLM_F_MULTI) || h->nlmsg_seq != 7) say("not a part\n");
      if (h->nlmsg_type == NLMSG_DONE) done = 1;
      else if (((struct ifinfomsg *)NLMSG_DATA(h))->ifi_index == 1) show_link(h), found++;
    }
  }
  SHOW(found);
  SHOW(recv(fd, answer, 8, MSG_DONTWAIT));
  close(fd);
}

static void addresses(void) {
  SECTION("addresses");
  int fd = route(), done = 0;
  struct ifaddrmsg any = {.ifa_family = AF_INET};
  ask(fd, RTM_GETADDR, NLM_F_DUMP, &any, sizeof any);
  while (!done) {
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      if (h->nlmsg_type == NLMSG_DONE) done = 1;
      if (h->nlmsg_type != RTM_NEWADDR) continue;
      struct ifaddrmsg *a = NLMSG_DATA(h);
      if (a->ifa_index != 1) continue;
      say("family %d prefix %d scope %d flags %#x\n", a->ifa_family, a->ifa_prefixlen, a->ifa_scope, a->ifa_flags);
      int length = (int)IFA_PAYLOAD(h);
      for (struct rtattr *r = IFA_RTA(a); RTA_OK(r, length); r = RTA_NEXT(r, length)) {
        if (r->rta_type == IFA_LOCAL || r->rta_type == IFA_ADDRESS) say("%d: %#x\n", r->rta_type, ntohl(*(unsigned *)RTA_DATA(r)));
        if (r->rta_type == IFA_LABEL) say("label %s\n", (char *)RTA_DATA(r));
      }
    }
  }
  struct rtmsg way = {.rtm_family = AF_INET, .rtm_dst_len = 32};
  unsigned to = htonl(INADDR_LOOPBACK);
  memset(&request, 0, sizeof request);
  request.header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof way), .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST};
  memcpy(request.body, &way, sizeof way);
  attribute(RTA_DST, &to, sizeof to);
  MUST(send(fd, &request, request.header.nlmsg_len, 0));
  MUST(recv(fd, answer, sizeof answer, 0));
  struct nlmsghdr *h = (struct nlmsghdr *)answer;
  struct rtmsg *got = NLMSG_DATA(h);
  say("type %d: route type %d table %d prefix %d\n", h->nlmsg_type, got->rtm_type, got->rtm_table, got->rtm_dst_len);
  int length = (int)RTM_PAYLOAD(h);
  for (struct rtattr *r = RTM_RTA(got); RTA_OK(r, length); r = RTA_NEXT(r, length)) {
    if (r->rta_type == RTA_OIF) say("by %d\n", *(int *)RTA_DATA(r));
    if (r->rta_type == RTA_PREFSRC) say("from %#x\n", ntohl(*(unsigned *)RTA_DATA(r)));
  }
  close(fd);
}

static void sockets(void) {
  SECTION("sockets");
  int listener = (int)MUST(socket(AF_INET, SOCK_STREAM, 0)), fd = (int)MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG));
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  struct stat status;
  MUST(bind(listener, AS_SOCKADDR(at)));
  MUST(listen(listener, 5));
  MUST(getsockname(listener, (struct sockaddr *)&at, &size));
  MUST(fstat(listener, &status));
  struct inet_diag_req_v2 which = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1 << 10};
  ask(fd, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &which, sizeof which);
  for (int done = 0; !done;) {
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      if (h->nlmsg_type == NLMSG_DONE) done = 1;
      if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
      struct inet_diag_msg *m = NLMSG_DATA(h);
      if (m->id.idiag_sport != at.sin_port) continue;
      say("state %d queues %u %u address %#x\n", m->idiag_state, m->idiag_rqueue, m->idiag_wqueue, ntohl(m->id.idiag_src[0]));
      CHECK(m->idiag_inode == status.st_ino && m->idiag_uid == getuid());
    }
  }
  close(listener), close(fd);
}

static void interfaces(void) {
  SECTION("ioctl");
  int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM, 0));
  struct ifreq r;
  memset(&r, 0, sizeof r);
  strcpy(r.ifr_name, "lo");
  SHOW(ioctl(fd, SIOCGIFINDEX, &r));
  say("index %d\n", r.ifr_ifindex);
  SHOW(ioctl(fd, SIOCGIFADDR, &r));
  say("address %#x\n", ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr));
  SHOW(ioctl(fd, SIOCGIFNETMASK, &r));
  say("mask %#x\n", ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr));
  SHOW(ioctl(fd, SIOCGIFFLAGS, &r));
  say("flags %#x\n", r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
  SHOW(ioctl(fd, SIOCGIFMTU, &r));
  say("mtu %d\n", r.ifr_mtu);
  SHOW(ioctl(fd, SIOCGIFHWADDR, &r));
  say("kind %d\n", r.ifr_hwaddr.sa_family);
  r.ifr_ifindex = 1;
  strcpy(r.ifr_name, "?");
  SHOW(ioctl(fd, SIOCGIFNAME, &r));
  say("name %s\n", r.ifr_name);
  strcpy(r.ifr_name, "nothing");
  SHOW(ioctl(fd, SIOCGIFINDEX, &r));
  SHOW(ioctl(fd, SIOCGIFADDR, &r));
  SHOW(ioctl(fd, SIOCGIFINDEX, (void *)8));
  SHOW(if_nametoindex("lo"));
  CHILD_BEGIN {
    become_ordinary();
    strcpy(r.ifr_name, "lo");
    SHOW(ioctl(fd, SIOCSIFFLAGS, &r));
    SHOW(ioctl(fd, SIOCSIFMTU, &r));
  }
  CHILD_END("ordinary");
  close(fd);
}

int main(void) {
  begin();
  names();
  errors();
  links();
  addresses();
  sockets();
  interfaces();
  return 0;
}
