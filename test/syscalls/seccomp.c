/*
 * seccomp(2) and prctl(PR_SET_SECCOMP): modes, every action and their order over several filters, what programs are refused, arguments, scratch
 * memory and arithmetic, inheritance over fork, exec and threads, TSYNC, the 32-bit entry and x32, what /proc shows.
 */
#include "guest.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define NR offsetof(struct seccomp_data, nr)
#define ARCH offsetof(struct seccomp_data, arch)
#define POINTER offsetof(struct seccomp_data, instruction_pointer)
#define LOW(i) (offsetof(struct seccomp_data, args) + 8 * (i))
#define HIGH(i) (LOW(i) + 4)
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
/* For one call one verdict, for all others "allow". */
#define ONLY(nr, verdict) {LOAD(NR), UNLESS(nr, 1), RETURN(verdict), RETURN(SECCOMP_RET_ALLOW)}

#define PROGRAM(array) {.len = COUNT(array), .filter = array}
#define INSTALL(flags, ...) \
  ({ \
    struct sock_filter filter_[] = __VA_ARGS__; \
    struct sock_fprog program_ = PROGRAM(filter_); \
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program_); \
  })
#define TRY(...) SHOW(INSTALL(0, __VA_ARGS__))

static void no_new_privileges(void) { MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }

static void show_proc(void) {
  const char *status = get_file("/proc/self/status");
  const char *line = strstr(status, "Seccomp:");
  say("%.*s\n", (int)strcspn(line, "\n"), line);
  line = strstr(status, "Seccomp_filters:");
  say("%.*s\n", (int)strcspn(line, "\n"), line);
}

static void refused_calls(void) {
  SECTION("calls that are refused");
  struct sock_filter allow[] = {RETURN(SECCOMP_RET_ALLOW)};
  struct sock_fprog program = PROGRAM(allow);
  SHOW(syscall(SYS_seccomp, 99, 0, NULL));
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL));
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, &program));
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 20, &program));
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program));
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (void *)8));
  CHILD_BEGIN
  become_ordinary();
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  program.len = 0;
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  no_new_privileges();
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  program.len = 4097;
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  program.len = 1;
  program.filter = (void *)8;
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  SHOW(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
  SHOW(prctl(PR_SET_SECCOMP, 3, &program));
  SHOW(prctl(PR_SET_SECCOMP, 0, &program));
  SHOW(prctl(PR_GET_SECCOMP));
  show_proc();
  CHILD_END("an ordinary user");
  static const unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                                     SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12340000, SECCOMP_RET_ERRNO | 1};
  for (size_t i = 0; i < COUNT(actions); i++) {
    say("%#x: ", actions[i]);
    SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]));
  }
  say("%s", get_file("/proc/sys/kernel/seccomp/actions_avail"));
  SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &actions[0]));
  SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL));
}

static void refused_programs(void) {
  SECTION("programs that are refused");
  TRY({LOAD(NR)});
  TRY({LOAD(64), RETURN(SECCOMP_RET_ALLOW)});
  TRY({LOAD(2), RETURN(SECCOMP_RET_ALLOW)});
  TRY({LOAD((unsigned)SKF_AD_OFF), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_ST, 16), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_LD | BPF_MEM, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({LOAD(NR), UNLESS(1, 1), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_JUMP(BPF_JMP | BPF_JA, 0xffffffff, 0, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(BPF_RET | BPF_X, 0)});
  TRY({BPF_STMT(0xffff, 0), RETURN(SECCOMP_RET_ALLOW)});
  TRY({BPF_STMT(0x0108, 0), RETURN(SECCOMP_RET_ALLOW)});
  show_proc();
}

static void sum_of_programs(void) {
  SECTION("how many there may be");
  CHILD_BEGIN
  static struct sock_filter long_one[4096];
  for (size_t i = 0; i < COUNT(long_one); i++) long_one[i] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = COUNT(long_one), .filter = long_one};
  int count = 0;
  while (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0) count++;
  say("then %s\n", errno_name(errno));
  CHECK(count > 0 && count < 9);
  SHOW(getppid() > 0);
  CHILD_END("many long ones");
}

static volatile sig_atomic_t trapped;
static siginfo_t last_info;
static long last_rax;
static void on_sigsys(int signo, siginfo_t *info, void *context) {
  (void)signo;
  trapped++;
  last_info = *info;
  ucontext_t *machine = context;
  last_rax = machine->uc_mcontext.gregs[REG_RAX];
  machine->uc_mcontext.gregs[REG_RAX] = 4711;
  if ((unsigned long)info->si_call_addr != (unsigned long)machine->uc_mcontext.gregs[REG_RIP]) _exit(77);
}

static void catch_sigsys(void) {
  struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGSYS, &action, NULL));
}

