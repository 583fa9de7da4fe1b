/*
 * seccomp filters as an attack: programs of garbage, lengths and pointers that lead nowhere or half way, programs that change while they are
 * read, chains of the greatest length that are asked at every call, listeners that nobody listens to. What the kernel says is printed, so it is compared with Linux. A first argument
 * "chains" instead: very many filters in many processes, for a sandbox only.
 */
#include "../syscalls/guest.h"
#include "hostile.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static long install(void *program, unsigned length) {
  struct sock_fprog whole = {.len = (unsigned short)length, .filter = program};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole) == 0 ? 0 : errno;
}

static struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

static void pointers(void) {
  SECTION("pointers");
  char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page + 4096, 2 * 4096);
  struct sock_filter *last = (struct sock_filter *)(page + 4096) - 1;
  *last = allow;
  static const unsigned long wild[] = {0, 1, 4096, 1UL << 47, (1UL << 47) - 8, 1UL << 63, 0xffffffffff600000, -4096UL, -8UL, -1UL};
  for (size_t i = 0; i < COUNT(wild); i++) {
    long direct = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, wild[i]) == 0 ? 0 : errno;
    say("%#lx: %s", wild[i], errno_name((int)direct));
    say(" %s", errno_name((int)install((void *)wild[i], 1)));
    say(" %s\n", errno_name((int)install((void *)wild[i], 4096)));
  }
  say("half of it: %s\n", errno_name((int)install(last, 2)));
  say("half an instruction: %s\n", errno_name((int)install((char *)last + 4, 1)));
  say("half the description: %ld\n", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, page + 4096 - 12));
  say("unaligned: %s\n", errno_name((int)install(memcpy(page + 3, &allow, sizeof allow), 1)));
  for (unsigned length = 4097; length < 65536; length += 4099) say("%u: %s\n", length, errno_name((int)install(last, length)));
}

static uint64_t state = 88172645463325252;
static uint64_t random_word(void) { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; }

/* Refused, nearly all: those that are not end the child, or not. */
static void garbage(void) {
  SECTION("garbage");
  unsigned char program[4096 * 8];
  unsigned long sum = 0;
  for (int round = 0; round < 3000; round++) {
    unsigned length = 1 + random_word() % (round % 10 == 0 ? 4096 : 6);
    for (unsigned i = 0; i < length * 8; i++) program[i] = (unsigned char)random_word();
    for (unsigned i = 0; i < length; i++)
      if (round % 3) program[8 * i + 1] = 0, program[8 * i + 2] &= 3, program[8 * i + 3] &= 3, memset(program + 8 * i + 5, 0, 3);
    memcpy(program + 8 * (length - 1), &allow, round % 7 ? 8 : 0);
    pid_t child = (pid_t)MUST(fork());
    if (child == 0) _exit(install(program, length) == 0 ? 1 : 2);
    int status;
    waitpid(child, &status, 0);
    sum = sum * 31 + (unsigned long)status;
  }
  say("sum %lx\n", sum);
}

static volatile int stop;
static struct sock_filter changing[4096];
/* Whatever is read meanwhile is a mixture; of those that are accepted each allows everything (what follows the action in `k` is data). */
static void *changes(void *argument) {
  while (!stop) {
    for (size_t i = 0; i < COUNT(changing); i += 7) changing[i].k ^= SECCOMP_RET_DATA, changing[i].code ^= 0x20;
  }
  return argument;
}

static void races(void) {
  SECTION("a program that changes");
  CHILD_BEGIN
  for (size_t i = 0; i < COUNT(changing); i++) changing[i] = allow;
  pthread_t thread;
  pthread_create(&thread, NULL, changes, NULL);
  int wrong = 0;
  for (int i = 0; i < 200; i++) {
    long error = install(changing, COUNT(changing) - 1);
    if (error != 0 && error != EINVAL && error != ENOMEM) wrong++;
  }
  stop = 1;
  pthread_join(thread, NULL);
  SHOW(wrong);
  CHILD_END("child");
}

/* The longest way through as much as there may be, for a number whose arguments count. */
static void long_ways(void) {
  SECTION("long ways");
  CHILD_BEGIN
  static struct sock_filter program[4096];
  for (size_t i = 0; i < COUNT(program); i++) program[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16);
  program[COUNT(program) - 1] = allow;
  while (install(program, COUNT(program)) == 0) continue;
  for (int i = 0; i < 300; i++) MUST(getppid());
  say("done\n");
  CHILD_END("child");
}

/* A listener: pointers that lead nowhere, numbers that nobody gave out, many that ask at once and nobody who answers. */
static int listen_for(unsigned nr) {
  struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), allow};
  struct sock_fprog program = {.len = COUNT(filter), .filter = filter};
  return (int)MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

static void listeners(void) {
  SECTION("listeners");
  static const unsigned long requests[] = {SECCOMP_IOCTL_NOTIF_RECV,  SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_IOCTL_NOTIF_ID_VALID,
                                           SECCOMP_IOCTL_NOTIF_ADDFD, 0x2100, 0xc0502109, 0xffffffff};
  static const unsigned long wild[] = {0, 8, 1UL << 47, (1UL << 47) - 8, -8UL, -1UL};
  CHILD_BEGIN
  int fd = listen_for(SYS_dup3);
  for (size_t i = 0; i < COUNT(requests); i++)
    for (size_t k = 0; k < COUNT(wild); k++) {
      int result = ioctl(fd, requests[i], wild[k]);
      say("%#lx(%#lx): %d %s\n", requests[i], wild[k], result, errno_name(errno));
    }
  struct seccomp_notif_resp answer = {0};
  for (int bit = 0; bit < 64; bit++) {
    answer.id = 1UL << bit;
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) != -1 || errno != ENOENT) say("bit %d: %s\n", bit, errno_name(errno));
  }
  CHILD_END("wild");
  CHILD_BEGIN
  listen_for(SYS_dup3);
  alarm(1);
  syscall(SYS_dup3, 1, 2, 0);
  CHILD_END("asks itself");
  CHILD_BEGIN
  int fd = listen_for(SYS_dup3), none = 0;
  for (int i = 0; i < 100; i++)
    if (MUST(fork()) == 0) {
      close(fd);
      _exit(syscall(SYS_dup3, 1, 2, 0) == -1 && errno == ENOSYS ? 42 : 1);
    }
  struct seccomp_notif request = {0};
  MUST(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request));
  sleep_ms(100);
  close(fd);
  for (int status; wait(&status) > 0;) none += WIFEXITED(status) && WEXITSTATUS(status) == 42;
  SHOW(none);
  CHILD_END("a hundred");
}

/* Processes that take as many filters as they get and keep them. */
static void chains(void) {
  int gate[2], lost = 0;
  MUST(pipe(gate));
  for (int i = 0; i < 24; i++) {
    pid_t child = (pid_t)MUST(fork());
    if (child == 0) {
      close(gate[1]);
      while (install(&allow, 1) == 0) continue;
      int error = errno;
      char byte;
      read(gate[0], &byte, 1);
      _exit(error == ENOMEM ? 0 : 1);
    }
  }
  sleep_ms(1500);
  close(gate[0]), close(gate[1]);
  for (int status; wait(&status) > 0;) lost += status != 0;
  SHOW(lost);
  CHILD_BEGIN
  SHOW(install(&allow, 1));
  CHILD_END("afterwards there is room again");
}

int main(int argc, char **argv) {
  begin();
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  if (argc > 1 && strcmp(argv[1], "chains") == 0) {
    only_inside();
    chains();
    return 0;
  }
  pointers();
  garbage();
  races();
  long_ways();
  listeners();
  return 0;
}
