/* Operations that make, end and describe processes and threads. A new one becomes the actor whose number the script gave. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include "channels.h"
#include <sys/resource.h>
#include <sys/time.h>

static void act(void);

/* Makes a place ready for an actor that is about to start. */
static struct actor *prepare(int number) {
  struct actor *fresh = &shared->actors[number % ACTORS];
  if (fresh->state != NOBODY) {
    out(" taken");
    return NULL;
  }
  return fresh;
}
/* Its state is set by whoever made it: the controller may send the first line before it runs. */
static void born(struct actor *fresh) { fresh->pid = fresh->tid = getpid(); }

static void do_fork(int *a) {
  struct actor *fresh = prepare(a[0]);
  if (!fresh) return;
  pid_t child = fork();
  if (child == 0) {
    me = a[0] % ACTORS;
    born(fresh);
    act();
  }
  if (child == -1) result(-1);
  else fresh->pid = fresh->tid = child, fresh->state = IDLE, out(" %s", who(child));
}

static void *thread_start(void *argument) {
  me = (int)(intptr_t)argument;
  SELF->tid = (int)syscall(SYS_gettid);
  SELF->pid = getpid();
  store_and_wake(&shared->words[7], 1);
  act();
  return NULL;
}
static void do_thread(int *a) {
  struct actor *fresh = prepare(a[0]);
  pthread_attr_t attributes;
  pthread_t thread;
  if (!fresh) return;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  __atomic_store_n(&shared->words[7], 0, __ATOMIC_RELEASE);
  int error = pthread_create(&thread, &attributes, thread_start, (void *)(intptr_t)(a[0] % ACTORS));
  if (error == 0) wait_while(&shared->words[7], 0), fresh->state = IDLE;
  out(" %s", errno_name(error));
}

/* A new program image for actor `number`; see main. An "actor" still owes the answer to its exec, one "spawned" owes none. */
static void become(const char *as, int number) {
  char text[16];
  snprintf(text, sizeof text, "%d", number);
  char *arguments[] = {(char *)as, text, NULL}, *environment[] = {NULL};
  execve("/proc/self/exe", arguments, environment);
}
static void do_spawn(int *a) {
  struct actor *fresh = prepare(a[0]);
  if (!fresh) return;
  pid_t child = vfork();
  if (child == 0) {
    become("spawned", a[0] % ACTORS);
    _exit(127);
  }
  if (child == -1) result(-1);
  else fresh->pid = fresh->tid = child, fresh->state = IDLE, out(" %s", who(child));
}
static void do_exec(int *a) {
  (void)a;
  SELF->changing = 1;
  become("actor", me);
  SELF->changing = 0;
  result(-1);
}
/* In the new image: what has survived. */
static void show_image(void) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  show_set(&mask);
  for (size_t i = 0; i < COUNT(signals); i++) {
    struct sigaction action;
    sigaction(signals[i], NULL, &action);
    out("%d", action.sa_handler == SIG_DFL ? 0 : action.sa_handler == SIG_IGN ? 1 : 2);
  }
  do_fds(NULL);
}

static void leave(void) {
  struct actor *self = SELF;
  self->state = GONE;
  self->reply[self->replied] = 0;
  store_and_wake(&self->done, self->order);
}
static void do_exit(int *a) {
  leave();
  syscall(SYS_exit, a[0] & 255);
}
static void do_exit_group(int *a) {
  pid_t pid = getpid();
  for (int i = 0; i < ACTORS; i++)
    if (shared->actors[i].pid == pid && shared->actors[i].state != NOBODY) shared->actors[i].state = GONE;
  leave();
  syscall(SYS_exit_group, a[0] & 255);
}
static void do_segv(int *a) {
  static const int kinds[] = {SIGSEGV, SIGFPE, SIGILL};
  signal(kinds[a[0] % 3], SIG_DFL);
  if (a[0] % 3 == 0) *(volatile int *)8 = 1;
  else if (a[0] % 3 == 1) __asm__ volatile("xorl %%edx, %%edx; movl $1, %%eax; xorl %%ecx, %%ecx; divl %%ecx" ::: "eax", "ecx", "edx");
  else __asm__ volatile("ud2");
}