static void actions(void) {
  SECTION("actions");
  CHILD_BEGIN
  /* Made so often that whoever serves it may have found a shorter way, or an answer to keep. */
  for (int i = 0; i < 20000; i++)
    if (getppid() <= 0) say("?\n");
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV)));
  SHOW(getppid());
  int denied = 0;
  for (int i = 0; i < 5000; i++) denied += getppid() < 0;
  SHOW(denied);
  CHILD_END("a frequent call");
  CHILD_BEGIN
  SHOW(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV)));
  SHOW(syscall(SYS_getppid));
  SHOW(syscall(SYS_getppid));
  SHOW(syscall(SYS_getpid) > 0);
  SHOW(prctl(PR_GET_SECCOMP));
  show_proc();
  CHILD_END("errno");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO)));
  SHOW(syscall(SYS_getppid));
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | 0xffff)));
  SHOW(syscall(SYS_getppid));
  CHILD_END("errno 0 and a large one");
  CHILD_BEGIN
  /* One that has been answered before. */
  SHOW(syscall(SYS_getppid) > 0);
  SHOW(syscall(SYS_getppid) > 0);
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRACE | 5)));
  SHOW(syscall(SYS_getppid));
  MUST(INSTALL(0, ONLY(SYS_getuid, SECCOMP_RET_LOG)));
  SHOW(syscall(SYS_getuid) >= 0);
  SHOW(syscall(SYS_getuid) >= 0);
  MUST(INSTALL(SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW, ONLY(SYS_getgid, SECCOMP_RET_ERRNO | EIO)));
  SHOW(syscall(SYS_getgid));
  show_proc();
  CHILD_END("trace without a tracer, log");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_USER_NOTIF)));
  SHOW(syscall(SYS_getppid));
  CHILD_END("notification without a listener");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_KILL_PROCESS)));
  say("before\n");
  syscall(SYS_getppid);
  say("never\n");
  CHILD_END("kill process");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_KILL_THREAD)));
  syscall(SYS_getppid);
  CHILD_END("kill the only thread");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, 0x12340000)));
  SHOW(syscall(SYS_getppid));
  CHILD_END("no action of Linux");
  CHILD_BEGIN
  catch_sigsys();
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_KILL_PROCESS)));
  syscall(SYS_getppid);
  CHILD_END("kill process with a handler for SIGSYS");
}

