/*
 * Signals: sending, masks, dispositions, flags of sigaction(2), sigsuspend(2), sigtimedwait(2), sigqueue(3),
 * the order of delivery, alternate stacks, siglongjmp. See signal(7).
 */
#include "guest.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/time.h>

static volatile int count, order[32], depth, deepest;
static volatile siginfo_t last;

static void on_plain(int number) {
  if (count < 32) order[count] = number;
  count++;
}

static void on_info(int number, siginfo_t *info, void *context) {
  (void)context;
  last.si_signo = info->si_signo, last.si_code = info->si_code;
  last.si_pid = info->si_pid, last.si_uid = info->si_uid, last.si_value = info->si_value;
  on_plain(number);
}

static void on_nested(int number) {
  depth++;
  if (depth > deepest) deepest = depth;
  if (depth < 3 && count++ < 3) raise(number);
  depth--;
}

static void install(int number, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  MUST(sigaction(number, &action, NULL));
}

static void install_info(int number, int flags) {
  struct sigaction action = {.sa_sigaction = on_info, .sa_flags = flags | SA_SIGINFO};
  MUST(sigaction(number, &action, NULL));
}

static void block(int how, int number) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, number);
  MUST(sigprocmask(how, &set, NULL));
}

static int is_pending(int number) {
  sigset_t set;
  sigpending(&set);
  return sigismember(&set, number);
}

static void sending(void) {
  SECTION("kill and its errors");
  install(SIGUSR1, on_plain, 0);
  count = 0;
  SHOW(kill(getpid(), SIGUSR1));
  SHOW(count);
  SHOW(raise(SIGUSR1));
  SHOW(count);
  SHOW(kill(getpid(), 0));
  SHOW(kill(getpid(), 65));
  SHOW(kill(getpid(), -1));
  SHOW(kill(1 << 22, SIGUSR1));
  SHOW(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
  SHOW(syscall(SYS_tgkill, getpid(), 1 << 22, SIGUSR1));
  SHOW(syscall(SYS_tgkill, -1, 1, SIGUSR1));
  SHOW(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
  SHOW(syscall(SYS_tkill, -5, SIGUSR1));
  SHOW(count);
  CHILD_BEGIN
  become_ordinary();
  if (getppid() > 1 && geteuid() == 65534) SHOW(kill(getppid(), SIGTERM));
  else say("kill(getppid(), SIGTERM) = -1 EPERM\n");
  CHILD_END("ordinary user");
  SECTION("sigaction and its errors");
  struct sigaction old, new = {.sa_handler = on_plain, .sa_flags = SA_RESTART | SA_NODEFER};
  sigaddset(&new.sa_mask, SIGHUP);
  SHOW(sigaction(SIGUSR2, &new, NULL));
  SHOW(sigaction(SIGUSR2, NULL, &old));
  CHECK(old.sa_handler == on_plain && (old.sa_flags & (SA_RESTART | SA_NODEFER)) == (SA_RESTART | SA_NODEFER));
  SHOW(sigismember(&old.sa_mask, SIGHUP));
  SHOW(sigaction(SIGKILL, &new, NULL));
  SHOW(sigaction(SIGSTOP, &new, NULL));
  SHOW(syscall(SYS_rt_sigaction, SIGKILL, NULL, &old, 8));
  SHOW(syscall(SYS_rt_sigaction, 0, NULL, NULL, 8));
  SHOW(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8));
  SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
  SHOW(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8));
  SHOW(syscall(SYS_rt_sigprocmask, 99, &old.sa_mask, NULL, 8));
  SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)8, NULL, 8));
  SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 4));
  sigset_t all, now;
  sigfillset(&all);
  SHOW(sigprocmask(SIG_SETMASK, &all, NULL));
  sigprocmask(SIG_BLOCK, NULL, &now);
  say("KILL blockable %d, STOP blockable %d, TERM blockable %d\n", sigismember(&now, SIGKILL), sigismember(&now, SIGSTOP), sigismember(&now, SIGTERM));
  sigemptyset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
}

