/*
 * pipe(2), pipe2(2): end of file, EPIPE and SIGPIPE, O_NONBLOCK, capacity, atomicity of small writes, blocking.
 */
#include "guest.h"
#include <limits.h>

static char block[70000], sink[70000];
static int pipe_signals;
static void on_pipe(int number) { pipe_signals += number == SIGPIPE; }

static void ends_of_life(void) {
  int p[2];
  char byte;
  SECTION("end of file and EPIPE");
  SHOW(pipe(p));
  SHOW(p[0]);
  SHOW(p[1]);
  SHOW(write(p[1], "abc", 3));
  SHOW(read(p[0], sink, 2));
  SHOW(read(p[0], sink, 10));
  SHOW(write(p[0], "x", 1));
  SHOW(read(p[1], &byte, 1));
  MUST(write(p[1], "last", 4));
  close(p[1]);
  SHOW(read(p[0], sink, 10));
  SHOW(read(p[0], sink, 10));
  close(p[0]);
  MUST(pipe(p));
  close(p[0]);
  signal(SIGPIPE, on_pipe);
  SHOW(write(p[1], "x", 1));
  SHOW(pipe_signals);
  SHOW(write(p[1], "x", 0));
  signal(SIGPIPE, SIG_IGN);
  SHOW(write(p[1], "x", 1));
  signal(SIGPIPE, SIG_DFL);
  CHILD_BEGIN
  MUST(write(p[1], "x", 1));
  CHILD_END("writer without a reader");
  close(p[1]);
  SHOW(syscall(SYS_pipe, (void *)8));
  SHOW(pipe2(p, 1));
  SHOW(pipe2(p, O_CLOEXEC | O_NONBLOCK));
  SHOW(fcntl(p[0], F_GETFD));
  SHOW(fcntl(p[1], F_GETFL) & O_NONBLOCK);
  close(p[0]), close(p[1]);
}

static void nonblocking(void) {
  int p[2];
  SECTION("O_NONBLOCK and capacity");
  MUST(pipe2(p, O_NONBLOCK));
  SHOW(read(p[0], sink, 1));
  SHOW(read(p[0], sink, 0));
  SHOW(write(p[1], block, sizeof block));
  SHOW(write(p[1], block, 1));
  SHOW(read(p[0], sink, 4096));
  SHOW(write(p[1], block, PIPE_BUF + 1));
  SHOW(write(p[1], block, 1));
  long total = 0, n;
  while ((n = read(p[0], sink, sizeof sink)) > 0) total += n;
  SHOW(total);
  /* PIPE_BUF bytes go in whole or not at all. */
  MUST(write(p[1], block, 65536 - 2048));
  SHOW(write(p[1], block, PIPE_BUF));
  SHOW(write(p[1], block, 2048));
  SHOW(write(p[1], block, PIPE_BUF));
  close(p[0]), close(p[1]);
}

static void blocking(void) {
  int p[2], back[2];
  SECTION("blocking");
  MUST(pipe(p)), MUST(pipe(back));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    close(p[1]);
    long total = 0, n;
    while ((n = read(p[0], sink, 1000)) > 0) total += n;
    say("reader: %ld bytes, then %ld\n", total, n);
    _exit(0);
  }
  close(p[0]);
  sleep_ms(20);
  SHOW(write(p[1], block, sizeof block));
  SHOW(write(p[1], block, sizeof block));
  close(p[1]);
  reap("reader", child);

  /* A read that waits is woken by a write, and by the last writer leaving. */
  child = (pid_t)MUST(fork());
  if (child == 0) {
    close(back[0]);
    sleep_ms(30);
    MUST(write(back[1], "wake", 4));
    sleep_ms(30);
    _exit(0);
  }
  close(back[1]);
  SHOW(read(back[0], sink, 10));
  SHOW(read(back[0], sink, 10));
  reap("writer", child);
  close(back[0]);
}

/* Several writers of PIPE_BUF sized records: no record is torn. */
static void atomicity(void) {
  int p[2];
  SECTION("atomic records");
  MUST(pipe(p));
  pid_t writers[3];
  for (int w = 0; w < 3; w++) {
    writers[w] = (pid_t)MUST(fork());
    if (writers[w] != 0) continue;
    char record[1024];
    memset(record, 'A' + w, sizeof record);
    for (int i = 0; i < 50; i++)
      if (write(p[1], record, sizeof record) != sizeof record) _exit(1);
    _exit(0);
  }
  close(p[1]);
  int records = 0, torn = 0;
  char record[1024];
  for (;;) {
    size_t have = 0;
    ssize_t n = 0;
    while (have < sizeof record && (n = read(p[0], record + have, sizeof record - have)) > 0) have += n;
    if (have < sizeof record) break;
    records++;
    for (size_t i = 1; i < sizeof record; i++) torn += record[i] != record[0];
  }
  SHOW(records);
  SHOW(torn);
  for (int w = 0; w < 3; w++) reap("writer", writers[w]);
  close(p[0]);
}

/* /proc/self/fd names a pipe, and opening that name gives another open file of the same pipe. */
static void reopened(void) {
  int p[2];
  char name[64], target[64] = "";
  SECTION("opened through /proc/self/fd");
  MUST(pipe(p));
  snprintf(name, sizeof name, "/proc/self/fd/%d", p[0]);
  MUST(readlink(name, target, sizeof target - 1));
  SHOW(strncmp(target, "pipe:[", 6));
  snprintf(name, sizeof name, "/proc/self/fd/%d", p[1]);
  int again = (int)MUST(open(name, O_WRONLY));
  SHOW(write(again, "hi", 2));
  close(p[1]);
  SHOW(read(p[0], sink, 10));
  close(again);
  SHOW(read(p[0], sink, 10));
}

int main(void) {
  begin();
  ends_of_life();
  nonblocking();
  blocking();
  atomicity();
  reopened();
  return 0;
}