static void trap(void) {
  SECTION("trap");
  CHILD_BEGIN
  catch_sigsys();
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRAP | 1234)));
  SHOW(syscall(SYS_getppid));
  SHOW(trapped);
  SHOW(last_rax);
  SHOW(last_info.si_signo);
  SHOW(last_info.si_code);
  SHOW(last_info.si_errno);
  SHOW(last_info.si_syscall);
  CHECK(last_info.si_arch == AUDIT_ARCH_X86_64);
  for (int i = 0; i < 2000; i++)
    if (syscall(SYS_getppid) != 4711) say("?\n");
  SHOW(trapped);
  CHILD_END("handled");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRAP)));
  syscall(SYS_getppid);
  CHILD_END("not handled");
  CHILD_BEGIN
  signal(SIGSYS, SIG_IGN);
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRAP)));
  syscall(SYS_getppid);
  CHILD_END("ignored");
  CHILD_BEGIN
  catch_sigsys();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSYS);
  sigprocmask(SIG_BLOCK, &set, NULL);
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRAP)));
  syscall(SYS_getppid);
  CHILD_END("blocked");
  CHILD_BEGIN
  catch_sigsys();
  MUST(INSTALL(0, ONLY(SYS_clone, SECCOMP_RET_TRAP)));
  MUST(INSTALL(0, ONLY(SYS_mmap, SECCOMP_RET_TRAP)));
  SHOW(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  SHOW(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  SHOW(trapped);
  CHILD_END("calls that need registers");
}

static void several(void) {
  SECTION("several filters");
  CHILD_BEGIN
  catch_sigsys();
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_LOG)));
  SHOW(syscall(SYS_getppid) > 0);
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRACE)));
  SHOW(syscall(SYS_getppid));
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EIO)));
  SHOW(syscall(SYS_getppid));
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | ENXIO)));
  SHOW(syscall(SYS_getppid));
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ALLOW)));
  SHOW(syscall(SYS_getppid));
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_TRAP | 1)));
  SHOW(syscall(SYS_getppid));
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EIO)));
  SHOW(syscall(SYS_getppid));
  show_proc();
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_KILL_THREAD)));
  syscall(SYS_getppid);
  CHILD_END("the most severe counts, of equals the newest");
}

