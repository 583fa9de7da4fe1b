/*
 * seccomp_unotify(2): calls that another thread decides. Results and errors it gives, calls it lets through, descriptors it adds, signals meanwhile, and what
 * is left when the listener or the last task with the filter is gone.
 */
#include "guest.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

/* dup3 is the call that is asked about. */
static long install(unsigned long flags) {
  struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup3, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {.len = COUNT(filter), .filter = filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static volatile int listener = -1;
static volatile pid_t caller;
static pthread_barrier_t barrier;
static pthread_t thread;

struct script {
  void (*run)(void);
  unsigned long flags;
};

static void *follow(void *argument) {
  struct script *script = argument;
  caller = (pid_t)syscall(SYS_gettid);
  listener = (int)MUST(install(SECCOMP_FILTER_FLAG_NEW_LISTENER | script->flags));
  pthread_barrier_wait(&barrier);
  script->run();
  return NULL;
}

/* A thread with the filter that does `run`; this one has the listener. */
static void begin_thread(void (*run)(void), unsigned long flags) {
  static struct script script;
  script = (struct script){run, flags};
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, follow, &script);
  pthread_barrier_wait(&barrier);
}

static struct seccomp_notif request;
static long receive(void) {
  memset(&request, 0, sizeof request);
  return ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request);
}

static long answer(uint64_t id, int64_t value, int error, unsigned flags) {
  struct seccomp_notif_resp response = {.id = id, .val = value, .error = error, .flags = flags};
  return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static long is_valid(uint64_t id) { return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id); }

static void show_poll(const char *when) {
  struct pollfd entry = {.fd = listener, .events = POLLIN | POLLOUT};
  int ready = poll(&entry, 1, 0);
  say("%s: %d%s%s%s\n", when, ready, entry.revents & POLLIN ? " in" : "", entry.revents & POLLOUT ? " out" : "", entry.revents & POLLHUP ? " hup" : "");
}

static void wait_for_call(void) {
  struct pollfd entry = {.fd = listener, .events = POLLIN};
  poll(&entry, 1, -1);
}

/* Each result of dup3 as it comes. */
static void calls(int count) {
  for (int i = 0; i < count; i++) SHOW(syscall(SYS_dup3, 1, 200 + i, 0));
}
static void one_call(void) { calls(1); }
static void seven_calls(void) { calls(7); }

static void refusals(void) {
  SECTION("installing");
  struct seccomp_notif_sizes sizes = {0};
  SHOW(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, &sizes));
  SHOW(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, NULL));
  SHOW(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
  say("%d %d %d\n", sizes.seccomp_notif, sizes.seccomp_notif_resp, sizes.seccomp_data);
  unsigned action = SECCOMP_RET_USER_NOTIF;
  SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  SHOW(install(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC));
  SHOW(install(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV));
  CHILD_BEGIN
  SHOW(install(SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH) >= 0);
  SHOW(install(SECCOMP_FILTER_FLAG_NEW_LISTENER));
  SHOW(install(0));
  char name[100] = "", path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", 3);
  SHOW(readlink(path, name, sizeof name));
  say("%s\n", name);
  SHOW(fcntl(3, F_GETFD));
  SHOW(read(3, name, 1));
  SHOW(ioctl(3, 12345));
  /* The newest filter decides who is asked, and it has no listener. */
  SHOW(syscall(SYS_dup3, 1, 200, 0));
  CHILD_END("one listener");
  CHILD_BEGIN
  int fd = (int)MUST(install(SECCOMP_FILTER_FLAG_NEW_LISTENER));
  close(fd);
  SHOW(syscall(SYS_dup3, 1, 200, 0));
  SHOW(install(SECCOMP_FILTER_FLAG_NEW_LISTENER) >= 0);
  CHILD_END("closed at once");
}

