/*
 * What once ended the sandbox, each found by row-fuzz or kernel-memory, cut down to its cause. Inside only.
 */
#include "../syscalls/guest.h"
#include "hostile.h"
#include <sys/mman.h>
#include <sys/socket.h>

/* pivot_root gave every process a new root, zombies too, whose old one was let go twice. */
static void pivot_with_zombies(void) {
  struct stat status;
  for (int i = 0; i < 12; i++)
    if (fork() == 0) _exit(0);
  sleep_ms(50);
  syscall(SYS_pivot_root, "/sys", "/sys");
  for (int i = 0; i < 3; i++) syscall(SYS_pivot_root, "/sys", "/sys"), stat("/proc/self/cwd/x", &status), stat("/", &status), stat("/proc/1/root/", &status);
  while (wait(NULL) > 0) continue;
}

/* With --strace: a recvmsg that fails with a plausible vector was shown with a negative length. */
static void failing_message(void) {
  int p[2];
  char byte;
  struct iovec vector = {&byte, 1};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p));
  recvmsg(p[0], &message, 0);
  message.msg_iovlen = 1024;
  recvmsg(p[0], &message, 0);
}

int main(void) {
  begin();
  only_inside();
  scratch();
  CHILD_BEGIN
  failing_message();
  CHILD_END("failing message");
  /* The last one: afterwards "/" is another place. */
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    pivot_with_zombies();
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  say("pivot %d\n", status);
  return 0;
}
