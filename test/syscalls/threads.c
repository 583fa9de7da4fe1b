/*
 * Threads and clone(2), clone3(2): what is shared, how a thread ends, thread ids, exit and exit_group, invalid flags.
 */
#include "guest.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

static int counter;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static __thread int own = 5;

static void *count(void *argument) {
  for (int i = 0; i < 2000; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
  }
  own++;
  return (void *)((long)argument * 10 + own);
}

static void basics(void) {
  pthread_t threads[8];
  long sum = 0;
  SECTION("create and join");
  for (long i = 0; i < 8; i++) pthread_create(&threads[i], NULL, count, (void *)i);
  for (int i = 0; i < 8; i++) {
    void *result;
    pthread_join(threads[i], &result);
    sum += (long)result;
  }
  SHOW(counter);
  SHOW(sum);
  SHOW(own);
}

static int stage;
static void *ping(void *argument) {
  int me = (int)(long)argument;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < 200; i++) {
    while (stage % 2 != me) pthread_cond_wait(&condition, &mutex);
    stage++;
    pthread_cond_broadcast(&condition);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static void conditions(void) {
  pthread_t a, b;
  SECTION("condition variables");
  pthread_create(&a, NULL, ping, (void *)0L);
  pthread_create(&b, NULL, ping, (void *)1L);
  pthread_join(a, NULL), pthread_join(b, NULL);
  SHOW(stage);
}

static int fd_from_thread;
static void *share(void *argument) {
  CHECK(syscall(SYS_getpid) == getpid());
  CHECK(syscall(SYS_gettid) != getpid());
  CHECK(*(pid_t *)argument == getpid());
  fd_from_thread = (int)MUST(open("/dev/null", O_RDONLY));
  MUST(chdir("/proc"));
  umask(077);
  return NULL;
}

static void sharing(void) {
  pthread_t thread;
  char cwd[64];
  pid_t pid = getpid();
  SECTION("what threads share");
  pthread_create(&thread, NULL, share, &pid);
  pthread_join(thread, NULL);
  SHOW(fcntl(fd_from_thread, F_GETFD));
  MUST(syscall(SYS_getcwd, cwd, sizeof cwd));
  SHOW(strcmp(cwd, "/proc"));
  SHOW(umask(022));
  close(fd_from_thread);
  MUST(chdir("/"));
}

static void *exit_process(void *argument) {
  sleep_ms(10);
  syscall(SYS_exit_group, (int)(long)argument);
  return NULL;
}
static void *exit_thread(void *argument) {
  syscall(SYS_exit, (int)(long)argument);
  return NULL;
}
static void *linger(void *argument) {
  sleep_ms(50);
  say("the last thread ends the process\n");
  syscall(SYS_exit, (int)(long)argument);
  return NULL;
}

static void *sleeper(void *argument) {
  for (;;) pause();
  return argument;
}

static void ending(void) {
  pthread_t thread;
  SECTION("exit and exit_group");
  CHILD_BEGIN
  pthread_create(&thread, NULL, exit_process, (void *)12L);
  for (;;) pause();
  CHILD_END("exit_group in a thread");
  CHILD_BEGIN
  pthread_create(&thread, NULL, exit_thread, (void *)13L);
  pthread_join(thread, NULL);
  _exit(14);
  CHILD_END("SYS_exit in a thread");
  CHILD_BEGIN
  pthread_create(&thread, NULL, linger, (void *)15L);
  syscall(SYS_exit, 16);
  CHILD_END("SYS_exit in the first thread");
  CHILD_BEGIN
  pthread_create(&thread, NULL, exit_process, (void *)17L);
  for (;;) continue;
  CHILD_END("exit_group while another computes");
  CHILD_BEGIN
  pthread_create(&thread, NULL, sleeper, NULL);
  kill(getpid(), SIGKILL);
  CHILD_END("SIGKILL with two threads");
  CHILD_BEGIN
  pthread_create(&thread, NULL, sleeper, NULL);
  if (fork() == 0) {
    /* Only the forking thread lives in the child. */
    int tasks = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(dir));) tasks += entry->d_name[0] != '.';
    say("threads in the child: %d\n", tasks);
    _exit(0);
  }
  wait(NULL);
  CHILD_END("fork of a process with two threads");
}

/* Raw clone: the child runs on this stack and ends through SYS_exit. */
static char stack[65536] __attribute__((aligned(16)));
static volatile int seen;
static int raw_child(void *argument) {
  seen = (int)(long)argument;
  return 21;
}

