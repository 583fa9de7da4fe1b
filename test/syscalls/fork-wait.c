/*
 * fork(2), vfork(2), wait4(2), waitid(2): options, statuses, zombies, orphans and subreapers.
 */
#include "guest.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static void show_info(const char *what, const siginfo_t *info, pid_t child) {
  static const char *const codes[] = {"0", "EXITED", "KILLED", "DUMPED", "TRAPPED", "STOPPED", "CONTINUED"};
  say("%s: signo %s code %s status %d pid %s uid %s\n", what, info->si_signo ? signal_name(info->si_signo) : "0",
      codes[info->si_code], info->si_status, info->si_pid == child ? "child" : info->si_pid ? "other" : "0",
      info->si_uid == getuid() ? "own" : "other");
}

static pid_t spawn_exit(int code) {
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) _exit(code);
  return child;
}

static void basics(void) {
  int status = -1;
  struct rusage usage;
  static int global = 1;
  SECTION("fork");
  int local = 1;
  pid_t parent = getpid();
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    global = 2, local = 2;
    CHECK(getppid() == parent);
    CHECK(getpid() != parent);
    CHECK(getpid() == syscall(SYS_gettid));
    _exit(3);
  }
  SHOW(wait4(child, &status, 0, &usage) == child);
  CHECK(child > 0);
  show_status("child", status);
  say("memory is a copy: %d %d\n", global, local);
  SHOW(wait4(child, &status, 0, NULL));
  SHOW(waitpid(-1, &status, 0));
  SHOW(waitpid(getpid(), &status, 0));
  SHOW(waitpid(1 << 22, &status, 0));
  SHOW(waitpid(-1, &status, 1 << 20));
  SHOW(syscall(SYS_wait4, -1, NULL, WNOHANG, NULL));

  SECTION("options");
  int gate[2];
  MUST(pipe(gate));
  child = (pid_t)MUST(fork());
  if (child == 0) {
    close(gate[1]);
    read(gate[0], &status, 1);
    _exit(4);
  }
  close(gate[0]);
  SHOW(waitpid(child, &status, WNOHANG));
  SHOW(waitpid(-getpgid(0), &status, WNOHANG));
  SHOW(waitpid(0, &status, WNOHANG));
  close(gate[1]);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  SHOW(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  show_info("WNOWAIT", &info, child);
  SHOW(waitid(P_PID, child, &info, WEXITED));
  show_info("reaped", &info, child);
  SHOW(waitid(P_PID, child, &info, WEXITED));
  SHOW(waitid(P_ALL, 0, &info, 0));
  SHOW(waitid(99, 0, &info, WEXITED));
  child = spawn_exit(1);
  while (waitid(P_PID, child, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == 0) sleep_ms(1);
  SHOW(kill(child, 0));
  SHOW(kill(child, SIGKILL));
  reap("zombie", child);
  SHOW(kill(child, 0));
  memset(&info, 1, sizeof info);
  child = (pid_t)MUST(fork());
  if (child == 0) {
    pause();
    _exit(0);
  }
  SHOW(waitid(P_PID, child, &info, WEXITED | WNOHANG));
  SHOW(info.si_pid);
  SHOW(info.si_signo);
  kill(child, SIGTERM);
  SHOW(waitid(P_PID, child, &info, WEXITED));
  show_info("killed", &info, child);
  SHOW(syscall(SYS_wait4, spawn_exit(0), (void *)8, 0, NULL));
}

static void stopping(void) {
  int status;
  siginfo_t info;
  SECTION("stop and continue");
  /* In a group of its own beneath us: SIGTSTP does not stop an orphaned group, which ours may be. */
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    setpgid(0, 0);
    for (;;) pause();
  }
  setpgid(child, child);
  kill(child, SIGSTOP);
  SHOW(waitpid(child, &status, WUNTRACED) == child);
  show_status("child", status);
  SHOW(waitpid(child, &status, WUNTRACED | WNOHANG));
  kill(child, SIGCONT);
  SHOW(waitpid(child, &status, WCONTINUED) == child);
  show_status("child", status);
  kill(child, SIGTSTP);
  SHOW(waitid(P_PID, child, &info, WSTOPPED | WNOWAIT));
  show_info("stopped", &info, child);
  SHOW(waitid(P_PID, child, &info, WSTOPPED));
  SHOW(waitid(P_PID, child, &info, WEXITED | WNOHANG));
  kill(child, SIGTERM);
  sleep_ms(20);
  SHOW(waitpid(child, &status, WNOHANG));
  kill(child, SIGCONT);
  SHOW(waitid(P_PID, child, &info, WCONTINUED | WEXITED));
  if (info.si_code == CLD_CONTINUED) MUST(waitid(P_PID, child, &info, WEXITED));
  show_info("end", &info, child);
  child = (pid_t)MUST(fork());
  if (child == 0) {
    for (;;) pause();
  }
  kill(child, SIGSTOP);
  MUST(waitpid(child, &status, WUNTRACED));
  kill(child, SIGKILL);
  reap("killed while stopped", child);
}

