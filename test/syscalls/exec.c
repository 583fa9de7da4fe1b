/*
 * execve(2), execveat(2), fexecve: arguments, environment, scripts, errors, and what a new program keeps.
 * The program executes itself: its first argument chooses the part to play.
 */
#include "guest.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const char self[] = "./self";
static char *const empty[] = {NULL};

/* ---- the parts ---- */

static int show_arguments(int argc, char **argv, char **envp) {
  for (int i = 0; i < argc; i++) say("argv[%d] = \"%s\"\n", i, argv[i]);
  for (int i = 0; envp[i]; i++) say("envp[%d] = \"%s\"\n", i, envp[i]);
  return 0;
}

static int show_state(void) {
  sigset_t mask, pending;
  struct sigaction action;
  sigprocmask(SIG_BLOCK, NULL, &mask), sigpending(&pending);
  say("fd 10 %s, fd 11 %s\n", fcntl(10, F_GETFD) == -1 ? "closed" : "open", fcntl(11, F_GETFD) == -1 ? "closed" : "open");
  say("blocked USR1 %d USR2 %d, pending USR1 %d\n", sigismember(&mask, SIGUSR1), sigismember(&mask, SIGUSR2), sigismember(&pending, SIGUSR1));
  sigaction(SIGTERM, NULL, &action);
  say("SIGTERM was caught, is %s\n", action.sa_handler == SIG_DFL ? "default" : "not default");
  sigaction(SIGHUP, NULL, &action);
  say("SIGHUP was ignored, is %s\n", action.sa_handler == SIG_IGN ? "ignored" : "not ignored");
  stack_t stack;
  sigaltstack(NULL, &stack);
  say("alternate stack %s\n", stack.ss_flags == SS_DISABLE ? "disabled" : "kept");
  mode_t mask_now = umask(0);
  say("umask %o\n", mask_now);
  struct rlimit limit;
  getrlimit(RLIMIT_CORE, &limit);
  say("RLIMIT_CORE %ld\n", (long)limit.rlim_cur);
  char name[17] = "";
  prctl(PR_GET_NAME, name);
  say("comm %s\n", name);
  return 0;
}

/* ---- the caller ---- */

static void run(const char *path, char *const argv[], char *const envp[]) {
  CHILD_BEGIN
  execve(path, argv, envp);
  say("execve: %s\n", errno_name(errno));
  CHILD_END("child");
}

static void arguments(void) {
  SECTION("arguments and environment");
  run(self, (char *[]){"name", "arguments", "one", "", "with space", "\xff\x01", NULL}, (char *[]){"A=1", "B=", "NOEQUALS", NULL});
  run(self, (char *[]){"name", "arguments", NULL}, empty);
}

static void errors(void) {
  static char long_path[5000];
  SECTION("errors");
  char *const argv[] = {"x", "executed", NULL};
  put_file("text", "no magic here\n", 0755);
  put_file("not-executable", "#!/bin/sh\n", 0644);
  put_file("empty", "", 0755);
  put_file("tiny", "\x7f" "ELF", 0755);
  MUST(mkdir("dir", 0755));
  SHOW(execve("missing", argv, empty));
  SHOW(execve("text", argv, empty));
  SHOW(execve("empty", argv, empty));
  SHOW(execve("tiny", argv, empty));
  SHOW(execve("not-executable", argv, empty));
  SHOW(execve("dir", argv, empty));
  SHOW(execve("text/x", argv, empty));
  SHOW(execve("", argv, empty));
  memset(long_path, 'x', 4500);
  SHOW(execve(long_path, argv, empty));
  SHOW(syscall(SYS_execve, NULL, argv, empty));
  SHOW(syscall(SYS_execve, self, (void *)8, empty));
  SHOW(syscall(SYS_execve, self, argv, (void *)8));
  char *const bad_argument[] = {"x", (char *)8, NULL};
  SHOW(syscall(SYS_execve, self, bad_argument, empty));
  static char huge[140000];
  memset(huge, 'h', sizeof huge - 1);
  char *const too_long[] = {"x", huge, NULL};
  SHOW(execve(self, too_long, empty));
  static char large[100001];
  static char *many[200];
  memset(large, 'l', sizeof large - 1);
  for (int i = 0; i < 199; i++) many[i] = large;
  SHOW(execve(self, many, empty));
  /* A file open for writing is busy. */
  int fd = (int)MUST(open("copy", O_RDWR | O_CREAT, 0755)), in = (int)MUST(open(self, O_RDONLY));
  char block[65536];
  for (ssize_t n; (n = read(in, block, sizeof block)) > 0;) MUST(write(fd, block, n));
  close(in);
  SHOW(execve("copy", argv, empty));
  close(fd);
}

