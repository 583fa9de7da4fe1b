/*
 * The first program to run: write(2) and the ways a process ends.
 * write(2), exit(2), exit_group(2), atexit order, and what a parent sees of each.
 */
#include "guest.h"

static void first(void) { say("atexit: registered first, runs last\n"); }
static void second(void) { say("atexit: registered second, runs first\n"); }

int main(int argc, char **argv) {
  begin();
  SHOW(write(1, "hello\n", 6));
  SHOW(write(1, "", 0));
  SHOW(write(1, NULL, 0));
  SHOW(write(-1, "x", 1));
  SHOW(write(999, "x", 1));
  SHOW(write(1, (void *)8, 1));
  SHOW(syscall(SYS_write, 1, "x", -1L));
  CHECK(argc >= 1);
  CHECK(argv[argc] == NULL);

  CHILD_BEGIN
  _exit(0);
  CHILD_END("_exit(0)");
  CHILD_BEGIN
  _exit(42);
  CHILD_END("_exit(42)");
  CHILD_BEGIN
  _exit(256 + 7);
  CHILD_END("_exit(263) keeps eight bits");
  CHILD_BEGIN
  _exit(-1);
  CHILD_END("_exit(-1)");
  CHILD_BEGIN
  syscall(SYS_exit, 9);
  CHILD_END("SYS_exit in the only thread");
  CHILD_BEGIN
  kill(getpid(), SIGTERM);
  CHILD_END("SIGTERM to itself");
  CHILD_BEGIN
  kill(getpid(), SIGKILL);
  CHILD_END("SIGKILL to itself");
  CHILD_BEGIN
  abort();
  CHILD_END("abort");
  CHILD_BEGIN
  atexit(first);
  atexit(second);
  exit(5);
  CHILD_END("exit(5)");
  SHOW(syscall(100000));
  SHOW(syscall(-1));
  return 0;
}
