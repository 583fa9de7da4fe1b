/*
 * System V message queues: msgget, msgsnd, msgrcv, msgctl; which message comes, waiting of senders and receivers, signals, removal.
 */
#include "guest.h"
#include "waiters.h"
#include <limits.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

static struct {
  long type;
  char text[70000];
} out, in;
static struct msqid_ds ds;
static key_t key;

static int put(int id, long type, const char *text, int flags) {
  out.type = type;
  strcpy(out.text, text);
  return msgsnd(id, &out, strlen(text), flags);
}
static void get(int id, long type, size_t size, int flags) {
  memset(&in, 0, 100);
  errno = 0;
  ssize_t n = msgrcv(id, &in, size, type, flags);
  if (n < 0) say("get %ld %zu %#x: %s\n", type, size, flags, errno_name(errno));
  else say("get %ld %zu %#x: %zd bytes of type %ld: %.*s\n", type, size, flags, n, in.type, (int)(n < 50 ? n : 50), in.text);
}
static void state(int id) {
  if (msgctl(id, IPC_STAT, &ds) != 0) {
    say("state: %s\n", errno_name(errno));
    return;
  }
  say("state: mode %o cbytes %lu qnum %lu qbytes %lu lspid %s lrpid %s stime %d rtime %d ctime %d\n", ds.msg_perm.mode, ds.__msg_cbytes,
      ds.msg_qnum, ds.msg_qbytes, ds.msg_lspid == getpid() ? "own" : ds.msg_lspid ? "other" : "none",
      ds.msg_lrpid == getpid() ? "own" : ds.msg_lrpid ? "other" : "none", ds.msg_stime != 0, ds.msg_rtime != 0, ds.msg_ctime != 0);
}
/* Nothing counts who waits: time enough for it to get there. */
static void until_asleep(pid_t pid) {
  char name[64];
  snprintf(name, sizeof name, "/proc/%d/stat", pid);
  for (int i = 0; i < 500; i++) {
    const char *text = get_file(name), *end = strrchr(text, ')');
    if (end && end[2] == 'S') {
      sleep_ms(20);
      if (strrchr(get_file(name), ')')[2] == 'S') return;
    }
    sleep_ms(2);
  }
}

