/*
 * eventfd(2): counter and semaphore modes, overflow, blocking, poll.
 */
#include "guest.h"
#include <poll.h>
#include <sys/eventfd.h>

static void put(int fd, uint64_t value) {
  long n = write(fd, &value, sizeof value);
  say("write %#llx: %s\n", (unsigned long long)value, n == 8 ? "8" : errno_name(errno));
}

static void get(int fd) {
  uint64_t value = 0;
  long n = read(fd, &value, sizeof value);
  if (n == 8) say("read: %llu\n", (unsigned long long)value);
  else say("read: %ld %s\n", n, errno_name(errno));
}

static void ready(int fd) {
  struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT};
  int n = poll(&entry, 1, 0);
  say("poll: %d%s%s%s\n", n, entry.revents & POLLIN ? " IN" : "", entry.revents & POLLOUT ? " OUT" : "",
      entry.revents & POLLERR ? " ERR" : "");
}

int main(void) {
  uint64_t value = 1;
  char name[64], target[64] = "";
  begin();
  SECTION("counter");
  int fd = (int)SHOW(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
  SHOW(fcntl(fd, F_GETFD));
  ready(fd);
  get(fd);
  get(fd);
  ready(fd);
  put(fd, 5);
  put(fd, 6);
  get(fd);
  put(fd, 0);
  get(fd);
  put(fd, ~0ULL);
  put(fd, ~0ULL - 1);
  ready(fd);
  put(fd, 1);
  value = 0;
  MUST(read(fd, &value, 8));
  CHECK(value == ~0ULL - 1);
  SHOW(write(fd, &value, 4));
  SHOW(write(fd, &value, 0));
  SHOW(read(fd, &value, 7));
  put(fd, 2);
  char longer[16];
  SHOW(read(fd, longer, 16));
  SHOW(write(fd, (void *)8, 8));
  SHOW(lseek(fd, 0, SEEK_SET));
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  MUST(readlink(name, target, sizeof target - 1));
  SHOW(strcmp(target, "anon_inode:[eventfd]"));
  close(fd);

  SECTION("semaphore");
  fd = (int)MUST(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
  get(fd);
  get(fd);
  get(fd);
  close(fd);
  SHOW(eventfd(0, 1 << 20));

  SECTION("blocking");
  fd = (int)MUST(eventfd(0, 0));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(30);
    value = 77;
    MUST(write(fd, &value, 8));
    _exit(0);
  }
  get(fd);
  reap("writer", child);
  value = ~0ULL - 1;
  MUST(write(fd, &value, 8));
  child = (pid_t)MUST(fork());
  if (child == 0) {
    value = 5;
    MUST(write(fd, &value, 8));
    say("writer went on\n");
    _exit(0);
  }
  sleep_ms(30);
  say("reader makes room\n");
  MUST(read(fd, &value, 8));
  reap("writer", child);
  get(fd);
  return 0;
}
