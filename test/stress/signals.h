/* Operations on signals and timers. What a handler catches is told with the next reply of its thread. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include "memory.h"
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static const int signals[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGTERM, SIGHUP, SIGWINCH, SIGURG, SIGPIPE, 35, 36};

static int signal_of(int n) { return signals[n % (int)COUNT(signals)]; }

/* Bits of `n` are places in the list above. */
static sigset_t set_of(int n) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < COUNT(signals); i++)
    if (n >> i & 1) sigaddset(&set, signals[i]);
  return set;
}
static void show_set(const sigset_t *set) {
  unsigned bits = 0;
  for (size_t i = 0; i < COUNT(signals); i++) bits |= (unsigned)(sigismember(set, signals[i]) == 1) << i;
  out(" %#x", bits);
}

/* Leaves nothing in the vector registers as it was: whoever was interrupted must not notice. */
static void on_signal(int signo, siginfo_t *info, void *context) {
  int saved = errno;
  (void)context;
  struct actor *self = SELF;
  __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm1; movdqa %%xmm0, %%xmm7; movdqa %%xmm0, %%xmm15; fninit; std; cld" ::: "xmm0", "xmm1", "xmm7", "xmm15", "memory");
  if (signo == SIGCHLD && info->si_code > 0) {
    /* When a child stops or goes on no order of the script decides, nor which thread hears of the children of a burst. */
    if (info->si_code != CLD_STOPPED && info->si_code != CLD_CONTINUED && strcmp(who(info->si_pid), "other") != 0)
      self->ended[self->ended_count++ % CAUGHT] = (struct caught){signo, info->si_code, info->si_status};
  } else {
    int value = info->si_code == SI_QUEUE || info->si_code == SI_TIMER ? info->si_value.sival_int : 0;
    self->caught[self->caught_count++ % CAUGHT] = (struct caught){signo, info->si_code, value};
  }
  errno = saved;
}

static void do_action(int *a) {
  static const int flags[] = {0, SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK, SA_RESTART | SA_ONSTACK, SA_NOCLDSTOP, SA_NOCLDSTOP | SA_RESTART};
  struct sigaction action = {.sa_mask = set_of(a[3])}, old;
  if (a[1] % 8 == 0) action.sa_handler = SIG_DFL;
  else if (a[1] % 8 == 1) action.sa_handler = SIG_IGN;
  else action.sa_sigaction = on_signal, action.sa_flags = SA_SIGINFO;
  action.sa_flags |= flags[a[2] % (int)COUNT(flags)];
  if (result(sigaction(signal_of(a[0]), &action, &old)) == 0)
    out(" %d %#x", old.sa_handler == SIG_DFL ? 0 : old.sa_handler == SIG_IGN ? 1 : 2, old.sa_flags & ~0x4000000);
}
static void do_mask(int *a) {
  sigset_t set = set_of(a[1]), old;
  if (result(pthread_sigmask(a[0] % 3, &set, &old)) == 0) show_set(&old);
}
static void do_pending(int *a) {
  (void)a;
  sigset_t set;
  if (result(sigpending(&set)) == 0) show_set(&set);
}
static void do_raise(int *a) { result(syscall(SYS_tgkill, getpid(), SELF->tid, signal_of(a[0]))); }

static int threads_of(pid_t pid) {
  int count = 0;
  for (int i = 0; i < ACTORS; i++) count += shared->actors[i].pid == pid && shared->actors[i].state != GONE && shared->actors[i].state != NOBODY;
  return count;
}
static const struct actor *target(int n) {
  const struct actor *other = &shared->actors[n % ACTORS];
  return other->pid > 1 && !other->reaped && other->state != NOBODY && other->state != GONE ? other : NULL;
}
static void send_to(const struct actor *other, int signo) {
  if (!other) out(" nobody");
  else result(threads_of(other->pid) > 1 ? syscall(SYS_tgkill, other->pid, other->tid, signo) : kill(other->pid, signo));
}
static void do_kill(int *a) { send_to(target(a[0]), signal_of(a[1])); }
static void do_kill_hard(int *a) { send_to(target(a[0]), SIGKILL); }
static void do_stop(int *a) { send_to(target(a[0]), SIGSTOP); }
static void do_continue(int *a) { send_to(target(a[0]), SIGCONT); }
static void do_probe(int *a) { send_to(target(a[0]), 0); }
static void do_queue(int *a) {
  const struct actor *other = target(a[0]);
  if (!other || threads_of(other->pid) > 1) return;
  result(sigqueue(other->pid, signal_of(a[1]), (union sigval){.sival_int = a[2]}));
}
static void show_info(long value, const siginfo_t *info) {
  if (result(value) > 0) out(" %d %s", info->si_code, info->si_code == SI_USER || info->si_code == SI_TKILL ? who(info->si_pid) : "");
}
static void do_take(int *a) {
  sigset_t set = set_of(a[0]);
  struct timespec none = {0, 0};
  siginfo_t info;
  show_info(sigtimedwait(&set, &info, &none), &info);
}
/* Sleeps until one comes. */
static void do_take_wait(int *a) {
  sigset_t set = set_of(a[0]);
  struct timespec most = {4, 0};
  siginfo_t info;
  long value;
  while ((value = sigtimedwait(&set, &info, &most)) == -1 && errno == EINTR) continue;
  show_info(value, &info);
}
/* Several at once: who comes first is told by the order of what is caught. */
static void do_volley(int *a) {
  sigset_t all = set_of(-1), old;
  pthread_sigmask(SIG_BLOCK, &all, &old);
  for (size_t i = 0; i < COUNT(signals); i++)
    if (a[0] >> i & 1 && signals[i] != SIGCHLD) syscall(SYS_tgkill, getpid(), SELF->tid, signals[i]);
  sigset_t pending;
  sigpending(&pending);
  show_set(&pending);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}
