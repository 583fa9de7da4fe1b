/*
 * prctl(2), arch_prctl(2): names, dumpable, no_new_privs, parent-death signal, timer slack, seccomp state, personality, segment bases.
 */
#include "guest.h"
#include <asm/prctl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

static void *in_thread(void *argument) {
  char name[17] = "";
  prctl(PR_SET_NAME, "thread-name");
  prctl(PR_GET_NAME, name);
  say("thread: %s, process still %s", name, get_file("/proc/self/comm"));
  return argument;
}

int main(void) {
  char name[17] = "";
  int value = -1;
  begin();
  SECTION("names");
  SHOW(prctl(PR_SET_NAME, "a-name-longer-than-fifteen"));
  SHOW(prctl(PR_GET_NAME, name));
  say("%s\n", name);
  say("comm: %s", get_file("/proc/self/comm"));
  SHOW(prctl(PR_SET_NAME, (void *)8));
  pthread_t thread;
  pthread_create(&thread, NULL, in_thread, NULL);
  pthread_join(thread, NULL);
  SECTION("flags");
  SHOW(prctl(PR_GET_DUMPABLE));
  SHOW(prctl(PR_SET_DUMPABLE, 0));
  SHOW(prctl(PR_GET_DUMPABLE));
  SHOW(prctl(PR_SET_DUMPABLE, 1));
  SHOW(prctl(PR_SET_DUMPABLE, 2));
  SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
  SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  CHILD_BEGIN
  SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  CHILD_END("child inherits it");
  SHOW(prctl(PR_GET_KEEPCAPS));
  SHOW(prctl(PR_SET_KEEPCAPS, 2));
  SECTION("parent-death signal");
  SHOW(prctl(PR_GET_PDEATHSIG, &value));
  SHOW(value);
  SHOW(prctl(PR_SET_PDEATHSIG, SIGUSR1));
  SHOW(prctl(PR_GET_PDEATHSIG, &value));
  SHOW(value);
  SHOW(prctl(PR_SET_PDEATHSIG, 999));
  CHILD_BEGIN
  SHOW(prctl(PR_GET_PDEATHSIG, &value));
  SHOW(value);
  CHILD_END("child does not inherit it");
  SHOW(prctl(PR_SET_PDEATHSIG, 0));
  SECTION("others");
  SHOW(prctl(PR_GET_TIMERSLACK) > 0);
  SHOW(prctl(PR_SET_TIMERSLACK, 60000));
  SHOW(prctl(PR_GET_TIMERSLACK));
  say("timerslack_ns: %s", get_file("/proc/self/timerslack_ns"));
  CHILD_BEGIN
  SHOW(prctl(PR_GET_TIMERSLACK));
  SHOW(prctl(PR_SET_TIMERSLACK, 70000));
  SHOW(prctl(PR_SET_TIMERSLACK, 0));
  SHOW(prctl(PR_GET_TIMERSLACK));
  CHILD_END("child goes back to its parent's slack");
  SHOW(prctl(PR_GET_SECCOMP));
  SHOW(prctl(PR_CAPBSET_READ, CAP_KILL) >= 0);
  SHOW(prctl(PR_CAPBSET_READ, 200));
  SHOW(prctl(123456789));
  SECTION("personality");
  SHOW(personality(0xffffffff));
  CHILD_BEGIN
  struct utsname system;
  SHOW(personality(PER_LINUX32 | UNAME26 | ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC));
  say("personality: %s", get_file("/proc/self/personality"));
  MUST(uname(&system));
  say("%s %.4s\n", system.machine, system.release);
  volatile unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  code[0] = 0xc3; /* ret */
  ((void (*)(void))code)();
  say("readable memory was executed\n");
  SHOW(personality(STICKY_TIMEOUTS));
  struct timeval brief = {0, 1000};
  SHOW(select(0, NULL, NULL, NULL, &brief));
  SHOW(brief.tv_usec);
  CHILD_END("child with another personality");
  SHOW(personality(0xffffffff));
  SECTION("arch_prctl");
  unsigned long base = 0;
  SHOW(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
  CHECK(base == (unsigned long)__builtin_thread_pointer());
  SHOW(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x12345000UL));
  SHOW(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
  CHECK(base == 0x12345000UL);
  SHOW(syscall(SYS_arch_prctl, ARCH_SET_GS, 1UL << 63));
  SHOW(syscall(SYS_arch_prctl, ARCH_GET_FS, (void *)8));
  SHOW(syscall(SYS_arch_prctl, 0x9999, 0));
  CHILD_BEGIN
  MUST(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
  CHECK(base == 0x12345000UL);
  CHILD_END("child inherits gs");
  return 0;
}