static void cloning(void) {
  int status;
  pid_t parent_tid = -1, child_tid = -1;
  SECTION("clone flags");
  seen = 0;
  pid_t child = clone(raw_child, stack + sizeof stack, SIGCHLD, (void *)1L);
  MUST(waitpid(child, &status, 0));
  say("plain: seen %d, ", seen), show_status("child", status);
  child = clone(raw_child, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)2L);
  MUST(waitpid(child, &status, 0));
  say("CLONE_VM: seen %d, ", seen), show_status("child", status);
  child = clone(raw_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)3L);
  say("CLONE_VFORK: seen %d at once\n", seen);
  MUST(waitpid(child, &status, 0));
  child = clone(raw_child, stack + sizeof stack, CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, (void *)4L, &parent_tid, NULL, &child_tid);
  MUST(waitpid(child, &status, 0));
  CHECK(parent_tid == child);
  say("cleared tid: %d\n", child_tid);
  signal(SIGUSR1, SIG_IGN);
  child = clone(raw_child, stack + sizeof stack, SIGUSR1, (void *)5L);
  SHOW(waitpid(child, &status, WNOHANG));
  SHOW(waitpid(child, &status, __WCLONE) == child);
  child = clone(raw_child, stack + sizeof stack, 0, (void *)6L);
  SHOW(waitpid(child, &status, __WALL) == child);
  SECTION("file table and fs");
  int fd = (int)MUST(open("/dev/null", O_RDONLY));
  child = (pid_t)MUST(syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
  if (child == 0) {
    close(fd);
    chdir("/dev");
    _exit(0);
  }
  reap("child", child);
  SHOW(fcntl(fd, F_GETFD));
  char cwd[64];
  MUST(syscall(SYS_getcwd, cwd, sizeof cwd));
  SHOW(strcmp(cwd, "/dev"));
  MUST(chdir("/"));
  SECTION("invalid flags");
  SHOW(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
  SHOW(syscall(SYS_clone, CLONE_THREAD | CLONE_VM, 0, 0, 0, 0));
  SHOW(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0));
}

static void with_clone3(void) {
  SECTION("clone3");
  int status;
  struct clone_args arguments = {.flags = 0, .exit_signal = SIGCHLD};
  pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) _exit(31);
  SHOW(child > 0);
  SHOW(waitpid(child, &status, 0) == child);
  show_status("child", status);
  int pidfd = -1;
  arguments.flags = CLONE_PIDFD, arguments.pidfd = (uintptr_t)&pidfd;
  child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (child == 0) _exit(32);
  if (child > 0) {
    SHOW(pidfd >= 0);
    reap("child with a pidfd", child);
    close(pidfd);
  }
  struct clone_args bad = {.flags = 1ULL << 60, .exit_signal = SIGCHLD};
  SHOW(syscall(SYS_clone3, &bad, sizeof bad));
  bad.flags = 0, bad.exit_signal = 1000;
  SHOW(syscall(SYS_clone3, &bad, sizeof bad));
  bad.exit_signal = SIGCHLD, bad.stack = 4096;
  SHOW(syscall(SYS_clone3, &bad, sizeof bad));
  SHOW(syscall(SYS_clone3, &bad, 8));
  SHOW(syscall(SYS_clone3, (void *)8, sizeof bad));
  arguments.pidfd = 8;
  SHOW(syscall(SYS_clone3, &arguments, sizeof arguments));
  SHOW(waitpid(-1, &status, __WALL));
  SECTION("execve makes SIGCHLD the exit signal");
  child = (pid_t)syscall(SYS_clone, CLONE_VFORK | SIGUSR1, 0, 0, 0, 0);
  if (child == 0) {
    execl("/bin/true", "true", (char *)NULL);
    _exit(33);
  }
  SHOW(waitpid(child, &status, 0) == child);
  show_status("child", status);
  int cleared = -1;
  CHECK(syscall(SYS_set_tid_address, &cleared) == syscall(SYS_gettid));
}

static void *parallel(void *argument) {
  volatile unsigned long value = 1;
  for (int i = 0; i < 3000000; i++) value = value * 6364136223846793005UL + 1;
  *(unsigned long *)argument = value;
  return NULL;
}

static void computing(void) {
  pthread_t threads[4];
  unsigned long results[4];
  SECTION("threads that compute");
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, parallel, &results[i]);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(results[0] == results[1] && results[1] == results[2] && results[2] == results[3]);
}

int main(void) {
  begin();
  basics();
  conditions();
  sharing();
  ending();
  cloning();
  with_clone3();
  computing();
  return 0;
}