/* A signal that is pending ends sigsuspend at once. */
static void do_suspend(int *a) {
  sigset_t all = set_of(-1), only = set_of(~(1 << a[0] % 3)), old;
  struct sigaction action;
  if (sigaction(signal_of(a[0] % 3), NULL, &action) != 0 || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return;
  pthread_sigmask(SIG_BLOCK, &all, &old);
  syscall(SYS_tgkill, getpid(), SELF->tid, signal_of(a[0] % 3));
  result(sigsuspend(&only));
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}
static void do_altstack(int *a) {
  static __thread char stack[32768];
  stack_t wanted = {.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = a[0] % 3 == 0 ? SS_DISABLE : 0}, old;
  if (a[0] % 5 == 4) wanted.ss_size = 100;
  if (result(sigaltstack(&wanted, &old)) == 0) out(" %d", old.ss_flags);
}

/* ---- timers: the signal is blocked and taken, so that it counts whether it comes, and not when ---- */

static void with_alarm(void (*start)(int *), int *a) {
  sigset_t set = set_of(4), old;
  struct timespec most = {4, 0};
  siginfo_t info;
  pthread_sigmask(SIG_BLOCK, &set, &old);
  start(a);
  int signo = sigtimedwait(&set, &info, &most);
  out(" %d %d", signo, signo > 0 ? info.si_code : errno);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}
static void start_interval(int *a) {
  struct itimerval once = {{0, 0}, {0, a[0] % 3000 + 1}};
  result(setitimer(ITIMER_REAL, &once, NULL));
}
/* With one thread only: a signal for the process could go to another one that does not block it. */
static void do_alarm(int *a) {
  if (threads_of(getpid()) == 1) with_alarm(start_interval, a);
}
static void do_timer(int *a) {
  sigset_t set = set_of(1 << 9), old;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 35, .sigev_value = {.sival_int = a[1]}};
  struct itimerspec once = {{0, 0}, {0, a[0] % 3000000 + 1}};
  struct timespec most = {4, 0};
  timer_t timer;
  siginfo_t info;
  if (threads_of(getpid()) != 1) return;
  pthread_sigmask(SIG_BLOCK, &set, &old);
  if (result(timer_create(a[2] % 2 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &event, &timer)) == 0) {
    result(timer_settime(timer, 0, &once, NULL));
    if (sigtimedwait(&set, &info, &most) > 0) out(" %d %d %d", info.si_code, info.si_value.sival_int, info.si_overrun);
    result(timer_getoverrun(timer));
    result(timer_delete(timer));
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}
static void do_timerfd(int *a) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec once = {{0, 0}, {0, a[0] % 3000000 + 1}};
  uint64_t count = 0;
  if (result(fd) == -1) return;
  result(timerfd_settime(fd, 0, &once, NULL));
  if (read(fd, &count, sizeof count) == 8) out(" %d", (int)count);
  close(fd);
}
static void do_sleep(int *a) {
  struct timespec before, after, wanted = {0, a[0] % 2000000};
  clock_gettime(CLOCK_MONOTONIC, &before);
  result(nanosleep(&wanted, NULL));
  clock_gettime(CLOCK_MONOTONIC, &after);
  out(" %d", (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= wanted.tv_nsec);
}
static void do_signalfd(int *a) {
  sigset_t set = set_of(a[0]);
  result(signalfd(-1, &set, SFD_NONBLOCK));
}
static void do_signalfd_read(int *a) {
  struct signalfd_siginfo info;
  if (would_block(user_fd(a[0]), POLLIN) || is_regular(user_fd(a[0]))) return;
  ssize_t n = read(user_fd(a[0]), &info, sizeof info);
  if (result(n) == sizeof info && info.ssi_signo < 65) out(" %u %d", info.ssi_signo, info.ssi_code);
}

#endif