static void basics(void) {
  SECTION("msgget");
  key = (key_t)(0x53000000 | (getpid() & 0xffffff));
  SHOW(msgget(key, 0600));
  int id = msgget(key, IPC_CREAT | IPC_EXCL | 0640);
  CHECK(id >= 0 && msgget(key, 0) == id && msgget(key, IPC_CREAT) == id);
  SHOW(msgget(key, IPC_CREAT | IPC_EXCL));
  state(id);
  CHECK(ds.msg_perm.__key == key && ds.msg_perm.cuid == geteuid());
  SECTION("msgsnd and msgrcv");
  SHOW(put(id, 1, "one", 0));
  SHOW(put(id, 3, "three", 0));
  SHOW(put(id, 2, "two", 0));
  SHOW(put(id, 3, "another three", 0));
  SHOW(put(id, LONG_MAX, "", 0));
  SHOW(put(id, 1L << 40, "long", 0));
  SHOW(put(id, 0, "x", 0));
  SHOW(put(id, -1, "x", 0));
  SHOW(msgsnd(id, NULL, 1, 0));
  SHOW(msgsnd(id, &out, 8193, 0));
  SHOW(msgsnd(id, &out, -1, 0));
  SHOW(msgsnd(-1, &out, 1, 0));
  SHOW(msgsnd(-1, NULL, 1, 0));
  SHOW(msgsnd(id ^ 0x40000000, &out, 1, 0));
  out.type = 0;
  SHOW(msgsnd(id, &out, 1, 0));
  state(id);
  get(id, 3, 100, MSG_COPY | IPC_NOWAIT);
  get(id, 0, 3, MSG_COPY | IPC_NOWAIT);
  get(id, 0, 2, MSG_COPY | IPC_NOWAIT);
  get(id, 0, 2, MSG_COPY | IPC_NOWAIT | MSG_NOERROR);
  get(id, 6, 100, MSG_COPY | IPC_NOWAIT);
  get(id, 0, 100, MSG_COPY);
  get(id, 0, 100, MSG_COPY | IPC_NOWAIT | MSG_EXCEPT);
  get(id, 0, 2, IPC_NOWAIT);
  get(id, 3, 4, IPC_NOWAIT);
  get(id, 3, 4, IPC_NOWAIT | MSG_NOERROR);
  get(id, 7, 100, IPC_NOWAIT);
  get(id, 1, 100, IPC_NOWAIT | MSG_EXCEPT);
  get(id, -3, 100, IPC_NOWAIT);
  get(id, -2, 100, IPC_NOWAIT);
  get(id, -3, 100, IPC_NOWAIT);
  get(id, 1L << 40, 100, IPC_NOWAIT);
  get(id, LONG_MIN, 100, IPC_NOWAIT);
  get(id, 0, 100, IPC_NOWAIT);
  get(id, 0, -1, IPC_NOWAIT);
  get(-1, 0, 100, IPC_NOWAIT);
  get(id ^ 0x40000000, 0, 100, IPC_NOWAIT);
  state(id);
  MUST(put(id, 5, "lost", 0));
  SHOW(msgrcv(id, NULL, 100, 0, IPC_NOWAIT));
  get(id, 0, 100, IPC_NOWAIT);
  SHOW(msgsnd(id, (void *)8, 10, 0));
  SECTION("room");
  out.type = 1;
  SHOW(msgsnd(id, &out, 8192, 0));
  SHOW(msgsnd(id, &out, 8192, IPC_NOWAIT));
  SHOW(msgsnd(id, &out, 1, IPC_NOWAIT));
  SHOW(msgsnd(id, &out, 0, IPC_NOWAIT));
  state(id);
  get(id, 0, 70000, 0);
  int count = 0;
  while (msgsnd(id, &out, 0, IPC_NOWAIT) == 0) count++;
  say("%d empty ones, then %s\n", count, errno_name(errno));
  SHOW(msgctl(id, IPC_RMID, NULL));
  SHOW(msgctl(id, IPC_RMID, NULL));
  state(id);
}

static void control(void) {
  SECTION("msgctl");
  int id = (int)MUST(msgget(IPC_PRIVATE, 0600));
  SHOW(msgctl(id, IPC_STAT, NULL));
  SHOW(msgctl(id, IPC_SET, NULL));
  SHOW(msgctl(id, 99, NULL));
  SHOW(msgctl(id, -1, NULL));
  SHOW(msgctl(-1, IPC_STAT, &ds));
  state(id);
  ds.msg_qbytes = 100;
  ds.msg_perm.mode = 07604;
  SHOW(msgctl(id, IPC_SET, &ds));
  state(id);
  SHOW(msgsnd(id, &out, 101, IPC_NOWAIT));
  SHOW(msgsnd(id, &out, 100, IPC_NOWAIT));
  ds.msg_qbytes = 0;
  SHOW(msgctl(id, IPC_SET, &ds));
  SHOW(msgsnd(id, &out, 0, IPC_NOWAIT));
  state(id);
  ds.msg_perm.uid = -1;
  SHOW(msgctl(id, IPC_SET, &ds));
  struct msginfo info = {0};
  CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
  say("%d %d %d %d %d %d %d %d\n", info.msgpool, info.msgmap, info.msgmax, info.msgmnb, info.msgmni, info.msgssz, info.msgtql, info.msgseg);
  int highest = msgctl(0, MSG_INFO, (struct msqid_ds *)&info), found = 0;
  CHECK(highest >= 0 && info.msgpool >= 1 && info.msgmap >= 1 && info.msgtql >= 100);
  for (int i = 0; i <= highest; i++)
    if (msgctl(i, MSG_STAT, &ds) == id) found++;
  CHECK(found == 1 && msgctl(id, 13 /* MSG_STAT_ANY */, &ds) == id);
  say("msgmax %s", get_file("/proc/sys/kernel/msgmax"));
  say("msgmnb %s", get_file("/proc/sys/kernel/msgmnb"));
  say("msgmni %s", get_file("/proc/sys/kernel/msgmni"));
  const char *text = get_file("/proc/sysvipc/msg");
  say("%.*s\n", (int)strcspn(text, "\n"), text);
  for (const char *line = text; (line = strchr(line, '\n')) != NULL && line[1] != 0;) {
    unsigned long bytes, count;
    int key_, msqid, mode, lspid, lrpid;
    line++;
    int n = sscanf(line, "%d %d %o %lu %lu %d %d", &key_, &msqid, &mode, &bytes, &count, &lspid, &lrpid);
    if (n == 7 && msqid == id)
      say("line of %d: mode %o bytes %lu messages %lu own %d %d\n", (int)strcspn(line, "\n"), mode, bytes, count, lspid == getpid(), lrpid);
  }
  msgctl(id, IPC_RMID, NULL);
}

