/* Runs on the host, beside a sandbox: exchanges the two names `x` and `y` of a directory as fast as it can, for some seconds. */
#include "../syscalls/guest.h"
#include <sched.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

int main(int argc, char **argv) {
  MUST(chdir(argv[1]));
  time_t end = time(NULL) + atoi(argv[2]);
  while (time(NULL) < end)
    for (int i = 0; i < 50; i++) syscall(SYS_renameat2, AT_FDCWD, "x", AT_FDCWD, "y", RENAME_EXCHANGE), sched_yield();
  return 0;
}