static void arguments(void) {
  SECTION("arguments");
  CHILD_BEGIN
  /* dup2(x, y): EIO if the low word of x is 7, ENXIO if its high word is not 0 */
  SHOW(INSTALL(0, {LOAD(NR), UNLESS(SYS_dup2, 5), LOAD(LOW(0)), UNLESS(7, 1), RETURN(SECCOMP_RET_ERRNO | EIO), LOAD(HIGH(0)),
                   UNLESS(0, 1), RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_ERRNO | ENXIO)}));
  SHOW(syscall(SYS_dup2, 7, 9));
  SHOW(syscall(SYS_dup2, 0x100000007UL, 9));
  SHOW(syscall(SYS_dup2, 0x100000001UL, 9));
  SHOW(syscall(SYS_dup2, 1, 9));
  SHOW(syscall(SYS_dup2, 6, 9));
  SHOW(syscall(SYS_getppid) > 0);
  CHILD_END("of dup2");
  CHILD_BEGIN
  /* The verdict is the last argument of a call of six. */
  SHOW(INSTALL(0, {LOAD(NR), UNLESS(SYS_sendto, 2), LOAD(LOW(5)), BPF_STMT(BPF_RET | BPF_A, 0), RETURN(SECCOMP_RET_ALLOW)}));
  SHOW(syscall(SYS_sendto, -1, 0, 0, 0, 0, SECCOMP_RET_ERRNO | E2BIG));
  SHOW(syscall(SYS_sendto, -1, 0, 0, 0, 0, SECCOMP_RET_ALLOW));
  SHOW(syscall(SYS_sendto, -1, 0, 0, 0, 0, SECCOMP_RET_TRACE));
  SHOW(syscall(SYS_sendto, -1, 0, 0, 0, 0, SECCOMP_RET_KILL_PROCESS));
  CHILD_END("as the verdict");
  CHILD_BEGIN
  /* Everything a program can do to a value, on dup2's: (((x + 3) * 5 - 2) / 3 ^ 0x55 | 0x100 & 0xfff) << 2 >> 1, through memory and X. */
  SHOW(INSTALL(0, {LOAD(NR), UNLESS(SYS_dup2, 25), LOAD(LOW(0)), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 3),
                   BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 5), BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 2), BPF_STMT(BPF_ST, 15),
                   BPF_STMT(BPF_LDX | BPF_IMM, 3), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0x55),
                   BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 0x100), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2),
                   BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1), BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_ALU | BPF_NEG, 0),
                   BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_STX, 2), BPF_STMT(BPF_LD | BPF_MEM, 15), BPF_STMT(BPF_LDX | BPF_MEM, 2),
                   BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff),
                   BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0),
                   BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}));
  SHOW(syscall(SYS_dup2, 1, 9));
  CHILD_END("is allowed after all that");
  CHILD_BEGIN
  SHOW(INSTALL(0, {LOAD(NR), UNLESS(SYS_dup2, 15), LOAD(LOW(0)), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 3),
                   BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 5), BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 2), BPF_STMT(BPF_LDX | BPF_IMM, 3),
                   BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0x55), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2),
                   BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x7f), BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0),
                   BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x7f),
                   BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), BPF_STMT(BPF_RET | BPF_A, 0), RETURN(SECCOMP_RET_ALLOW)}));
  for (long i = -3; i < 6; i++) SHOW(syscall(SYS_dup2, i, 9));
  CHILD_END("arithmetic");
  CHILD_BEGIN
  /* Division by X of zero ends the program with 0, which kills. */
  MUST(INSTALL(0, {LOAD(NR), UNLESS(SYS_dup2, 3), BPF_STMT(BPF_LDX | BPF_IMM, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
                   RETURN(SECCOMP_RET_ERRNO | EIO), RETURN(SECCOMP_RET_ALLOW)}));
  syscall(SYS_dup2, 1, 9);
  CHILD_END("division by zero");
  CHILD_BEGIN
  /* Comparisons are unsigned. */
  MUST(INSTALL(0, {LOAD(NR), UNLESS(SYS_dup2, 7), LOAD(LOW(0)), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 0x80000000, 0, 1),
                   RETURN(SECCOMP_RET_ERRNO | 101), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x80000000, 0, 1), RETURN(SECCOMP_RET_ERRNO | 102),
                   BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x10, 0, 1), RETURN(SECCOMP_RET_ERRNO | 103), RETURN(SECCOMP_RET_ALLOW)}));
  SHOW(syscall(SYS_dup2, 0xffffffff, 9));
  SHOW(syscall(SYS_dup2, 0x80000000, 9));
  SHOW(syscall(SYS_dup2, 0x7fffffff, 9));
  SHOW(syscall(SYS_dup2, 0xef, 9));
  CHILD_END("comparisons");
  CHILD_BEGIN
  /* From anywhere: it is not 0. */
  MUST(INSTALL(0, {LOAD(NR), UNLESS(SYS_getppid, 7), LOAD(POINTER), BPF_STMT(BPF_MISC | BPF_TAX, 0), LOAD(POINTER + 4),
                   BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0), UNLESS(0, 1), RETURN(SECCOMP_RET_ERRNO | EIO), RETURN(SECCOMP_RET_ERRNO | EDOM),
                   RETURN(SECCOMP_RET_ALLOW)}));
  SHOW(syscall(SYS_getppid));
  CHILD_END("the instruction pointer");
}

static void pointer_of_the_call(void) {
  SECTION("the instruction pointer of a call");
  CHILD_BEGIN
  static const unsigned char code[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};
  unsigned char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(at, code, sizeof code);
  unsigned long behind = (unsigned long)at + 7;
  MUST(INSTALL(0, {LOAD(POINTER), UNLESS((unsigned)behind, 3), LOAD(POINTER + 4), UNLESS((unsigned)(behind >> 32), 1),
                   RETURN(SECCOMP_RET_ERRNO | EXDEV), RETURN(SECCOMP_RET_ALLOW)}));
  SHOW(((long (*)(void))at)());
  SHOW(syscall(SYS_getppid) > 0);
  CHILD_END("from one place only");
}

static void *in_thread(void *argument) {
  long result = syscall(SYS_getppid);
  say("thread: %ld %s\n", result, errno_name(errno));
  return argument;
}

