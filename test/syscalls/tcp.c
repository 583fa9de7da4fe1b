/*
 * TCP over loopback: how connections begin, carry bytes and end, with the errors of each step.
 */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#define AS_SOCKADDR(a) (struct sockaddr *)&(a), sizeof(a)

static int tcp(void) {
  return (int)MUST(socket(AF_INET, SOCK_STREAM, 0));
}

static struct sockaddr_in name_of(int fd) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  MUST(getsockname(fd, (struct sockaddr *)&address, &size));
  return address;
}

static int listening(int backlog) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = tcp();
  MUST(bind(fd, AS_SOCKADDR(address)));
  MUST(listen(fd, backlog));
  return fd;
}

/* Two ends of a connection. */
static void join(int *client, int *server) {
  int listener = listening(1);
  struct sockaddr_in at = name_of(listener);
  *client = tcp();
  MUST(connect(*client, AS_SOCKADDR(at)));
  *server = (int)MUST(accept(listener, NULL, NULL));
  close(listener);
}

static void show_events(const char *who, int fd) {
  struct pollfd entry = {.fd = fd, .events = -1};
  poll(&entry, 1, 0);
  say("%s: events %#x\n", who, entry.revents);
}

/* Until `events` are there: news of the other end may take a moment. */
static void await(int fd, short events) {
  struct pollfd entry = {.fd = fd, .events = events};
  if (poll(&entry, 1, 2000) != 1) say("nothing came\n");
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

static void show_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
  say("SO_ERROR %s\n", errno_name(error));
}

static void names(void) {
  SECTION("names");
  char text[8];
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
  socklen_t size;
  int fd = tcp();
  show_events("fresh", fd);
  SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
  SHOW(recv(fd, text, sizeof text, 0));
  SHOW(accept(fd, NULL, NULL));
  SHOW(shutdown(fd, SHUT_RDWR));
  SHOW(getpeername(fd, (struct sockaddr *)&peer, &(socklen_t){sizeof peer}));
  SHOW(bind(fd, (struct sockaddr *)&a, 4));
  SHOW(bind(fd, AS_SOCKADDR(a)));
  SHOW(bind(fd, AS_SOCKADDR(a)));
  a = name_of(fd);
  int other = tcp();
  SHOW(bind(other, AS_SOCKADDR(a)));
  SHOW(listen(fd, 5));
  SHOW(listen(fd, 6));
  SHOW(connect(fd, AS_SOCKADDR(a)));
  SHOW(recv(fd, text, sizeof text, 0));
  show_events("listening", fd);
  OPTION(fd, SOL_SOCKET, SO_ACCEPTCONN);
  SHOW(connect(other, (struct sockaddr *)&a, 4));
  a.sin_family = AF_INET6;
  SHOW(connect(other, AS_SOCKADDR(a)));
  a.sin_family = AF_INET;
  SHOW(connect(other, AS_SOCKADDR(a)));
  SHOW(connect(other, AS_SOCKADDR(a)));
  show_events("listening", fd);
  size = sizeof peer;
  int end = (int)SHOW(accept4(fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK) > 0);
  (void)end;
  CHECK(size == sizeof peer && peer.sin_port == name_of(other).sin_port);
  SHOW(listen(other, 1));
  size = sizeof peer;
  SHOW(getpeername(other, (struct sockaddr *)&peer, &size));
  CHECK(peer.sin_port == a.sin_port);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  SHOW(accept(fd, NULL, NULL));
  SHOW(accept4(fd, NULL, NULL, 1));
  close(other), close(fd);
  fd = tcp();
  SHOW(listen(fd, 1));
  CHECK(name_of(fd).sin_port != 0);
  SHOW(shutdown(fd, SHUT_RD));
  SHOW(accept(fd, NULL, NULL));
  show_events("no longer listening", fd);
  close(fd);
}