static int all_gone(pid_t pid) {
  for (int i = 0; i < ACTORS; i++)
    if (shared->actors[i].pid == pid && shared->actors[i].state != GONE) return 0;
  return 1;
}
static void waited(struct actor *other, pid_t got, int status) {
  if (got == -1) result(-1);
  else if (got == 0) out(" none");
  else out(" %s %#x", who(got), status);
  if (got > 0 && (WIFEXITED(status) || WIFSIGNALED(status))) other->reaped = 1;
}
static void do_wait(int *a) {
  struct actor *other = &shared->actors[a[0] % ACTORS];
  int status = 0, options = (all_gone(other->pid) ? 0 : WNOHANG) | (a[1] & 1 ? WUNTRACED : 0) | (a[1] & 2 ? WCONTINUED : 0);
  struct rusage usage;
  if (other->pid <= 1 || other->reaped) return;
  if (a[1] % 8 < 4) {
    pid_t got = wait4(other->pid, &status, options, &usage);
    waited(other, got, status);
  } else {
    siginfo_t info = {.si_pid = 0};
    if (result(waitid(P_PID, (id_t)other->pid, &info, WEXITED | WNOWAIT | WNOHANG)) == 0 && info.si_pid) out(" %s %d %d", who(info.si_pid), info.si_code, info.si_status);
  }
}
/* Sleeps until the other one has ended. */
static void do_await(int *a) {
  struct actor *other = &shared->actors[a[0] % ACTORS];
  int status = 0;
  pid_t got;
  if (other->pid <= 1 || other->reaped) return;
  while ((got = waitpid(other->pid, &status, 0)) == -1 && errno == EINTR) continue;
  waited(other, got, status);
}

static void do_ids(int *a) {
  (void)a;
  pid_t group = getpgrp(), session = getsid(0);
  out(" %s", who(getpid()));
  out(" %s", who((pid_t)syscall(SYS_gettid)));
  out(" %s", who(getppid()));
  out(" %s", who(group));
  out(" %s", who(session));
}
static void do_setsid(int *a) {
  (void)a;
  pid_t got = setsid();
  if (got == -1) result(-1);
  else out(" %s", who(got));
}
static void do_setpgid(int *a) {
  const struct actor *other = target(a[0]), *group = target(a[1]);
  if (other) result(setpgid(other->pid, group ? group->pid : 0));
}
static void do_name(int *a) {
  char name[20];
  snprintf(name, sizeof name, "name-%d", a[0]);
  if (a[1] % 2) result(prctl(PR_SET_NAME, name));
  if (result(prctl(PR_GET_NAME, name)) == 0) out(" %.16s", name);
}
static void do_limit(int *a) {
  static const int kinds[] = {RLIMIT_NOFILE, RLIMIT_FSIZE};
  struct rlimit limit;
  int kind = kinds[a[0] % 2];
  if (getrlimit((__rlimit_resource_t)kind, &limit) != 0) return;
  limit.rlim_cur = kind == RLIMIT_NOFILE ? (rlim_t)(a[1] % 40 + 5) : (rlim_t)(a[1] % 50000 + 1000);
  if (a[1] % 3 == 0) limit.rlim_cur = limit.rlim_max < 300 ? limit.rlim_max : 300;
  if (a[1] % 3 == 0 && kind == RLIMIT_FSIZE) limit.rlim_cur = limit.rlim_max;
  result(setrlimit((__rlimit_resource_t)kind, &limit));
}
static void do_nice(int *a) { result(setpriority(PRIO_PROCESS, 0, a[0] % 5)), result(getpriority(PRIO_PROCESS, 0)); }
static void do_yield(int *a) {
  (void)a;
  result(sched_yield());
}
static void do_status(int *a) {
  (void)a;
  char line[256], what[32];
  FILE *file = fopen("/proc/thread-self/status", "re");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "%31[^:]", what) == 1 && (strcmp(what, "Threads") == 0 || strcmp(what, "SigBlk") == 0)) out(" %.*s", (int)strcspn(line, "\n"), line);
  if (file) fclose(file);
}

#endif