static void inheritance(const char *self) {
  SECTION("inheritance");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV)));
  CHILD_BEGIN
  SHOW(syscall(SYS_getppid));
  show_proc();
  MUST(INSTALL(0, ONLY(SYS_getuid, SECCOMP_RET_ERRNO | EIO)));
  show_proc();
  CHILD_END("grandchild");
  SHOW(syscall(SYS_getuid) >= 0);
  pthread_t thread;
  pthread_create(&thread, NULL, in_thread, NULL);
  pthread_join(thread, NULL);
  execl(self, self, "again", NULL);
  CHILD_END("child");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_execve, SECCOMP_RET_ERRNO | EXDEV)));
  SHOW(execl(self, self, "again", NULL));
  CHILD_END("execve can be refused");
}

static pthread_barrier_t barrier;
static volatile pid_t other_tid;
static void *with_others(void *argument) {
  if (argument) MUST(INSTALL(0, ONLY(SYS_getuid, SECCOMP_RET_ERRNO | EIO)));
  other_tid = (pid_t)syscall(SYS_gettid);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  const char *result = syscall(SYS_getppid) > 0 ? "ok" : errno_name(errno);
  say("other: %s, no_new_privs %d, mode %d\n", result, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_SECCOMP));
  return NULL;
}

static void threads(void) {
  SECTION("threads");
  for (int diverged = 0; diverged < 2; diverged++) {
    CHILD_BEGIN
    if (diverged) no_new_privileges();
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, with_others, diverged ? &barrier : NULL);
    pthread_barrier_wait(&barrier);
    no_new_privileges();
    long result = INSTALL(SECCOMP_FILTER_FLAG_TSYNC, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV));
    say("TSYNC: %s\n", result == 0 ? "0" : result == other_tid ? "the other's number" : errno_name(errno));
    SHOW(INSTALL(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, ONLY(SYS_getppid, SECCOMP_RET_ERRNO | EDOM)));
    say("own mode %d\n", prctl(PR_GET_SECCOMP));
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    CHILD_END(diverged ? "the other has a filter of its own" : "synchronised");
  }
}

static void *dies(void *argument) {
  (void)argument;
  syscall(SYS_getppid);
  say("never\n");
  return NULL;
}

static void killed_threads(void) {
  SECTION("killed threads");
  for (int whole = 0; whole < 2; whole++) {
    CHILD_BEGIN
    MUST(INSTALL(0, ONLY(SYS_getppid, whole ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_KILL_THREAD)));
    pthread_t thread;
    pthread_create(&thread, NULL, dies, NULL);
    pthread_join(thread, NULL); /* the kernel clears its tid */
    say("the process lives\n");
    CHILD_END(whole ? "whole process" : "thread");
  }
}

static void *outlives(void *how) {
  sleep_ms(50);
  if (how) syscall(SYS_exit_group, 5);
  syscall(SYS_exit, 6);
  return NULL;
}

static void killed_leaders(void) {
  SECTION("killed leaders");
  for (int whole = 0; whole < 2; whole++) {
    CHILD_BEGIN
    MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_KILL_THREAD)));
    pthread_t thread;
    pthread_create(&thread, NULL, outlives, whole ? &thread : NULL);
    syscall(SYS_getppid);
    CHILD_END(whole ? "the last thread ends the process" : "the last thread ends");
  }
  CHILD_BEGIN
  pthread_t thread;
  pthread_create(&thread, NULL, outlives, NULL);
  syscall(SYS_exit, 3);
  CHILD_END("a leader that left with 3");
}

static int pipes[2];
static void *reads(void *argument) {
  char byte = 0;
  (void)argument;
  SHOW(read(pipes[0], &byte, 1));
  SHOW(read(pipes[0], &byte, 1));
  return NULL;
}

static void waiting(void) {
  SECTION("a call that waits is not asked about again");
  CHILD_BEGIN
  MUST(pipe(pipes));
  pthread_t thread;
  pthread_create(&thread, NULL, reads, NULL);
  sleep_ms(50);
  no_new_privileges();
  SHOW(INSTALL(SECCOMP_FILTER_FLAG_TSYNC, ONLY(SYS_read, SECCOMP_RET_ERRNO | EXDEV)));
  MUST(write(pipes[1], "x", 1));
  pthread_join(thread, NULL);
  CHILD_END("read");
}