static void bytes(void) {
  SECTION("bytes");
  int client, server, n;
  char text[64];
  join(&client, &server);
  show_events("client", client);
  SHOW(send(client, "hello", 5, 0));
  await(server, POLLIN);
  SHOW(ioctl(server, FIONREAD, &n));
  say("unread %d\n", n);
  SHOW(recv(server, text, 2, MSG_PEEK));
  SHOW(recv(server, text, 2, 0));
  SHOW(recv(server, text, sizeof text, MSG_DONTWAIT));
  SHOW(recv(server, text, sizeof text, MSG_DONTWAIT));
  SHOW(send(client, "", 0, 0));
  SHOW(recv(server, text, sizeof text, MSG_DONTWAIT));
  SHOW(send(client, "abc", 3, 0));
  await(server, POLLIN);
  SHOW(recv(server, NULL, 3, MSG_TRUNC));
  SHOW(recv(server, text, sizeof text, MSG_DONTWAIT));
  SHOW(sendto(client, "to", 2, 0, (struct sockaddr *)text, 16));
  await(server, POLLIN);
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  SHOW(recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &size));
  say("address of %u bytes\n", size);
  SHOW(send(client, (char *)8, 1, 0));
  SHOW(write(client, "w", 1));
  await(server, POLLIN);
  SHOW(read(server, (char *)8, 1));
  SHOW(read(server, text, sizeof text));
  struct iovec parts[2] = {{"one ", 4}, {"two", 3}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  SHOW(sendmsg(client, &message, 0));
  SHOW(recv(server, text, 7, MSG_WAITALL));
  say("%.7s\n", text);
  struct timeval brief = {0, 20000};
  MUST(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief));
  SHOW(recv(server, text, 1, 0));
  MUST(send(client, "12", 2, 0));
  SHOW(recv(server, text, 5, MSG_WAITALL));
  SET(server, SOL_SOCKET, SO_RCVLOWAT, 4);
  MUST(send(client, "12", 2, 0));
  usleep(10000);
  show_events("below the low-water mark", server);
  MUST(send(client, "34", 2, 0));
  await(server, POLLIN);
  show_events("at the low-water mark", server);
  SHOW(recv(server, text, sizeof text, 0));
  close(client), close(server);
}

static void much(void) {
  SECTION("much");
  enum { TOTAL = 8 << 20 };
  int client, server;
  join(&client, &server);
  pid_t reader = (pid_t)MUST(fork());
  if (reader == 0) {
    static char block[65536];
    unsigned sum = 0;
    long total = 0;
    for (;;) {
      ssize_t n = read(server, block, sizeof block);
      if (n <= 0) break;
      for (ssize_t i = 0; i < n; i++) sum = sum * 31 + (unsigned char)block[i];
      total += n;
      if (total >= TOTAL) break;
    }
    say("received %ld, sum %u\n", total, sum);
    MUST(write(server, "done", 4));
    _exit(0);
  }
  close(server);
  static char block[100000];
  for (unsigned i = 0; i < sizeof block; i++) block[i] = (char)(i * 7 + i / 251);
  long left = TOTAL;
  while (left > 0) {
    ssize_t n = write(client, block, left < (long)sizeof block ? left : (long)sizeof block);
    if (n <= 0) break;
    left -= n;
  }
  SHOW(left);
  char answer[8];
  SHOW(read(client, answer, sizeof answer));
  reap("reader", reader);
  close(client);
}

static void half_close(void) {
  SECTION("half-close");
  int client, server;
  char text[16];
  join(&client, &server);
  MUST(send(client, "last", 4, 0));
  SHOW(shutdown(client, SHUT_WR));
  SHOW(send(client, "x", 1, MSG_NOSIGNAL));
  await(server, POLLRDHUP);
  show_events("server", server);
  show_events("client", client);
  SHOW(recv(server, text, sizeof text, 0));
  SHOW(recv(server, text, sizeof text, 0));
  SHOW(send(server, "answer", 6, 0));
  SHOW(recv(client, text, sizeof text, 0));
  SHOW(shutdown(server, SHUT_WR));
  await(client, POLLRDHUP);
  show_events("client", client);
  show_events("server", server);
  SHOW(recv(client, text, sizeof text, 0));
  SHOW(shutdown(client, SHUT_RD));
  SHOW(shutdown(client, 5));
  close(client), close(server);
  join(&client, &server);
  SHOW(shutdown(client, SHUT_RD));
  show_events("client", client);
  SHOW(recv(client, text, sizeof text, 0));
  SHOW(send(server, "late", 4, 0));
  await(client, POLLIN);
  usleep(10000);
  SHOW(recv(client, text, sizeof text, 0));
  SHOW(recv(client, text, sizeof text, 0));
  close(client), close(server);
}

