/* Pipes, sockets, event descriptors and waiting for them; and the harness's own channels, on which an actor may sleep. */
#ifndef CHANNELS_H
#define CHANNELS_H

#include "signals.h"
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/un.h>

static void do_pipe(int *a) {
  int ends[2];
  if (result(pipe2(ends, (a[0] % 2 ? O_NONBLOCK : 0) | (a[0] % 4 >= 2 ? O_CLOEXEC : 0))) == 0) out(" %d %d", ends[0], ends[1]);
}
static const int socket_kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
static void do_socketpair(int *a) {
  int ends[2];
  if (result(socketpair(AF_UNIX, socket_kinds[a[0] % 3] | (a[1] % 2 ? SOCK_NONBLOCK : 0), 0, ends)) == 0) out(" %d %d", ends[0], ends[1]);
}
static void do_socket(int *a) { result(socket(AF_UNIX, socket_kinds[a[0] % 3] | SOCK_NONBLOCK, 0)); }

static socklen_t address_of(int n, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  snprintf(address->sun_path, sizeof address->sun_path, "%s", n % 2 ? "s0" : "s1");
  return sizeof *address;
}
static void do_bind(int *a) {
  struct sockaddr_un address;
  socklen_t length = address_of(a[1], &address);
  result(bind(user_fd(a[0]), (struct sockaddr *)&address, length));
}
static void do_listen(int *a) { result(listen(user_fd(a[0]), 8)); }
static void do_connect(int *a) {
  struct sockaddr_un address;
  socklen_t length = address_of(a[1], &address);
  result(connect(user_fd(a[0]), (struct sockaddr *)&address, length));
}
static void do_accept(int *a) {
  if (!would_block(user_fd(a[0]), POLLIN)) result(accept4(user_fd(a[0]), NULL, NULL, a[1] % 2 ? SOCK_NONBLOCK : 0));
}
static void do_send(int *a) {
  pattern(data, 500, (unsigned)a[2]);
  result(send(user_fd(a[0]), data, (size_t)(a[1] % 500), MSG_DONTWAIT | MSG_NOSIGNAL));
}
static void do_receive(int *a) {
  got(recv(user_fd(a[0]), data, (size_t)(a[1] % 600), MSG_DONTWAIT | (a[2] % 3 == 1 ? MSG_PEEK : 0) | (a[2] % 5 == 1 ? MSG_TRUNC * (a[2] % 3 == 1) : 0)));
}
static void do_shutdown(int *a) { result(shutdown(user_fd(a[0]), a[1] % 3)); }
static void do_sockopt(int *a) {
  static const int options[] = {SO_TYPE, SO_ERROR, SO_ACCEPTCONN, SO_DOMAIN, SO_PASSCRED};
  int value = -1;
  socklen_t length = sizeof value;
  if (result(getsockopt(user_fd(a[0]), SOL_SOCKET, options[a[1] % 5], &value, &length)) == 0) out(" %d", value);
}
static void do_peer(int *a) {
  struct ucred peer = {0, 0, 0};
  socklen_t length = sizeof peer;
  if (result(getsockopt(user_fd(a[0]), SOL_SOCKET, SO_PEERCRED, &peer, &length)) == 0) out(" %s %d", who(peer.pid), peer.uid == (peer.pid ? getuid() : (uid_t)-1));
}
static void do_send_fd(int *a) {
  char byte = 'd', control[CMSG_SPACE(sizeof(int))];
  int fd = user_fd(a[1]);
  if (fcntl(fd, F_GETFD) == -1) return;
  struct iovec one = {&byte, 1};
  struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  result(sendmsg(user_fd(a[0]), &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}
static void do_receive_fd(int *a) {
  char text[100], control[CMSG_SPACE(sizeof(int))];
  struct iovec one = {text, sizeof text};
  struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (result(recvmsg(user_fd(a[0]), &message, MSG_DONTWAIT)) < 0) return;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  int fd = -1;
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(header), sizeof fd);
  out(" %d %#x", fd, message.msg_flags);
}
static void do_eventfd(int *a) { result(eventfd((unsigned)(a[0] % 5), (a[1] % 2 ? EFD_SEMAPHORE : 0) | EFD_NONBLOCK)); }
static void do_waiting(int *a) {
  int n = -1;
  struct stat st;
  /* An epoll descriptor says EINVAL or ENOTTY, by the version of Linux. */
  if (fstat(user_fd(a[0]), &st) == 0 && (st.st_mode & S_IFMT) == 0) return;
  if (result(ioctl(user_fd(a[0]), FIONREAD, &n)) == 0) out(" %d", n);
}

/* ---- readiness ---- */

static void do_poll(int *a) {
  struct pollfd list[3];
  for (int i = 0; i < 3; i++) list[i] = (struct pollfd){user_fd(a[i]), POLLIN | POLLOUT | POLLPRI, 0};
  result(poll(list, 3, a[3] % 2));
  for (int i = 0; i < 3; i++) out(" %#x", list[i].revents);
}
static void do_select(int *a) {
  fd_set in, outs;
  FD_ZERO(&in);
  FD_ZERO(&outs);
  for (int i = 0; i < 3; i++) FD_SET(user_fd(a[i]), &in), FD_SET(user_fd(a[i]), &outs);
  struct timeval none = {0, a[3] % 2 * 1000};
  if (result(select(3 + USER_FDS, &in, &outs, NULL, &none)) < 0) return;
  for (int fd = 3; fd < 3 + USER_FDS; fd++)
    if (FD_ISSET(fd, &in) || FD_ISSET(fd, &outs)) out(" %d%s%s", fd, FD_ISSET(fd, &in) ? "r" : "", FD_ISSET(fd, &outs) ? "w" : "");
}
static void do_epoll(int *a) { result(epoll_create1(a[0] % 2 ? EPOLL_CLOEXEC : 0)); }
static void do_epoll_ctl(int *a) {
  static const uint32_t events[] = {EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, EPOLLIN | EPOLLET, EPOLLIN | EPOLLOUT | EPOLLONESHOT, EPOLLIN | EPOLLRDHUP};
  struct epoll_event event = {.events = events[a[3] % 6], .data = {.u32 = (uint32_t)user_fd(a[2])}};
  result(epoll_ctl(user_fd(a[0]), a[1] % 3 + 1, user_fd(a[2]), &event));
}
static int by_data(const void *a, const void *b) { return (int)((const struct epoll_event *)a)->data.u32 - (int)((const struct epoll_event *)b)->data.u32; }
static void do_epoll_wait(int *a) {
  struct epoll_event events[USER_FDS];
  int n = epoll_wait(user_fd(a[0]), events, USER_FDS, a[1] % 2);
  if (result(n) <= 0) return;
  qsort(events, (size_t)n, sizeof events[0], by_data);
  for (int i = 0; i < n; i++) out(" %u:%#x", events[i].data.u32, events[i].events);
}

/* ---- channels: blocking socket pairs that every actor has ---- */

static int channel(int n, int end) { return CHANNEL_FD + n % CHANNELS * 2 + end; }
static void do_channel_write(int *a) {
  pattern(data, 500, (unsigned)a[2]);
  result(write(channel(a[0], 1), data, (size_t)(a[1] % 400 + 1)));
}
static void do_channel_read(int *a) {
  size_t wanted = (size_t)(a[1] % 400 + 1), have = 0;
  while (have < wanted) {
    ssize_t n = read(channel(a[0], 0), data + have, wanted - have);
    if (n > 0) have += (size_t)n;
    else if (errno != EINTR) break;
  }
  got((ssize_t)have);
}
static void do_channel_drain(int *a) { got(recv(channel(a[0], 0), data, sizeof data, MSG_DONTWAIT)); }
static void do_channel_poll(int *a) {
  struct pollfd one = {channel(a[0], 0), POLLIN, 0};
  int n;
  while ((n = poll(&one, 1, 4000)) == -1 && errno == EINTR) continue;
  out(" %d %#x", n, one.revents);
}
static void do_channel_epoll(int *a) {
  int epoll = epoll_create1(0), n;
  struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = 7}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, channel(a[0], 0), &event);
  while ((n = epoll_wait(epoll, &event, 1, 4000)) == -1 && errno == EINTR) continue;
  out(" %d %#x", n, event.events);
  close(epoll);
}
static void do_channel_select(int *a) {
  fd_set in;
  int n;
  do {
    struct timeval most = {4, 0};
    FD_ZERO(&in);
    FD_SET(channel(a[0], 0), &in);
    n = select(channel(a[0], 0) + 1, &in, NULL, NULL, &most);
  } while (n == -1 && errno == EINTR);
  out(" %d", n);
}