static volatile int caught;
static void on_signal(int number) {
  (void)number;
  caught++;
}

static void waiting(void) {
  pid_t a, b;
  SECTION("receivers wait");
  int id = (int)MUST(msgget(IPC_PRIVATE, 0600));
  WAITER_BEGIN(a);
  ssize_t n = msgrcv(id, &in, 100, 2, 0);
  told();
  say("a: %zd %ld %s\n", n, in.type, in.text);
  WAITER_END;
  until_asleep(a);
  WAITER_BEGIN(b);
  ssize_t n = msgrcv(id, &in, 3, 0, 0);
  told();
  say("b: %zd %s\n", n, errno_name(errno));
  WAITER_END;
  until_asleep(b);
  SHOW(put(id, 2, "for a", 0));
  ended("a", a);
  SHOW(put(id, 2, "too long for b", 0));
  ended("b", b);
  state(id);
  get(id, 0, 100, IPC_NOWAIT);

  SECTION("senders wait");
  out.type = 1;
  MUST(msgsnd(id, &out, 8192, 0));
  MUST(msgsnd(id, &out, 8000, 0));
  WAITER_BEGIN(a);
  int result = msgsnd(id, &out, 8000, 0);
  told();
  say("a: %d\n", result);
  WAITER_END;
  until_asleep(a);
  SHOW(msgsnd(id, &out, 300, IPC_NOWAIT));
  state(id);
  get(id, 0, 70000, MSG_NOERROR);
  ended("a", a);
  WAITER_BEGIN(b);
  out.type = 9;
  int result = msgsnd(id, &out, 500, 0);
  told();
  say("b: %d\n", result);
  WAITER_END;
  until_asleep(b);
  get(id, 0, 70000, MSG_NOERROR);
  ended("b", b);
  state(id);
  while (msgrcv(id, &in, 70000, 0, IPC_NOWAIT) >= 0) continue;

  SECTION("signals, changes, removal");
  for (int restart = 0; restart < 2; restart++) {
    WAITER_BEGIN(a);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    ssize_t n = msgrcv(id, &in, 100, 0, 0);
    told();
    say("interrupted: %zd %s, caught %d\n", n, errno_name(errno), caught);
    WAITER_END;
    until_asleep(a);
    kill(a, SIGUSR1);
    ended("a", a);
  }
  MUST(msgsnd(id, &out, 8192, 0));
  MUST(msgsnd(id, &out, 8192, 0));
  WAITER_BEGIN(a);
  signal(SIGUSR1, on_signal);
  int result = msgsnd(id, &out, 1, 0);
  told();
  say("interrupted: %d %s, caught %d\n", result, errno_name(errno), caught);
  WAITER_END;
  until_asleep(a);
  kill(a, SIGUSR1);
  ended("a", a);
  MUST(msgctl(id, IPC_STAT, &ds));
  ds.msg_qbytes = 1000;
  SHOW(msgctl(id, IPC_SET, &ds));
  get(id, 0, 70000, MSG_NOERROR);
  WAITER_BEGIN(a);
  int result = msgsnd(id, &out, 1, 0);
  told();
  say("more room: %d\n", result);
  WAITER_END;
  until_asleep(a);
  ds.msg_qbytes = 16384;
  SHOW(msgctl(id, IPC_SET, &ds));
  ended("a", a);
  WAITER_BEGIN(a);
  int result = msgsnd(id, &out, 8192, 0);
  told();
  say("removed: %d %s\n", result, errno_name(errno));
  WAITER_END;
  WAITER_BEGIN(b);
  int result = msgrcv(id, &in, 8000, 77, 0);
  told();
  say("removed: %d %s\n", result, errno_name(errno));
  WAITER_END;
  until_asleep(a), until_asleep(b);
  SHOW(msgctl(id, IPC_RMID, NULL));
  ended("a", a), ended("b", b);
}