static void resets(void) {
  SECTION("resets");
  int client, server;
  char text[16];
  signal(SIGPIPE, SIG_IGN);
  join(&client, &server);
  MUST(send(client, "unread", 6, 0));
  await(server, POLLIN);
  close(server);
  await(client, POLLERR | POLLHUP);
  show_events("unread data", client);
  SHOW(recv(client, text, sizeof text, 0));
  SHOW(recv(client, text, sizeof text, 0));
  SHOW(send(client, "x", 1, 0));
  close(client);
  join(&client, &server);
  struct linger linger = {1, 0};
  SHOW(setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  close(server);
  await(client, POLLERR);
  show_events("linger 0", client);
  show_error(client);
  SHOW(send(client, "x", 1, 0));
  SHOW(recv(client, text, sizeof text, 0));
  close(client);
  join(&client, &server);
  close(server);
  await(client, POLLRDHUP);
  show_events("closed", client);
  SHOW(send(client, "x", 1, 0));
  await(client, POLLERR | POLLHUP);
  show_events("closed and written to", client);
  SHOW(send(client, "x", 1, 0));
  SHOW(send(client, "x", 1, 0));
  SHOW(recv(client, text, sizeof text, 0));
  close(client);
  CHILD_BEGIN {
    signal(SIGPIPE, SIG_DFL);
    join(&client, &server);
    shutdown(client, SHUT_WR);
    send(client, "x", 1, 0);
  }
  CHILD_END("writer");
  signal(SIGPIPE, SIG_DFL);
}

static void refusals(void) {
  SECTION("connect");
  int listener = listening(1), fd = tcp();
  struct sockaddr_in at = name_of(listener);
  close(listener);
  SHOW(connect(fd, AS_SOCKADDR(at)));
  show_error(fd);
  SHOW(connect(fd, AS_SOCKADDR(at)));
  fcntl(fd, F_SETFL, O_NONBLOCK);
  SHOW(connect(fd, AS_SOCKADDR(at)) == -1);
  await(fd, POLLOUT);
  show_events("refused", fd);
  show_error(fd);
  show_error(fd);
  close(fd);
  listener = listening(1);
  at = name_of(listener);
  fd = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  SHOW(connect(fd, AS_SOCKADDR(at)));
  await(fd, POLLOUT);
  show_events("connected", fd);
  show_error(fd);
  SHOW(connect(fd, AS_SOCKADDR(at)));
  SHOW(connect(fd, AS_SOCKADDR(at)));
  struct sockaddr_in none = {.sin_family = AF_UNSPEC};
  SHOW(connect(fd, AS_SOCKADDR(none)));
  SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
  SHOW(shutdown(fd, SHUT_WR));
  fcntl(fd, F_SETFL, 0);
  SHOW(connect(fd, AS_SOCKADDR(at)));
  close(fd), close(listener);
  fd = tcp();
  at.sin_addr.s_addr = htonl(0xe0000001), at.sin_port = htons(9);
  SHOW(connect(fd, AS_SOCKADDR(at)));
  close(fd);
  listener = listening(1);
  at = name_of(listener), at.sin_addr.s_addr = INADDR_ANY;
  fd = tcp();
  SHOW(connect(fd, AS_SOCKADDR(at)));
  CHECK(ntohl(name_of(fd).sin_addr.s_addr) == INADDR_LOOPBACK);
  close(fd), close(listener);
}

static void backlog(void) {
  SECTION("backlog");
  int listener = listening(0), fds[6], connected = 0;
  struct sockaddr_in at = name_of(listener);
  for (int i = 0; i < 6; i++) {
    fds[i] = (int)MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    connect(fds[i], AS_SOCKADDR(at));
    struct pollfd entry = {.fd = fds[i], .events = POLLOUT};
    connected += poll(&entry, 1, 50) == 1;
  }
  SHOW(connected);
  SHOW(accept(listener, NULL, NULL) > 0);
  close(listener);
  await(fds[0], POLLOUT);
  for (int i = 0; i < 6; i++) close(fds[i]);
  listener = listening(5);
  at = name_of(listener);
  int client = tcp();
  MUST(connect(client, AS_SOCKADDR(at)));
  close(listener);
  await(client, POLLERR);
  show_events("listener gone", client);
  show_error(client);
  close(client);
}

static volatile int urgents;

static void note_urgent(int signal) {
  (void)signal;
  urgents++;
}

static void urgent(void) {
  SECTION("out-of-band");
  int client, server, mark;
  char text[16];
  join(&client, &server);
  SHOW(recv(server, text, 1, MSG_OOB));
  signal(SIGURG, note_urgent);
  MUST(fcntl(server, F_SETOWN, getpid()));
  SHOW(send(client, "ab", 2, 0));
  SHOW(send(client, "!", 1, MSG_OOB));
  SHOW(send(client, "cd", 2, 0));
  await(server, POLLPRI);
  show_events("server", server);
  SHOW(urgents);
  signal(SIGURG, SIG_DFL);
  SHOW(ioctl(server, SIOCATMARK, &mark));
  say("at mark %d\n", mark);
  SHOW(recv(server, text, sizeof text, 0));
  SHOW(ioctl(server, SIOCATMARK, &mark));
  say("at mark %d\n", mark);
  SHOW(recv(server, text, sizeof text, MSG_OOB));
  say("%c\n", text[0]);
  SHOW(recv(server, text, sizeof text, MSG_OOB));
  SHOW(recv(server, text, sizeof text, 0));
  SET(server, SOL_SOCKET, SO_OOBINLINE, 1);
  SHOW(send(client, "x!", 2, MSG_OOB));
  await(server, POLLPRI);
  SHOW(recv(server, text, sizeof text, 0));
  SHOW(recv(server, text, sizeof text, 0));
  SHOW(recv(server, text, sizeof text, MSG_OOB));
  close(client), close(server);
}

static void epoll(void) {
  SECTION("epoll");
  int client, server, set = (int)MUST(epoll_create1(0));
  char text[8];
  join(&client, &server);
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got[4];
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, server, &event));
  SHOW(epoll_wait(set, got, 4, 0));
  MUST(send(client, "abcd", 4, 0));
  SHOW(epoll_wait(set, got, 4, 1000));
  say("edge %#x\n", got[0].events);
  SHOW(recv(server, text, 2, 0));
  SHOW(epoll_wait(set, got, 4, 0));
  MUST(send(client, "e", 1, 0));
  SHOW(epoll_wait(set, got, 4, 1000));
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
  MUST(epoll_ctl(set, EPOLL_CTL_MOD, server, &event));
  SHOW(epoll_wait(set, got, 4, 0));
  say("level %#x\n", got[0].events);
  SHOW(epoll_wait(set, got, 4, 0));
  SHOW(recv(server, text, sizeof text, 0));
  shutdown(client, SHUT_WR);
  await(server, POLLRDHUP);
  SHOW(epoll_wait(set, got, 4, 0));
  say("end %#x\n", got[0].events);
  event.events = EPOLLIN | EPOLLONESHOT;
  MUST(epoll_ctl(set, EPOLL_CTL_MOD, server, &event));
  SHOW(epoll_wait(set, got, 4, 0));
  SHOW(epoll_wait(set, got, 4, 0));
  close(client), close(server), close(set);
}