static void scripts(void) {
  SECTION("scripts");
  char line[4300];
  snprintf(line, sizeof line, "#!%s arguments\nrest is ignored\n", self);
  put_file("script", line, 0755);
  run("./script", (char *[]){"zero", "one", "two", NULL}, empty);
  snprintf(line, sizeof line, "#! \t%s   arguments with  spaces  \n", self);
  put_file("script2", line, 0755);
  run("script2", (char *[]){"zero", "one", NULL}, empty);
  put_file("script3", "#!./script arg\n", 0755);
  run("./script3", (char *[]){"zero", "last", NULL}, empty);
  put_file("loop", "#!./loop\n", 0755);
  run("./loop", (char *[]){"zero", NULL}, empty);
  put_file("no-interpreter", "#!/missing/interpreter\n", 0755);
  run("./no-interpreter", (char *[]){"zero", NULL}, empty);
  put_file("nothing", "#!\n", 0755);
  run("./nothing", (char *[]){"zero", NULL}, empty);
  put_file("blank", "#!   \n", 0755);
  run("./blank", (char *[]){"zero", NULL}, empty);
  put_file("shell", "#!/bin/sh\necho \"$0 $1 $#\"\n", 0755);
  run("./shell", (char *[]){"zero", "one", "two", NULL}, empty);
  char exact[300] = "#!/bin/sh ";
  memset(exact + 10, 'a', 280);
  strcpy(exact + 290, "\n");
  put_file("long-line", exact, 0755);
  CHILD_BEGIN
  close(2);
  execve("./long-line", (char *[]){"zero", NULL}, empty);
  say("execve: %s\n", errno_name(errno));
  CHILD_END("interpreter line too long");
}

static void at_family(void) {
  SECTION("execveat and fexecve");
  char *const argv[] = {"name", "arguments", "x", NULL};
  int fd = (int)MUST(open(self, O_RDONLY | O_CLOEXEC));
  CHILD_BEGIN
  fexecve(fd, argv, empty);
  say("fexecve: %s\n", errno_name(errno));
  CHILD_END("fexecve");
  int path_fd = (int)MUST(open(self, O_PATH));
  CHILD_BEGIN
  syscall(SYS_execveat, path_fd, "", argv, empty, AT_EMPTY_PATH);
  say("execveat: %s\n", errno_name(errno));
  CHILD_END("execveat of an O_PATH descriptor");
  int dir = (int)MUST(open(".", O_RDONLY | O_DIRECTORY));
  CHILD_BEGIN
  syscall(SYS_execveat, dir, "script", (char *[]){"zero", NULL}, empty, 0);
  say("execveat: %s\n", errno_name(errno));
  CHILD_END("script in a directory");
  SHOW(syscall(SYS_execveat, dir, "", argv, empty, 0));
  SHOW(syscall(SYS_execveat, 99, "script", argv, empty, 0));
  SHOW(syscall(SYS_execveat, 99, "/no/such/program", argv, empty, 0));
  SHOW(syscall(SYS_execveat, dir, "script", argv, empty, 1 << 20));
  MUST(symlink("script", "link"));
  SHOW(syscall(SYS_execveat, dir, "link", argv, empty, AT_SYMLINK_NOFOLLOW));
}

static void on_signal(int number) { (void)number; }

static void state(void) {
  SECTION("what a new program keeps");
  CHILD_BEGIN
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  kill(getpid(), SIGUSR1);
  signal(SIGTERM, on_signal);
  signal(SIGHUP, SIG_IGN);
  static char alternate[16384];
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  sigaltstack(&stack, NULL);
  umask(027);
  struct rlimit limit = {0, 0};
  setrlimit(RLIMIT_CORE, &limit);
  int fd = (int)MUST(open("/dev/null", O_RDONLY));
  dup3(fd, 10, O_CLOEXEC), dup2(fd, 11);
  prctl(PR_SET_NAME, "renamed");
  MUST(symlink(self, "program-name-longer-than-15"));
  execve("./program-name-longer-than-15", (char *[]){"name", "state", NULL}, empty);
  say("execve: %s\n", errno_name(errno));
  CHILD_END("child");
}