static long call_by_int80(long number, long b) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(b), "c"(0), "d"(0), "S"(0), "D"(0) : "memory", "r8", "r9", "r10", "r11");
  return result;
}

static void entries(void) {
  SECTION("entries");
  CHILD_BEGIN
  catch_sigsys();
  /* By the 32-bit entry: number 7777 traps, first argument 5 is EXDEV, all else EIO. x32: EDOM. */
  MUST(INSTALL(0, {LOAD(ARCH), UNLESS(AUDIT_ARCH_I386, 6), LOAD(NR), UNLESS(7777, 1), RETURN(SECCOMP_RET_TRAP | 9), LOAD(LOW(0)),
                   UNLESS(5, 4), RETURN(SECCOMP_RET_ERRNO | EXDEV), LOAD(NR), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x40000000, 0, 2),
                   RETURN(SECCOMP_RET_ERRNO | EDOM), RETURN(SECCOMP_RET_ERRNO | EIO), RETURN(SECCOMP_RET_ALLOW)}));
  SHOW(call_by_int80(64, 5));
  SHOW(call_by_int80(64, 0x100000005));
  SHOW(call_by_int80(64, 6));
  SHOW(call_by_int80(7777, 6));
  SHOW(trapped);
  SHOW(last_rax);
  SHOW(last_info.si_syscall);
  SHOW(last_info.si_errno);
  CHECK(last_info.si_arch == AUDIT_ARCH_I386);
  SHOW(syscall(0x40000000 + SYS_getppid));
  SHOW(syscall(SYS_getppid) > 0);
  CHILD_END("int 0x80 and x32");
  CHILD_BEGIN
  MUST(INSTALL(0, {LOAD(NR), UNLESS(0xffffffff, 1), RETURN(SECCOMP_RET_ERRNO | EXDEV), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 5000, 0, 1),
                   RETURN(SECCOMP_RET_ERRNO | EIO), RETURN(SECCOMP_RET_ALLOW)}));
  SHOW(syscall(5000));
  SHOW(syscall(4999));
  SHOW(syscall(500));
  CHILD_END("numbers that do not exist");
}

static void strict(void) {
  SECTION("strict mode");
  CHILD_BEGIN
  SHOW(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
  say("it can write\n");
  syscall(SYS_exit, 3);
  CHILD_END("prctl");
  CHILD_BEGIN
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
  syscall(SYS_getppid);
  CHILD_END("a call it has not");
  CHILD_BEGIN
  MUST(INSTALL(0, ONLY(SYS_getppid, SECCOMP_RET_ERRNO)));
  SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
  SHOW(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
  CHILD_END("with a filter");
  CHILD_BEGIN
  int ready[2], never[2];
  MUST(pipe(ready));
  MUST(pipe(never));
  pid_t parent = getpid();
  if (MUST(fork()) == 0) {
    char path[64], byte;
    MUST(read(ready[0], &byte, 1));
    snprintf(path, sizeof path, "/proc/%d/status", parent);
    const char *line = strstr(get_file(path), "Seccomp:");
    say("%.*s\n", (int)strcspn(line, "\n"), line);
    line = strstr(line, "Seccomp_filters:");
    say("%.*s\n", (int)strcspn(line, "\n"), line);
    kill(parent, SIGTERM);
    _exit(0);
  }
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  char byte = 'x';
  write(ready[1], &byte, 1);
  read(never[0], &byte, 1);
  CHILD_END("as /proc shows it");
}

int main(int argc, char **argv) {
  (void)argv;
  begin();
  if (argc > 1) {
    SHOW(syscall(SYS_getppid));
    show_proc();
    return 0;
  }
  char self[4096] = "";
  MUST(readlink("/proc/self/exe", self, sizeof self - 1));
  refused_calls();
  no_new_privileges();
  refused_programs();
  sum_of_programs();
  actions();
  trap();
  several();
  arguments();
  pointer_of_the_call();
  inheritance(self);
  threads();
  killed_threads();
  killed_leaders();
  waiting();
  entries();
  strict();
  return 0;
}