static void full(void) {
  SECTION("a full pipe");
  int client, server;
  static char block[1 << 16];
  join(&client, &server);
  fcntl(client, F_SETFL, O_NONBLOCK);
  long sent = 0, received = 0;
  ssize_t n;
  for (;;) {
    while ((n = send(client, block, sizeof block, 0)) > 0) sent += n;
    struct pollfd entry = {.fd = client, .events = POLLOUT};
    if (poll(&entry, 1, 100) == 0) break;
  }
  CHECK(errno == EAGAIN && sent > 65536);
  show_events("client", client);
  while (received < sent && (n = recv(server, block, sizeof block, 0)) > 0) received += n;
  CHECK(received == sent);
  await(client, POLLOUT);
  show_events("client", client);
  int unsent = -1;
  usleep(100000);
  SHOW(ioctl(client, TIOCOUTQ, &unsent));
  SHOW(unsent);
  struct timeval brief = {0, 50000};
  fcntl(client, F_SETFL, 0);
  MUST(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief));
  while ((n = send(client, block, sizeof block, 0)) == sizeof block) continue;
  CHECK(n > 0 || errno == EAGAIN);
  close(client), close(server);
}

/* How long closing takes, in steps of a quarter of a second. */
static long quarters(int fd) {
  struct timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  SHOW(close(fd));
  clock_gettime(CLOCK_MONOTONIC, &after);
  return ((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000) / 250;
}

static void interrupt(int signal) {
  (void)signal;
}

static void lingering(void) {
  SECTION("lingering");
  static const char *const ways[] = {"time is over", "read at last", "interrupted"};
  static char block[1 << 16];
  int client, server;
  struct linger second = {1, 1}, minute = {1, 60};
  join(&client, &server);
  MUST(setsockopt(client, SOL_SOCKET, SO_LINGER, &minute, sizeof minute));
  MUST(send(client, "abc", 3, 0));
  CHECK(quarters(client) == 0); /* the other end's kernel has it all */
  close(server);
  struct sigaction action = {.sa_handler = interrupt};
  sigaction(SIGALRM, &action, NULL);
  for (int how = 0; how < 3; how++) {
    join(&client, &server);
    fcntl(client, F_SETFL, O_NONBLOCK);
    struct pollfd entry = {.fd = client, .events = POLLOUT};
    while (poll(&entry, 1, 100) > 0)
      while (send(client, block, sizeof block, 0) > 0) continue;
    MUST(setsockopt(client, SOL_SOCKET, SO_LINGER, how == 0 ? &second : &minute, sizeof second));
    pid_t child = fork();
    if (child == 0) {
      close(client);
      usleep(600000);
      while (how == 1 && recv(server, block, sizeof block, 0) > 0) continue;
      if (how == 2) kill(getppid(), SIGALRM);
      usleep(900000);
      _exit(0);
    }
    close(server);
    usleep(50000); /* until the child has let go */
    long took = quarters(client);
    say("%s: %s\n", ways[how], took >= 2 && took < 6 ? "waited" : "not as long as it should");
    wait(NULL);
  }
}

static void options(void) {
  SECTION("options");
  int fd = tcp(), client, server;
  OPTION(fd, SOL_SOCKET, SO_TYPE);
  OPTION(fd, SOL_SOCKET, SO_PROTOCOL);
  OPTION(fd, SOL_SOCKET, SO_KEEPALIVE);
  OPTION(fd, SOL_SOCKET, SO_RCVLOWAT);
  OPTION(fd, SOL_SOCKET, SO_OOBINLINE);
  OPTION(fd, SOL_SOCKET, SO_SNDBUF);
  OPTION(fd, SOL_SOCKET, SO_RCVBUF);
  OPTION(fd, IPPROTO_TCP, TCP_NODELAY);
  OPTION(fd, IPPROTO_TCP, TCP_CORK);
  OPTION(fd, IPPROTO_TCP, TCP_MAXSEG);
  OPTION(fd, IPPROTO_TCP, TCP_KEEPIDLE);
  OPTION(fd, IPPROTO_TCP, TCP_KEEPINTVL);
  OPTION(fd, IPPROTO_TCP, TCP_KEEPCNT);
  OPTION(fd, IPPROTO_TCP, TCP_SYNCNT);
  OPTION(fd, IPPROTO_TCP, TCP_LINGER2);
  OPTION(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
  OPTION(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP);
  OPTION(fd, IPPROTO_TCP, TCP_QUICKACK);
  OPTION(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
  OPTION(fd, IPPROTO_TCP, TCP_FASTOPEN);
  OPTION(fd, IPPROTO_TCP, 99);
  OPTION(fd, IPPROTO_UDP, 1);
  OPTION(fd, IPPROTO_IP, IP_TTL);
  OPTION(fd, IPPROTO_IP, IP_TOS);
  OPTION(fd, IPPROTO_IP, IP_MTU);
  SET(fd, IPPROTO_TCP, TCP_NODELAY, 7);
  OPTION(fd, IPPROTO_TCP, TCP_NODELAY);
  SET(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0);
  SET(fd, IPPROTO_TCP, TCP_KEEPIDLE, 40000);
  SET(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
  OPTION(fd, IPPROTO_TCP, TCP_KEEPIDLE);
  SET(fd, IPPROTO_TCP, TCP_KEEPCNT, 128);
  SET(fd, IPPROTO_TCP, TCP_SYNCNT, 3);
  OPTION(fd, IPPROTO_TCP, TCP_SYNCNT);
  SET(fd, IPPROTO_TCP, TCP_MAXSEG, 10);
  SET(fd, IPPROTO_TCP, TCP_MAXSEG, 1000);
  OPTION(fd, IPPROTO_TCP, TCP_MAXSEG);
  SET(fd, IPPROTO_TCP, TCP_LINGER2, -5);
  OPTION(fd, IPPROTO_TCP, TCP_LINGER2);
  SET(fd, IPPROTO_TCP, TCP_LINGER2, 30);
  OPTION(fd, IPPROTO_TCP, TCP_LINGER2);
  SET(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
  OPTION(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
  SET(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
  SET(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1);
  SET(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000);
  OPTION(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
  SET(fd, IPPROTO_TCP, 99, 1);
  SET(fd, IPPROTO_IP, IP_TOS, 0x13);
  OPTION(fd, IPPROTO_IP, IP_TOS);
  SET(fd, IPPROTO_IP, IP_MULTICAST_TTL, 3);
  SET(fd, SOL_SOCKET, SO_SNDBUF, 30000);
  OPTION(fd, SOL_SOCKET, SO_SNDBUF);
  SET(fd, SOL_SOCKET, SO_RCVBUF, 30000);
  OPTION(fd, SOL_SOCKET, SO_RCVBUF);
  SET(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SET(fd, SOL_SOCKET, SO_PASSCRED, 1);
  SHOW(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &fd, 3));
  SHOW(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  char name[16] = "";
  socklen_t size = sizeof name;
  SHOW(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size));
  say("%s\n", name);
  SHOW(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonsense", 8));
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  MUST(bind(fd, AS_SOCKADDR(a)));
  MUST(listen(fd, 1));
  a = name_of(fd);
  client = tcp();
  MUST(connect(client, AS_SOCKADDR(a)));
  server = (int)MUST(accept(fd, NULL, NULL));
  OPTION(server, IPPROTO_TCP, TCP_NODELAY);
  OPTION(server, IPPROTO_TCP, TCP_KEEPIDLE);
  OPTION(server, SOL_SOCKET, SO_KEEPALIVE);
  OPTION(server, SOL_SOCKET, SO_ACCEPTCONN);
  OPTION(client, IPPROTO_IP, IP_MTU);
  struct tcp_info info;
  size = 8;
  SHOW(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &size));
  say("state %u, %u bytes\n", info.tcpi_state, size);
  size = 104;
  SHOW(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size));
  say("state %u\n", info.tcpi_state);
  close(client), close(server), close(fd);
}

static void reuse(void) {
  SECTION("the port afterwards");
  int listener = listening(1), client = tcp(), server, on = 1;
  struct sockaddr_in at = name_of(listener);
  MUST(connect(client, AS_SOCKADDR(at)));
  server = (int)MUST(accept(listener, NULL, NULL));
  close(listener);
  close(server);
  await(client, POLLRDHUP);
  close(client);
  usleep(10000);
  int again = tcp();
  SHOW(bind(again, AS_SOCKADDR(at)));
  SHOW(setsockopt(again, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  SHOW(bind(again, AS_SOCKADDR(at)));
  SHOW(listen(again, 1));
  int third = tcp();
  SHOW(setsockopt(third, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  SHOW(bind(third, AS_SOCKADDR(at)));
  close(again), close(third);
  int a = tcp(), b = tcp();
  SHOW(setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
  SHOW(setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
  at.sin_port = 0;
  MUST(bind(a, AS_SOCKADDR(at)));
  at = name_of(a);
  SHOW(bind(b, AS_SOCKADDR(at)));
  SHOW(listen(a, 1));
  SHOW(listen(b, 1));
  close(a), close(b);
}

int main(void) {
  begin();
  names();
  bytes();
  much();
  half_close();
  resets();
  refusals();
  backlog();
  urgent();
  epoll();
  full();
  lingering();
  options();
  reuse();
  return 0;
}