static void answers(void) {
  SECTION("answers");
  CHILD_BEGIN
  begin_thread(seven_calls, 0);
  wait_for_call();
  show_poll("asked");
  request.pid = 1;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request));
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, NULL));
  SHOW(receive());
  show_poll("received");
  CHECK(request.pid == (unsigned)caller);
  SHOW(request.flags);
  SHOW(request.data.nr == SYS_dup3);
  CHECK(request.data.arch == AUDIT_ARCH_X86_64);
  CHECK(request.data.instruction_pointer != 0);
  say("%llu %llu %llu\n", request.data.args[0], request.data.args[1], request.data.args[2]);
  SHOW(is_valid(request.id));
  SHOW(is_valid(request.id + 99));
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, NULL));
  SHOW(answer(request.id + 99, 0, 0, 0));
  SHOW(answer(request.id, 0, 0, 2));
  SHOW(answer(request.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  SHOW(answer(request.id, 0, -1, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, NULL));
  MUST(answer(request.id, 1234, 0, 0));
  MUST(receive());
  MUST(answer(request.id, 5, -EXDEV, 0));
  MUST(receive());
  MUST(answer(request.id, 1, 0, 0));
  MUST(receive());
  MUST(answer(request.id, 0x7123456789abcdef, 0, 0));
  MUST(receive());
  MUST(answer(request.id, -0x40000000, 0, 0));
  MUST(receive());
  MUST(answer(request.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  MUST(receive());
  MUST(answer(request.id, 0, 0, 0));
  pthread_join(thread, NULL);
  SHOW(fcntl(205, F_GETFD));
  show_poll("the thread has ended");
  SHOW(receive());
  CHILD_END("answered");
}

static void too_early(void) {
  SECTION("too early");
  CHILD_BEGIN
  begin_thread(one_call, 0);
  wait_for_call();
  /* The first number is not known before it was received: the numbers are consecutive. */
  MUST(receive());
  uint64_t first = request.id;
  MUST(answer(first, 1, 0, 0));
  pthread_join(thread, NULL);
  SHOW(is_valid(first));
  SHOW(answer(first, 1, 0, 0));
  CHILD_END("answered twice");
}

static void descriptors(void) {
  SECTION("descriptors");
  CHILD_BEGIN
  begin_thread(seven_calls, 0);
  MUST(receive());
  struct seccomp_notif_addfd add = {.id = request.id, .srcfd = 1, .newfd = 150, .flags = SECCOMP_ADDFD_FLAG_SETFD};
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  SHOW(fcntl(150, F_GETFD));
  add.newfd_flags = O_CLOEXEC;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  SHOW(fcntl(150, F_GETFD));
  add.flags = 0;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  add.newfd = 0;
  int got = (int)ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  CHECK(got > 2 && fcntl(got, F_GETFD) == FD_CLOEXEC);
  add.newfd_flags = O_NONBLOCK;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  add.newfd_flags = 0;
  add.flags = 8;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  add.flags = 0;
  add.srcfd = 999;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  add.srcfd = 1;
  add.id += 99;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  add.id -= 99;
  add.flags = SECCOMP_ADDFD_FLAG_SETFD;
  add.newfd = 1 << 30;
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  SHOW(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, NULL));
  add.newfd = 160;
  add.flags = SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND;
  int sent = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  for (int i = 0; i < 6; i++) MUST(receive()), MUST(answer(request.id, i, 0, 0));
  pthread_join(thread, NULL);
  SHOW(sent);
  CHILD_END("added");
}

static void on_signal(int signo) { (void)signo; }

static void signals(void) {
  SECTION("signals");
  for (int restart = 0; restart < 2; restart++) {
    CHILD_BEGIN
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    begin_thread(one_call, 0);
    MUST(receive());
    uint64_t first = request.id;
    syscall(SYS_tgkill, getpid(), caller, SIGUSR1);
    if (restart) {
      MUST(receive());
      CHECK(request.id != first);
      MUST(answer(request.id, 77, 0, 0));
    }
    pthread_join(thread, NULL);
    SHOW(is_valid(first));
    SHOW(answer(first, 1, 0, 0));
    CHILD_END(restart ? "asked again" : "interrupted");
  }
  CHILD_BEGIN
  signal(SIGUSR1, on_signal);
  begin_thread(one_call, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
  MUST(receive());
  syscall(SYS_tgkill, getpid(), caller, SIGUSR1);
  sleep_ms(30);
  SHOW(is_valid(request.id));
  MUST(answer(request.id, 78, 0, 0));
  pthread_join(thread, NULL);
  CHILD_END("only SIGKILL");
}

static void *closes(void *argument) {
  wait_for_call();
  sleep_ms(20);
  close(listener);
  return argument;
}

static void ends(void) {
  SECTION("ends");
  CHILD_BEGIN
  pthread_t closer;
  begin_thread(seven_calls, 0);
  pthread_create(&closer, NULL, closes, NULL);
  pthread_join(closer, NULL);
  pthread_join(thread, NULL);
  CHILD_END("the listener is closed");
  CHILD_BEGIN
  /* The supervisor is another process. */
  int pair[2];
  MUST(pipe(pair));
  listener = (int)MUST(install(SECCOMP_FILTER_FLAG_NEW_LISTENER));
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    close(listener);
    one_call();
    _exit(5);
  }
  MUST(receive());
  CHECK(request.pid == (unsigned)child);
  MUST(answer(request.id, 42, 0, 0));
  reap("child", child);
  child = (pid_t)MUST(fork());
  if (child == 0) {
    one_call();
    _exit(5);
  }
  MUST(receive());
  kill(child, SIGKILL);
  reap("killed while it waits", child);
  SHOW(is_valid(request.id));
  show_poll("nobody waits");
  CHILD_END("processes");
}

int main(void) {
  begin();
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  refusals();
  answers();
  too_early();
  descriptors();
  signals();
  ends();
  return 0;
}
