/*
 * Round trips over loopback between two processes, timed from within: `network tcp-1`, `udp-1` (one byte there and back), `connect`
 * (connect, accept, one byte, close). Prints the nanoseconds of one, the median of batches.
 *
 * Between two machines: `network serve PORT` on one, `network tcp-1 ADDRESS PORT` or `connect ADDRESS PORT` on the other, which waits for the server
 * to be there and ends it.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 15, BATCH_NS = 60 * 1000 * 1000, LAST = 'l' };

static struct sockaddr_in address;
static int listener, peer;

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int bound(int type) {
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, type, 0);
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  must(fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0, "bind");
  must(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
  return fd;
}

static int connected(int type) {
  int one = 1, fd = socket(AF_INET, type, 0);
  must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* The other process: answers whatever comes, over one connection after the other. */
static void serve_stream(void) {
  char byte;
  int one = 1;
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (read(fd, &byte, 1) == 1) {
      if (byte == LAST) exit(0);
      must(write(fd, &byte, 1) == 1, "answer");
    }
    close(fd);
  }
}

static void serve_datagrams(void) {
  char byte;
  struct sockaddr_in from;
  for (;;) {
    socklen_t length = sizeof from;
    must(recvfrom(listener, &byte, 1, 0, (struct sockaddr *)&from, &length) == 1, "recvfrom");
    must(sendto(listener, &byte, 1, 0, (struct sockaddr *)&from, length) == 1, "sendto");
  }
}

static void round_trip(void) {
  char byte = 'x';
  must(write(peer, &byte, 1) == 1 && read(peer, &byte, 1) == 1, "round trip");
}

/* Ended by a reset, so that no port waits in TIME_WAIT. */
static void connection(void) {
  struct linger reset = {1, 0};
  peer = connected(SOCK_STREAM);
  round_trip();
  setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(peer);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double measure(void (*run)(void)) {
  double batches[BATCHES];
  for (int i = 0; i < 200; i++) run();
  for (int i = 0; i < BATCHES; i++) {
    int64_t start = now_ns(), end = start;
    int count = 0;
    for (; end - start < BATCH_NS; count++, end = now_ns()) run();
    batches[i] = (double)(end - start) / count;
  }
  qsort(batches, BATCHES, sizeof batches[0], by_value);
  return batches[BATCHES / 2];
}

static void serve_port(int port) {
  int one = 1;
  struct sockaddr_in all = {.sin_family = AF_INET, .sin_port = htons(port)};
  listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  must(bind(listener, (struct sockaddr *)&all, sizeof all) == 0 && listen(listener, 64) == 0, "listen");
  serve_stream();
}

/* For at most half a minute. */
static void await_server(const char *host, int port) {
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
  must(inet_aton(host, &address.sin_addr), "address");
  for (int i = 0; i < 300; i++, usleep(100 * 1000)) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int ok = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    if (ok) return;
  }
  must(0, "no server");
}

static void measure_far(int connects) {
  char last = LAST;
  if (!connects) peer = connected(SOCK_STREAM);
  printf("%.1f\n", measure(connects ? connection : round_trip));
  if (connects) peer = connected(SOCK_STREAM);
  must(write(peer, &last, 1) == 1 && read(peer, &last, 1) == 0, "end of the server");
}

static void measure_near(int type, int connects) {
  listener = bound(type);
  if (type == SOCK_STREAM) must(listen(listener, 64) == 0, "listen");
  pid_t server = fork();
  if (server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (type == SOCK_STREAM) serve_stream();
    serve_datagrams();
  }
  close(listener);
  if (!connects) peer = connected(type);
  printf("%.1f\n", measure(connects ? connection : round_trip));
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  int connects = strcmp(what, "connect") == 0;
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(what, "serve") == 0 && argc == 3) serve_port(atoi(argv[2]));
  if (strcmp(what, "udp-1") == 0) measure_near(SOCK_DGRAM, 0);
  else if (!connects && strcmp(what, "tcp-1") != 0) return 2;
  else if (argc < 4) measure_near(SOCK_STREAM, connects);
  else {
    await_server(argv[2], atoi(argv[3]));
    measure_far(connects);
  }
  return 0;
}