/* ---- futexes ---- */

static void do_word_wait(int *a) {
  uint32_t *word = &shared->words[a[0] % 8], seen;
  while ((seen = load(word)) != (uint32_t)a[1]) futex(word, FUTEX_WAIT, seen, NULL);
  out(" %u", seen);
}
static void do_word_set(int *a) { store_and_wake(&shared->words[a[0] % 8], (uint32_t)a[1]); }
static void do_word_calls(int *a) {
  uint32_t *word = &shared->words[a[0] % 8];
  struct timespec brief = {0, a[1] % 500000};
  result(futex(word, FUTEX_WAKE, 1, NULL));
  result(futex(word, FUTEX_WAIT, load(word) + 1, NULL));
  result(futex(word, FUTEX_WAIT, load(word), &brief));
  result(syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 1, 1, &shared->words[(a[0] + 1) % 8], load(word)));
}
static void do_robust_lock(int *a) {
  (void)a;
  int error = pthread_mutex_trylock(&shared->robust);
  out(" %s", errno_name(error));
  if (error == EOWNERDEAD) pthread_mutex_consistent(&shared->robust);
}
static void do_robust_unlock(int *a) {
  (void)a;
  out(" %s", errno_name(pthread_mutex_unlock(&shared->robust)));
}

#endif