static void *exec_here(void *argument) {
  (void)argument;
  execve(self, (char *[]){"name", "pid", NULL}, empty);
  return NULL;
}

static void *wait_for_ever(void *argument) {
  for (;;) pause();
  return argument;
}

static void from_a_thread(void) {
  SECTION("exec in a thread");
  /* The new program has the process id, whichever thread called exec; the other threads are gone. */
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    char text[32];
    snprintf(text, sizeof text, "%d", getpid());
    put_file("expected-pid", text, 0644);
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, wait_for_ever, NULL);
    pthread_create(&threads[1], NULL, wait_for_ever, NULL);
    pthread_create(&threads[2], NULL, exec_here, NULL);
    for (;;) pause();
  }
  reap("child", child);
}

static int show_pid(void) {
  char text[32];
  snprintf(text, sizeof text, "%d", getpid());
  say("same pid: %s\n", strcmp(text, get_file("expected-pid")) == 0 ? "yes" : "no");
  int tasks = 0;
  DIR *dir = opendir("/proc/self/task");
  for (struct dirent *entry; (entry = readdir(dir));) tasks += entry->d_name[0] != '.';
  say("threads: %d\n", tasks);
  CHECK(syscall(SYS_gettid) == getpid());
  return 0;
}

/* A file that was executed before is looked at anew when it changed, by whatever way. */
static void changes(void) {
  SECTION("the file changes between two executions");
  char script[300];
  char *const argv[] = {"zero", NULL};
  snprintf(script, sizeof script, "#!%s arguments1\n", self);
  put_file("changing", script, 0755);
  run("./changing", argv, empty);
  int fd = (int)MUST(open("changing", O_RDWR));
  MUST(pwrite(fd, "2", 1, (off_t)strlen(script) - 2));
  SHOW(execve("./changing", argv, empty));
  close(fd);
  run("./changing", argv, empty);
  fd = (int)MUST(open("changing", O_RDWR));
  char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  bytes[strlen(script) - 2] = '3';
  SHOW(execve("./changing", argv, empty));
  munmap(bytes, 4096);
  run("./changing", argv, empty);
  MUST(truncate("changing", (off_t)strlen(script) - 2));
  run("./changing", argv, empty);
  MUST(truncate("changing", 0));
  run("./changing", argv, empty);
  put_file("other", "#!./self arguments4\n", 0755);
  MUST(link("other", "name"));
  run("./name", argv, empty);
  fd = (int)MUST(open("other", O_WRONLY | O_TRUNC));
  MUST(write(fd, "#!./self arguments5\n", 20));
  close(fd);
  run("./name", argv, empty);
  fd = (int)MUST(dup2((int)MUST(memfd_create("program", 0)), 30));
  for (char version = '6'; version < '8'; version++) {
    MUST(pwrite(fd, "#!./self arguments6\n", 20, 0));
    MUST(pwrite(fd, &version, 1, 18));
    run("/proc/self/fd/30", argv, empty);
  }
  close(fd);
}

int main(int argc, char **argv, char **envp) {
  if (argc > 1 && strcmp(argv[1], "executed") == 0) return say("this should not have been executed\n"), 1;
  if (argc > 1 && strncmp(argv[1], "arguments", 9) == 0) return show_arguments(argc, argv, envp);
  if (argc > 1 && strcmp(argv[1], "state") == 0) return show_state();
  if (argc > 1 && strcmp(argv[1], "pid") == 0) return show_pid();
  begin();
  scratch();
  /* A copy beside the test, under a short name: the first line of a script holds 255 bytes at most. */
  char real[4096] = "";
  MUST(readlink("/proc/self/exe", real, sizeof real - 1));
  CHILD_BEGIN
  int in = (int)MUST(open(real, O_RDONLY)), out = (int)MUST(open("self", O_WRONLY | O_CREAT, 0755));
  char block[65536];
  for (ssize_t n; (n = read(in, block, sizeof block)) > 0;) MUST(write(out, block, n));
  CHILD_END("copy of the program");
  arguments();
  errors();
  scripts();
  at_family();
  state();
  from_a_thread();
  changes();
  return 0;
}
