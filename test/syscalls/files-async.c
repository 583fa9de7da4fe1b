/* Signals for input and output: fcntl(2) O_ASYNC, F_SETOWN, F_SETSIG; and the owners' corner cases. */
#include "guest.h"
#include <sys/ioctl.h>
#include <sys/socket.h>

static volatile sig_atomic_t seen, seen_fd, seen_code, seen_band;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)context;
  seen = number;
  seen_code = info->si_code;
  seen_fd = info->si_fd;
  seen_band = (int)info->si_band;
}

static void wait_for_signal(void) {
  for (int i = 0; i < 200 && !seen; i++) sleep_ms(5);
}

int main(void) {
  begin();
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  int pair[2];
  char byte;
  MUST(sigaction(SIGIO, &action, NULL));
  MUST(sigaction(SIGUSR1, &action, NULL));

  SECTION("SIGIO");
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  SHOW(fcntl(pair[0], F_GETOWN));
  SHOW(fcntl(pair[0], F_SETOWN, getpid()));
  CHECK(fcntl(pair[0], F_GETOWN) == getpid());
  SHOW(fcntl(pair[0], F_SETFL, O_ASYNC));
  CHECK((fcntl(pair[0], F_GETFL) & O_ASYNC) != 0);
  SHOW(write(pair[1], "x", 1));
  wait_for_signal();
  CHECK(seen == SIGIO);

  SECTION("a signal of one's own, with details");
  seen = 0;
  SHOW(fcntl(pair[0], F_GETSIG));
  SHOW(fcntl(pair[0], F_SETSIG, SIGUSR1));
  CHECK(fcntl(pair[0], F_GETSIG) == SIGUSR1);
  SHOW(fcntl(pair[0], F_SETSIG, 65));
  SHOW(write(pair[1], "y", 1));
  wait_for_signal();
  CHECK(seen == SIGUSR1);
  CHECK(seen_fd == pair[0]);
  CHECK(seen_code == POLL_IN);
  CHECK((seen_band & 1) != 0);

  SECTION("switched off");
  seen = 0;
  int off = 0, on = 1;
  SHOW(ioctl(pair[0], FIOASYNC, &off));
  CHECK((fcntl(pair[0], F_GETFL) & O_ASYNC) == 0);
  SHOW(write(pair[1], "z", 1));
  sleep_ms(30);
  CHECK(seen == 0);
  SHOW(ioctl(pair[0], FIOASYNC, &on));
  SHOW(read(pair[0], &byte, 1));

  SECTION("owners");
  struct f_owner_ex owner = {F_OWNER_PGRP, getpgrp()};
  SHOW(fcntl(pair[0], F_SETOWN_EX, &owner));
  memset(&owner, 0, sizeof owner);
  SHOW(fcntl(pair[0], F_GETOWN_EX, &owner));
  CHECK(owner.type == F_OWNER_PGRP && owner.pid == getpgrp());
  owner.type = 7;
  SHOW(fcntl(pair[0], F_SETOWN_EX, &owner));
  SHOW(fcntl(pair[0], F_SETOWN, 4000000));
  SHOW(fcntl(pair[0], F_SETOWN, 0));
  SHOW(fcntl(pair[0], F_SETOWN_EX, (void *)8));
  return 0;
}
