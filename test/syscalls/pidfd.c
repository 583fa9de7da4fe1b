/*
 * Reaching into processes: pidfd_open(2) with PIDFD_NONBLOCK, pidfd_getfd(2), pidfd_send_signal(2) through /proc, kcmp(2) and
 * process_vm_readv(2).
 */
#include "guest.h"
#include <linux/kcmp.h>
#include <sys/uio.h>

static int go[2];

static long getfd(int pidfd, int fd, unsigned flags) { return syscall(SYS_pidfd_getfd, pidfd, fd, flags); }
static long kcmp(pid_t one, pid_t two, int type, unsigned long a, unsigned long b) { return syscall(SYS_kcmp, one, two, type, a, b); }

/* A child that lives until told by a byte in `go`. */
static pid_t waiting_child(void) {
  MUST(pipe(go));
  pid_t child = (pid_t)MUST(fork());
  char byte;
  if (child == 0) _exit(read(go[0], &byte, 1) == 1 ? 7 : 8);
  return child;
}

static void waiting(void) {
  SECTION("waiting without blocking");
  siginfo_t info;
  pid_t child = waiting_child();
  int fd = (int)MUST(syscall(SYS_pidfd_open, child, O_NONBLOCK));
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  SHOW(waitid((idtype_t)3, fd, &info, WEXITED));
  SHOW(waitid((idtype_t)3, fd, &info, WEXITED | WNOHANG));
  MUST(fcntl(fd, F_SETFL, 0));
  MUST(write(go[1], "x", 1));
  SHOW(waitid((idtype_t)3, fd, &info, WEXITED));
  SHOW(info.si_status);
  SHOW(getfd(fd, 0, 0));
  close(fd);
}

static void taking(void) {
  SECTION("taking descriptors");
  pid_t child = waiting_child();
  int pidfd = (int)MUST(syscall(SYS_pidfd_open, child, 0)), pipe_end = go[0];
  int taken = (int)MUST(getfd(pidfd, pipe_end, 0));
  SHOW(fcntl(taken, F_GETFD));
  SHOW(kcmp(getpid(), child, KCMP_FILE, taken, pipe_end));
  CHECK(kcmp(getpid(), child, KCMP_FILE, taken, go[1]) > 0);
  CHECK(kcmp(getpid(), child, KCMP_FILE, taken, go[1]) + kcmp(child, getpid(), KCMP_FILE, go[1], taken) == 3);
  SHOW(kcmp(getpid(), child, KCMP_FILE, taken, 999));
  SHOW(kcmp(getpid(), getpid(), KCMP_VM, 0, 0));
  CHECK(kcmp(getpid(), child, KCMP_VM, 0, 0) > 0);
  SHOW(kcmp(getpid(), child, 99, 0, 0));
  SHOW(kcmp(getpid(), 0x3ffffff, KCMP_VM, 0, 0));
  SHOW(getfd(pidfd, 999, 0));
  SHOW(getfd(pidfd, pipe_end, 1));
  SHOW(getfd(pipe_end, pipe_end, 0));
  close(taken);
  MUST(write(go[1], "x", 1));
  MUST(waitpid(child, NULL, 0));
}

static void signalling(void) {
  SECTION("signals through /proc");
  int self = (int)MUST(open("/proc/self", O_DIRECTORY)), root = (int)MUST(open("/", O_DIRECTORY));
  SHOW(syscall(SYS_pidfd_send_signal, self, 0, NULL, 0));
  SHOW(syscall(SYS_pidfd_send_signal, root, 0, NULL, 0));
}

static char memory[3][4096] __attribute__((aligned(4096))) = {"first", "second", "third"};

static void reading_memory(void) {
  SECTION("another one's memory");
  char copy[64] = "";
  struct iovec here[2] = {{copy, 3}, {copy + 3, 60}}, there[2] = {{memory[0], 5}, {memory[1], 6}}, bad = {(void *)8, 5};
  pid_t child = waiting_child();
  strcpy(memory[0], "mine!"); /* the child keeps what it had */
  SHOW(process_vm_readv(child, here, 2, there, 2, 0));
  say("%s\n", copy);
  SHOW(process_vm_writev(child, &(struct iovec){"SECOND", 6}, 1, &there[1], 1, 0));
  SHOW(process_vm_readv(child, here, 2, there, 2, 0));
  say("%s, here still %s\n", copy, memory[1]);
  SHOW(process_vm_readv(child, here, 2, &bad, 1, 0));
  SHOW(process_vm_readv(child, &bad, 1, there, 2, 0));
  SHOW(process_vm_readv(child, here, 2, (struct iovec[]){there[0], bad}, 2, 0));
  SHOW(process_vm_readv(child, here, 2, there, 2, 1));
  SHOW(process_vm_readv(child, here, 2, (void *)8, 2, 0));
  SHOW(process_vm_readv(child, here, 1025, there, 2, 0));
  SHOW(process_vm_readv(child, here, 0, there, 2, 0));
  SHOW(process_vm_readv(0x3ffffff, here, 2, there, 2, 0));
  MUST(write(go[1], "x", 1));
  MUST(waitpid(child, NULL, 0));
}

int main(void) {
  begin();
  waiting();
  taking();
  signalling();
  reading_memory();
  return 0;
}