static void queueing(void) {
  SECTION("pending and queued");
  for (int i = 0; i < 3; i++) install_info(SIGRTMIN + i, 0);
  install(SIGUSR1, on_plain, 0), install(SIGUSR2, on_plain, 0);
  sigset_t all, none;
  sigfillset(&all), sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &all, NULL);
  count = 0;
  kill(getpid(), SIGRTMIN + 2);
  SHOW(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 1}));
  SHOW(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 2}));
  kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1);
  SHOW(is_pending(SIGUSR1));
  SHOW(is_pending(SIGRTMIN));
  /* The lowest number first, but a handler is itself interrupted by the next: the frames unwind from the last. */
  sigprocmask(SIG_SETMASK, &none, NULL);
  SHOW(count);
  say("handlers ran:");
  for (int i = 0; i < count; i++) say(" %s", signal_name(order[i]));
  say("\n");
  SHOW(last.si_code);
  SHOW(is_pending(SIGUSR1));
  install_info(SIGUSR1, 0);
  kill(getpid(), SIGUSR1);
  say("kill: code %d, own pid %d, own uid %d\n", last.si_code, last.si_pid == getpid(), last.si_uid == getuid());
  syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1);
  say("tgkill: code %d, own pid %d\n", last.si_code, last.si_pid == getpid());
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 77});
  say("sigqueue: code %d, value %d\n", last.si_code, last.si_value.sival_int);
  siginfo_t forged = {.si_signo = SIGUSR1, .si_code = SI_USER};
  SHOW(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &forged));
  /* An ignored signal is not pending; making a pending one ignored drops it. */
  block(SIG_BLOCK, SIGUSR2);
  kill(getpid(), SIGUSR2);
  SHOW(is_pending(SIGUSR2));
  signal(SIGUSR2, SIG_IGN);
  SHOW(is_pending(SIGUSR2));
  block(SIG_UNBLOCK, SIGUSR2);
  CHILD_BEGIN
  block(SIG_BLOCK, SIGUSR1);
  kill(getpid(), SIGUSR1);
  pid_t grandchild = fork();
  if (grandchild == 0) _exit(is_pending(SIGUSR1));
  int status;
  waitpid(grandchild, &status, 0);
  say("pending signals are inherited: %d\n", WEXITSTATUS(status));
  CHILD_END("child");
}

static void flags(void) {
  SECTION("SA_NODEFER, SA_RESETHAND, sa_mask");
  install(SIGUSR1, on_nested, 0);
  count = deepest = 0, raise(SIGUSR1);
  SHOW(deepest);
  install(SIGUSR1, on_nested, SA_NODEFER);
  count = deepest = 0, raise(SIGUSR1);
  SHOW(deepest);
  install(SIGUSR1, on_plain, SA_RESETHAND);
  raise(SIGUSR1);
  struct sigaction now;
  sigaction(SIGUSR1, NULL, &now);
  CHECK(now.sa_handler == SIG_DFL);
  signal(SIGUSR1, SIG_DFL);
  CHILD_BEGIN
  raise(SIGUSR1);
  CHILD_END("default action");
  static const int ignored[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH};
  for (size_t i = 0; i < COUNT(ignored); i++) raise(ignored[i]);
  say("SIGCHLD, SIGCONT, SIGURG, SIGWINCH do nothing\n");
}