static void groups(void) {
  int status;
  SECTION("process groups");
  pid_t a = (pid_t)MUST(fork());
  if (a == 0) {
    setpgid(0, 0);
    pause();
  }
  MUST(setpgid(a, a));
  SHOW(waitpid(0, &status, WNOHANG));
  SHOW(waitpid(-a, &status, WNOHANG));
  kill(-a, SIGUSR1);
  SHOW(waitpid(-a, &status, 0) == a);
  show_status("a", status);
}

static void orphans(void) {
  SECTION("orphans");
  int report[2];
  MUST(pipe(report));
  SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int value = -1;
  SHOW(prctl(PR_GET_CHILD_SUBREAPER, &value));
  SHOW(value);
  pid_t reaper = getpid();
  int reaped[2];
  MUST(pipe(reaped));
  pid_t middle = (pid_t)MUST(fork());
  if (middle == 0) {
    pid_t leaf = fork();
    if (leaf == 0) {
      char go;
      MUST(read(reaped[0], &go, 1));
      say("the orphan's parent is the subreaper: %s\n", getppid() == reaper ? "yes" : "no");
      MUST(write(report[1], &(pid_t){getpid()}, sizeof(pid_t)));
      _exit(7);
    }
    _exit(0);
  }
  reap("middle", middle);
  MUST(write(reaped[1], "g", 1));
  pid_t orphan;
  MUST(read(report[0], &orphan, sizeof orphan));
  reap("orphan", orphan);
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 0));
  SECTION("a parent that ignores SIGCHLD has no zombies");
  signal(SIGCHLD, SIG_IGN);
  pid_t child = spawn_exit(5);
  int status;
  SHOW(waitpid(child, &status, 0));
  signal(SIGCHLD, SIG_DFL);
  struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  sigaction(SIGCHLD, &action, NULL);
  child = spawn_exit(5);
  SHOW(waitpid(child, &status, 0));
  action.sa_flags = 0;
  sigaction(SIGCHLD, &action, NULL);
}

static void parent_death(void) {
  SECTION("PR_SET_PDEATHSIG");
  int report[2];
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  MUST(pipe(report));
  pid_t middle = (pid_t)MUST(fork());
  if (middle == 0) {
    int ready[2];
    MUST(pipe(ready));
    if (fork() == 0) {
      sigset_t set;
      sigemptyset(&set), sigaddset(&set, SIGUSR2);
      sigprocmask(SIG_BLOCK, &set, NULL);
      MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2));
      MUST(write(ready[1], "r", 1));
      int got = sigtimedwait(&set, NULL, &(struct timespec){5, 0});
      MUST(write(report[1], &got, sizeof got));
      _exit(0);
    }
    char byte;
    MUST(read(ready[0], &byte, 1));
    _exit(0);
  }
  reap("middle", middle);
  int got = 0;
  MUST(read(report[0], &got, sizeof got));
  say("the child got %s\n", signal_name(got));
  reap("orphan", -1);
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void with_vfork(void) {
  SECTION("vfork");
  static volatile int shared_value = 1;
  pid_t child = vfork();
  if (child == 0) {
    shared_value = 2;
    _exit(8);
  }
  /* The parent goes on only after the child's end, and sees its store. */
  SHOW(shared_value);
  reap("vforked", child);
}

static void many(void) {
  SECTION("a hundred children");
  int codes = 0;
  for (int i = 0; i < 100; i++) spawn_exit(i);
  int status, reaped = 0;
  while (waitpid(-1, &status, 0) > 0) reaped++, codes += WEXITSTATUS(status);
  CHECK(errno == ECHILD);
  SHOW(reaped);
  SHOW(codes);
}

int main(void) {
  begin();
  basics();
  stopping();
  groups();
  orphans();
  parent_death();
  with_vfork();
  many();
  return 0;
}
