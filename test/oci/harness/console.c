/*
 * Receives the master of a container's terminal and stands in for the person at it.
 *
 *     console SOCKET [ROWSxCOLUMNS]
 *
 * Listens at SOCKET, takes one descriptor (SCM_RIGHTS) as --console-socket promises it, sets the window size if one is given, then copies
 * standard input to the terminal and the terminal to standard output until the container's side is closed. Says "listening" and
 * "received NAME" on standard error. SIGUSR1 makes the window 50x132.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int terminal = -1;

static void resize(int signo) {
  (void)signo;
  struct winsize size = {.ws_row = 50, .ws_col = 132};
  ioctl(terminal, TIOCSWINSZ, &size);
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int receive(int connection) {
  char name[4096];
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {name, sizeof name - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(connection, &message, 0);
  if (length < 0) die("recvmsg");
  name[length] = 0;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_type != SCM_RIGHTS) {
    fprintf(stderr, "no descriptor came\n");
    exit(1);
  }
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  fprintf(stderr, "received %s\n", name);
  return fd;
}

static void copy(int from, int to) {
  char bytes[65536];
  ssize_t length = read(from, bytes, sizeof bytes);
  if (length < 0 && errno == EINTR) return;
  /* EIO: the last of the other side is closed. */
  if (length <= 0) exit(0);
  for (ssize_t done = 0; done < length;) {
    ssize_t written = write(to, bytes + done, length - done);
    if (written < 0) die("write");
    done += written;
  }
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) die("listen");
  fprintf(stderr, "listening\n");
  int connection = accept(listener, NULL, NULL);
  if (connection < 0) die("accept");
  terminal = receive(connection);
  struct winsize size = {0};
  if (argc > 2 && sscanf(argv[2], "%hux%hu", &size.ws_row, &size.ws_col) == 2) ioctl(terminal, TIOCSWINSZ, &size);
  struct sigaction action = {.sa_handler = resize};
  sigaction(SIGUSR1, &action, NULL);
  struct pollfd polled[2] = {{terminal, POLLIN, 0}, {0, POLLIN, 0}};
  for (;;) {
    if (poll(polled, 2, -1) < 0) continue;
    if (polled[0].revents) copy(terminal, 1);
    if (polled[1].revents & POLLIN) copy(0, terminal);
    else if (polled[1].revents) polled[1].fd = -1;
  }
}
