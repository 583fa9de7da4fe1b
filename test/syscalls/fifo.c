/*
 * Named pipes: the rendezvous of open(2), O_NONBLOCK, EPIPE, poll, unlinking. See fifo(7).
 */
#include "guest.h"
#include <poll.h>

int main(void) {
  char text[16] = "";
  begin();
  scratch();
  SHOW(mkfifo("fifo", 0644));
  SHOW(mkfifo("fifo", 0644));
  SHOW(open("fifo", O_WRONLY | O_NONBLOCK));
  int reader = (int)MUST(open("fifo", O_RDONLY | O_NONBLOCK));
  SHOW(read(reader, text, 10));
  int writer = (int)MUST(open("fifo", O_WRONLY | O_NONBLOCK));
  SHOW(read(reader, text, 10));
  SHOW(write(writer, "hello", 5));
  SHOW(read(reader, text, 10));
  struct pollfd poll_one = {.fd = reader, .events = POLLIN};
  SHOW(poll(&poll_one, 1, 0));
  close(writer);
  SHOW(poll(&poll_one, 1, 0));
  SHOW(poll_one.revents == POLLHUP);
  SHOW(read(reader, text, 10));
  SHOW(lseek(reader, 0, SEEK_SET));
  close(reader);

  SECTION("rendezvous");
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    int fd = (int)MUST(open("fifo", O_WRONLY));
    MUST(write(fd, "from child", 10));
    _exit(0);
  }
  int fd = (int)MUST(open("fifo", O_RDONLY));
  long n = 0, got;
  while ((got = read(fd, text + n, sizeof text - n)) > 0) n += got;
  SHOW(n);
  SHOW(memcmp(text, "from child", 10));
  close(fd);
  reap("writer", child);

  child = (pid_t)MUST(fork());
  if (child == 0) {
    int in = (int)MUST(open("fifo", O_RDONLY));
    say("reader got %ld\n", (long)read(in, text, sizeof text));
    _exit(0);
  }
  sleep_ms(20);
  fd = (int)MUST(open("fifo", O_WRONLY));
  long written = write(fd, "to child", 8);
  close(fd);
  reap("reader", child);
  SHOW(written);

  SECTION("read and write");
  fd = (int)MUST(open("fifo", O_RDWR));
  SHOW(write(fd, "loop", 4));
  SHOW(read(fd, text, 10));
  SHOW(unlink("fifo"));
  SHOW(write(fd, "gone", 4));
  SHOW(read(fd, text, 10));
  close(fd);

  SECTION("an open that waits is killed by SIGALRM");
  MUST(mkfifo("fifo", 0644));
  child = (pid_t)MUST(fork());
  if (child == 0) {
    struct itimerspec soon = {.it_value = {0, 30000000}};
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, NULL, &timer));
    MUST(timer_settime(timer, 0, &soon, NULL));
    MUST(open("fifo", O_WRONLY));
    _exit(0);
  }
  reap("waiting writer", child);
  return 0;
}