static void waiting(void) {
  SECTION("sigsuspend, sigtimedwait");
  sigset_t none, set;
  siginfo_t info;
  sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN);
  install(SIGUSR1, on_plain, SA_RESTART);
  count = 0;
  sigprocmask(SIG_BLOCK, &set, NULL);
  kill(getpid(), SIGUSR1);
  SHOW(count);
  SHOW(sigsuspend(&none));
  SHOW(count);
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  SHOW(sigismember(&now, SIGUSR1));
  struct timespec brief = {0, 20000000}, zero = {0, 0}, bad = {0, -1};
  int64_t start = now_ms();
  SHOW(sigtimedwait(&set, &info, &brief));
  CHECK(now_ms() - start >= 20);
  SHOW(sigtimedwait(&set, &info, &zero));
  SHOW(sigtimedwait(&set, &info, &bad));
  sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
  kill(getpid(), SIGUSR1);
  SHOW(sigtimedwait(&set, &info, NULL) == SIGUSR1);
  SHOW(sigwaitinfo(&set, &info) == SIGRTMIN);
  SHOW(info.si_value.sival_int);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(20);
    kill(getppid(), SIGUSR1);
    _exit(0);
  }
  SHOW(sigwaitinfo(&set, &info) == SIGUSR1);
  CHECK(info.si_pid == child);
  reap("sender", child);
  install(SIGUSR2, on_plain, SA_RESTART);
  child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(20);
    kill(getppid(), SIGUSR2);
    _exit(0);
  }
  SHOW(sigwaitinfo(&set, &info));
  reap("sender", child);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void alarm_in(int ms) {
  struct itimerval timer = {{0, 0}, {0, ms * 1000}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

static void restarting(void) {
  int p[2];
  char byte;
  SECTION("restart of system calls");
  MUST(pipe(p));
  pid_t parent = getpid();
  install(SIGALRM, on_plain, 0);
  alarm_in(40);
  SHOW(read(p[0], &byte, 1));
  install(SIGALRM, on_plain, SA_RESTART);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(20);
    kill(parent, SIGALRM);
    sleep_ms(20);
    MUST(write(p[1], "x", 1));
    _exit(0);
  }
  count = 0;
  SHOW(read(p[0], &byte, 1));
  SHOW(count);
  reap("writer", child);
  child = (pid_t)MUST(fork());
  if (child == 0) {
    sleep_ms(60);
    _exit(3);
  }
  install(SIGALRM, on_plain, 0);
  alarm_in(20);
  int status;
  SHOW(waitpid(child, &status, 0));
  install(SIGALRM, on_plain, SA_RESTART);
  alarm_in(10);
  SHOW(waitpid(child, &status, 0) == child);
  install(SIGALRM, on_plain, 0);
  /* A write that moved something before the signal tells how much. */
  static char block[100000];
  alarm_in(50);
  SHOW(write(p[1], block, sizeof block));
  /* A stop and a continue without a handler: the read goes on as if nothing had been. */
  child = (pid_t)MUST(fork());
  if (child == 0) {
    int q[2];
    MUST(pipe(q));
    if (fork() == 0) {
      sleep_ms(60);
      MUST(write(q[1], "x", 1));
      _exit(0);
    }
    say("read across a stop: %ld\n", (long)read(q[0], &byte, 1));
    struct timespec middle = {0, 60000000}, left = {0, 0};
    say("nanosleep across a stop: %d\n", nanosleep(&middle, &left));
    _exit(0);
  }
  for (int i = 0; i < 3; i++) {
    sleep_ms(25);
    kill(child, SIGSTOP), sleep_ms(5), kill(child, SIGCONT);
  }
  reap("stopped reader", child);
  close(p[0]), close(p[1]);
}

static char alternate[32768];
static volatile int on_alternate, reported_flags;
static void on_stack(int number) {
  char here;
  (void)number;
  on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
  stack_t now;
  sigaltstack(NULL, &now);
  reported_flags = now.ss_flags;
  stack_t other = {.ss_sp = alternate, .ss_size = sizeof alternate};
  if (on_alternate) say("change on the stack: %s\n", sigaltstack(&other, NULL) == -1 ? errno_name(errno) : "ok");
}

static void stacks(void) {
  SECTION("sigaltstack");
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old, bad = stack;
  SHOW(sigaltstack(&stack, &old));
  SHOW(old.ss_flags == SS_DISABLE);
  install(SIGUSR1, on_stack, 0);
  raise(SIGUSR1);
  say("without SA_ONSTACK: %d flags %d\n", on_alternate, reported_flags);
  install(SIGUSR1, on_stack, SA_ONSTACK);
  raise(SIGUSR1);
  say("with SA_ONSTACK: %d flags %d\n", on_alternate, reported_flags);
  bad.ss_size = 100;
  SHOW(sigaltstack(&bad, NULL));
  bad.ss_size = sizeof alternate, bad.ss_flags = 99;
  SHOW(sigaltstack(&bad, NULL));
  SHOW(sigaltstack((void *)8, NULL));
  stack.ss_flags = SS_DISABLE;
  SHOW(sigaltstack(&stack, NULL));
}

static sigjmp_buf jump;
static void on_jump(int number) {
  (void)number;
  siglongjmp(jump, 1);
}

static void jumping(void) {
  SECTION("siglongjmp");
  install(SIGUSR1, on_jump, 0);
  for (volatile int i = 0; i < 3; i++)
    if (sigsetjmp(jump, 1) == 0) raise(SIGUSR1);
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  SHOW(sigismember(&now, SIGUSR1));
}

static volatile pid_t handled_by;
static void on_thread(int number) {
  (void)number;
  handled_by = (pid_t)syscall(SYS_gettid);
}
static void *blocked_thread(void *argument) {
  block(SIG_BLOCK, SIGUSR1);
  block(SIG_BLOCK, SIGUSR2);
  *(volatile pid_t *)argument = (pid_t)syscall(SYS_gettid);
  for (int i = 0; i < 1000 && handled_by == 0; i++) sleep_ms(1);
  return NULL;
}

static void threads(void) {
  SECTION("which thread");
  pthread_t thread;
  volatile pid_t tid = 0;
  install(SIGUSR1, on_thread, 0);
  pthread_create(&thread, NULL, blocked_thread, (void *)&tid);
  while (tid == 0) sleep_ms(1);
  kill(getpid(), SIGUSR1);
  while (handled_by == 0) sleep_ms(1);
  CHECK(handled_by == getpid());
  pthread_join(thread, NULL);
  /* Blocked here, open there: the other thread takes it. */
  block(SIG_BLOCK, SIGUSR1);
  handled_by = 0, tid = 0;
  install(SIGUSR2, on_thread, 0);
  pthread_create(&thread, NULL, blocked_thread, (void *)&tid);
  while (tid == 0) sleep_ms(1);
  syscall(SYS_tgkill, getpid(), tid, SIGUSR2);
  sleep_ms(10);
  SHOW(handled_by);
  SHOW(is_pending(SIGUSR2));
  block(SIG_UNBLOCK, SIGUSR1);
  kill(getpid(), SIGUSR1);
  pthread_join(thread, NULL);
  CHECK(handled_by == getpid());
}

static volatile int children;
static void on_child(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  children++;
  last.si_code = info->si_code, last.si_status = info->si_status, last.si_pid = info->si_pid;
}

static void child_signals(void) {
  SECTION("SIGCHLD");
  struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
  sigaction(SIGCHLD, &action, NULL);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) _exit(9);
  while (children < 1) sleep_ms(1);
  say("code %d status %d child %d\n", last.si_code, last.si_status, last.si_pid == child);
  waitpid(child, NULL, 0);
  child = (pid_t)MUST(fork());
  if (child == 0) for (;;) pause();
  kill(child, SIGSTOP);
  while (children < 2) sleep_ms(1);
  say("code %d status %d\n", last.si_code, last.si_status);
  kill(child, SIGCONT);
  while (children < 3) sleep_ms(1);
  say("code %d status %d\n", last.si_code, last.si_status);
  kill(child, SIGKILL);
  while (children < 4) sleep_ms(1);
  say("code %d status %d\n", last.si_code, last.si_status);
  waitpid(child, NULL, 0);
  action.sa_flags |= SA_NOCLDSTOP;
  sigaction(SIGCHLD, &action, NULL);
  child = (pid_t)MUST(fork());
  if (child == 0) for (;;) pause();
  kill(child, SIGSTOP);
  waitpid(child, NULL, WUNTRACED);
  SHOW(children);
  kill(child, SIGKILL);
  while (children < 5) sleep_ms(1);
  waitpid(child, NULL, 0);
  signal(SIGCHLD, SIG_DFL);
}

int main(void) {
  begin();
  sending();
  queueing();
  flags();
  waiting();
  restarting();
  stacks();
  jumping();
  threads();
  child_signals();
  return 0;
}
