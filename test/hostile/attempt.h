/*
 * Attempts: something wild, done in a child with a time limit, as an ordinary user in a session of its own, so that what it does by accident
 * reaches nobody else. What counts is that it ends and that the others go on.
 */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#include "../syscalls/guest.h"
#include "hostile.h"
#include <sys/resource.h>

static int crashed, ended, late;

/* The wait status of a child that does `what`; -1 when it had to be killed. */
static int attempt(void (*what)(uintptr_t), uintptr_t argument) {
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    struct rlimit none = {0, 0}, second = {1, 1};
    setrlimit(RLIMIT_CORE, &none), setrlimit(RLIMIT_CPU, &second);
    setsid();
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    become_ordinary();
    alarm(1);
    what(argument);
    _exit(0);
  }
  int status, patience = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (++patience > 600) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      late++;
      return -1;
    }
    sleep_ms(patience < 20 ? 1 : 5);
  }
  if (WIFSIGNALED(status)) crashed++;
  else ended++;
  return status;
}

#endif