static void strangers(void) {
  SECTION("permissions");
  if (getuid() != 0) return;
  int id = (int)MUST(msgget(IPC_PRIVATE, 0604));
  pid_t a;
  WAITER_BEGIN(a);
  become_ordinary();
  SHOW(msgsnd(id, &out, 1, IPC_NOWAIT));
  get(id, 0, 10, IPC_NOWAIT);
  SHOW(msgctl(id, IPC_RMID, NULL));
  SHOW(msgctl(id, IPC_STAT, &ds));
  SHOW(msgctl(id, IPC_SET, &ds));
  int result = msgrcv(id, &in, 10, 0, 0);
  told();
  say("forbidden meanwhile: %d %s\n", result, errno_name(errno));
  int own = msgget(IPC_PRIVATE, 0600);
  MUST(msgctl(own, IPC_STAT, &ds));
  ds.msg_qbytes++;
  SHOW(msgctl(own, IPC_SET, &ds));
  ds.msg_qbytes -= 2;
  SHOW(msgctl(own, IPC_SET, &ds));
  SHOW(msgctl(own, IPC_RMID, NULL));
  WAITER_END;
  sleep_ms(100);
  until_asleep(a);
  MUST(msgctl(id, IPC_STAT, &ds));
  ds.msg_perm.mode = 0600;
  SHOW(msgctl(id, IPC_SET, &ds));
  ended("stranger", a);
  msgctl(id, IPC_RMID, NULL);
}

static void rounds(void) {
  SECTION("two ways, many messages");
  int id = (int)MUST(msgget(IPC_PRIVATE, 0600));
  struct {
    long type;
    unsigned number;
    char padding[1000];
  } m;
  CHILD_BEGIN
  pid_t peer = (pid_t)MUST(fork());
  unsigned long long sum = 0;
  for (unsigned i = 0; i < 1500; i++) {
    m.type = peer ? 1 : 2;
    m.number = i * (peer ? 3 : 5);
    MUST(msgsnd(id, &m, 4 + i % 1000, 0));
    if (i % 3 == 2)
      for (int j = 0; j < 3; j++) {
        ssize_t n = MUST(msgrcv(id, &m, sizeof m - 8, peer ? 2 : 1, 0));
        sum = sum * 31 + m.number + n;
      }
  }
  if (peer == 0) _exit((int)(sum % 251));
  say("sum %llu\n", sum);
  reap("peer", peer);
  CHILD_END("both");
  state(id);
  msgctl(id, IPC_RMID, NULL);
}

int main(void) {
  begin();
  waiters_begin();
  basics();
  control();
  waiting();
  strangers();
  rounds();
  return 0;
}
