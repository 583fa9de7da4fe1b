/*
 * System V semaphores: semget, semop, semtimedop, semctl; waiting, order, timeouts, signals, removal; SEM_UNDO at exit, with threads and exec.
 */
#include "guest.h"
#include "waiters.h"
#include <pthread.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>

union semun {
  int val;
  struct semid_ds *buf;
  unsigned short *array;
  struct seminfo *info;
};

static struct semid_ds ds;
static key_t key;

static long op(int id, int num, int change, int flags) {
  struct sembuf one = {num, change, flags};
  return syscall(SYS_semtimedop, id, &one, 1, NULL);
}
static long op2(int id, int n1, int c1, int f1, int n2, int c2, int f2) {
  struct sembuf two[2] = {{n1, c1, f1}, {n2, c2, f2}};
  return semop(id, two, 2);
}
static long timed(int id, int num, int change, int ms) {
  struct sembuf one = {num, change, 0};
  struct timespec limit = {ms / 1000, ms % 1000 * 1000000L};
  return semtimedop(id, &one, 1, &limit);
}
static long ctl(int id, int num, int command, long argument) {
  return syscall(SYS_semctl, id, num, command, argument);
}
static void values(int id, int count) {
  unsigned short all[16] = {0};
  char text[200] = "";
  if (ctl(id, 0, GETALL, (long)all) != 0) say("GETALL: %s\n", errno_name(errno));
  for (int i = 0; i < count; i++) sprintf(text + strlen(text), " %d", all[i]);
  say("values%s\n", text);
}
/* Waits until `count` calls wait for semaphore `num`. */
static void until_waiting(int id, int num, int command, int count) {
  for (int i = 0; i < 500 && ctl(id, num, command, 0) != count; i++) sleep_ms(5);
  say("%s: %ld\n", command == GETNCNT ? "GETNCNT" : "GETZCNT", ctl(id, num, command, 0));
}
static void getting(void) {
  SECTION("semget");
  key = (key_t)(0x52000000 | (getpid() & 0xffffff));
  SHOW(semget(key, 1, 0600));
  SHOW(semget(key, 0, IPC_CREAT | 0600));
  SHOW(semget(IPC_PRIVATE, -1, 0600));
  SHOW(semget(IPC_PRIVATE, 32001, 0600));
  int id = semget(key, 3, IPC_CREAT | IPC_EXCL | 0640);
  CHECK(id >= 0);
  CHECK(semget(key, 0, 0) == id);
  CHECK(semget(key, 3, IPC_CREAT) == id);
  SHOW(semget(key, 4, 0));
  SHOW(semget(key, 1, IPC_CREAT | IPC_EXCL));
  SHOW(ctl(id, 0, IPC_STAT, (long)&ds));
  say("mode %o nsems %lu otime %d ctime %d\n", ds.sem_perm.mode, ds.sem_nsems, ds.sem_otime != 0, ds.sem_ctime != 0);
  CHECK(ds.sem_perm.__key == key && ds.sem_perm.uid == geteuid() && ds.sem_perm.cgid == getegid());
  values(id, 3);
  SHOW(ctl(id, 0, IPC_RMID, 0));
  SHOW(ctl(id, 0, IPC_RMID, 0));
  SHOW(op(id, 0, 1, 0));
  SHOW(op(-1, 0, 1, 0));
  SHOW(ctl(-1, 0, GETVAL, 0));
  SHOW(semget(key, 0, 0));
}

static void simple(void) {
  SECTION("semop without waiting");
  int id = (int)MUST(semget(IPC_PRIVATE, 3, 0600));
  SHOW(op(id, 0, 5, 0));
  SHOW(op(id, 0, -2, 0));
  SHOW(op(id, 0, 0, IPC_NOWAIT));
  SHOW(op(id, 1, 0, 0));
  SHOW(op(id, 1, -1, IPC_NOWAIT));
  SHOW(op(id, 3, 1, 0));
  SHOW(op(id, 0, 32767, 0));
  SHOW(op(id, 1, 32767, 0));
  SHOW(op(id, 1, 1, 0));
  SHOW(op(id, 1, -32767, 0));
  SHOW(op(id, 1, -32768, IPC_NOWAIT));
  values(id, 3);
  SHOW(op2(id, 0, 1, 0, 1, -1, IPC_NOWAIT));
  SHOW(op2(id, 0, 1, IPC_NOWAIT, 0, 0, IPC_NOWAIT));
  SHOW(op2(id, 0, -3, 0, 0, 0, 0));
  SHOW(op2(id, 0, 2, 0, 0, -1, 0));
  SHOW(op2(id, 2, 3, 0, 2, -3, 0));
  values(id, 3);
  struct sembuf many[600];
  for (int i = 0; i < 600; i++) many[i] = (struct sembuf){0, 1, 0};
  SHOW(semop(id, many, 500));
  SHOW(semop(id, many, 501));
  SHOW(semop(id, many, 0));
  SHOW(semop(id, NULL, 1));
  SHOW(semop(id, (void *)8, 1));
  SHOW(semop(-5, NULL, 1));
  SHOW(semop(-5, many, 1));
  struct timespec bad = {0, 1000000000}, negative = {-1, 0}, zero = {0, 0};
  SHOW(semtimedop(id, many, 1, &bad));
  SHOW(semtimedop(id, many, 1, &negative));
  SHOW(semtimedop(id, NULL, 1, &negative));
  SHOW(semtimedop(id, many, 1, (void *)8));
  SHOW(semtimedop(id, many, 501, (void *)8));
  struct sembuf down = {1, -1, 0};
  SHOW(semtimedop(id, &down, 1, &zero));
  int64_t start = now_ms();
  SHOW(timed(id, 1, -1, 30));
  CHECK(now_ms() - start >= 30);
  values(id, 3);
  CHECK(ctl(id, 0, GETPID, 0) == getpid());
  SHOW(ctl(id, 0, GETNCNT, 0));
  MUST(ctl(id, 0, IPC_STAT, (long)&ds));
  CHECK(ds.sem_otime != 0);
  ctl(id, 0, IPC_RMID, 0);
}

static void control(void) {
  SECTION("semctl");
  int id = (int)MUST(semget(IPC_PRIVATE, 4, 0600));
  SHOW(ctl(id, 0, SETVAL, 7));
  SHOW(ctl(id, 1, SETVAL, 32767));
  SHOW(ctl(id, 1, SETVAL, 32768));
  SHOW(ctl(id, 1, SETVAL, -1));
  SHOW(ctl(id, 4, SETVAL, 1));
  SHOW(ctl(id, -1, SETVAL, 1));
  SHOW(ctl(id, 1, SETVAL, 0x100000003L));
  values(id, 4);
  SHOW(ctl(id, 0, GETVAL, 0));
  SHOW(ctl(id, 4, GETVAL, 0));
  SHOW(ctl(id, -1, GETPID, 0));
  SHOW(ctl(id, 9, GETZCNT, 0));
  unsigned short set[4] = {1, 2, 3, 32767}, high[4] = {1, 2, 3, 32768};
  SHOW(ctl(id, 99, SETALL, (long)set));
  SHOW(ctl(id, 0, SETALL, (long)high));
  SHOW(ctl(id, 0, SETALL, 8));
  SHOW(ctl(id, 0, GETALL, 8));
  values(id, 4);
  SHOW(ctl(id, 0, 99, 0));
  SHOW(ctl(id, 0, -1, 0));
  SHOW(ctl(id, 0, IPC_STAT, 0));
  SHOW(ctl(id, 0, IPC_SET, 0));
  MUST(ctl(id, 0, IPC_STAT, (long)&ds));
  ds.sem_perm.mode = 0177604;
  SHOW(ctl(id, 0, IPC_SET, (long)&ds));
  MUST(ctl(id, 0, IPC_STAT, (long)&ds));
  say("mode %o\n", ds.sem_perm.mode);
  ds.sem_perm.gid = -1;
  SHOW(ctl(id, 0, IPC_SET, (long)&ds));
  struct seminfo info = {0};
  CHECK(ctl(0, 0, IPC_INFO, (long)&info) >= 0);
  say("%d %d %d %d %d %d %d %d %d %d\n", info.semmap, info.semmni, info.semmns, info.semmnu, info.semmsl, info.semopm, info.semume, info.semusz,
      info.semvmx, info.semaem);
  int highest = (int)ctl(0, 0, SEM_INFO, (long)&info);
  CHECK(highest >= 0 && info.semusz >= 1 && info.semaem >= 4);
  SHOW(ctl(0, 0, SEM_INFO, 8));
  int found = 0;
  for (int i = 0; i <= highest; i++)
    if (ctl(i, 0, SEM_STAT, (long)&ds) == id) found++;
  CHECK(found == 1 && ctl(id, 0, 20 /* SEM_STAT_ANY */, (long)&ds) == id);
  SHOW(ctl(32100, 0, SEM_STAT, (long)&ds));
  say("sem %s", get_file("/proc/sys/kernel/sem"));
  const char *text = get_file("/proc/sysvipc/sem");
  say("%.*s\n", (int)strcspn(text, "\n"), text);
  for (const char *line = text; (line = strchr(line, '\n')) != NULL && line[1] != 0;) {
    unsigned long count, otime, ctime_;
    int key_, semid, mode, uid, gid, cuid, cgid;
    line++;
    int n = sscanf(line, "%d %d %o %lu %d %d %d %d %lu %lu", &key_, &semid, &mode, &count, &uid, &gid, &cuid, &cgid, &otime, &ctime_);
    if (n == 10 && semid == id) say("line of %d: mode %o nsems %lu otime %d\n", (int)strcspn(line, "\n"), mode, count, otime != 0);
  }
  ctl(id, 0, IPC_RMID, 0);
}

static void waiting(void) {
  SECTION("waiting");
  pid_t a, b, c;
  int id = (int)MUST(semget(IPC_PRIVATE, 3, 0600));
  WAITER_BEGIN(a);
  long result = op(id, 0, -2, 0);
  told();
  say("a: %ld\n", result);
  WAITER_END;
  until_waiting(id, 0, GETNCNT, 1);
  SHOW(op(id, 0, 1, 0));
  SHOW(ctl(id, 0, GETNCNT, 0));
  SHOW(op(id, 0, 1, 0));
  ended("a", a);
  CHECK(ctl(id, 0, GETPID, 0) == a);
  values(id, 3);

  SHOW(ctl(id, 1, SETVAL, 2));
  WAITER_BEGIN(a);
  long result = op(id, 1, 0, 0);
  told();
  say("a: %ld\n", result);
  WAITER_END;
  until_waiting(id, 1, GETZCNT, 1);
  SHOW(op(id, 1, -1, 0));
  SHOW(op(id, 1, -1, 0));
  ended("a", a);

  /* In order of arrival; who does not fit lets others by. */
  WAITER_BEGIN(a);
  long result = op(id, 2, -3, 0);
  told();
  say("first: %ld\n", result);
  op(id, 1, 1, 0);
  WAITER_END;
  until_waiting(id, 2, GETNCNT, 1);
  WAITER_BEGIN(b);
  long result = op(id, 2, -3, 0);
  told();
  op(id, 1, -1, 0);
  say("second: %ld\n", result);
  WAITER_END;
  until_waiting(id, 2, GETNCNT, 2);
  WAITER_BEGIN(c);
  long result = op(id, 2, -1, 0);
  told();
  say("third, small: %ld\n", result);
  WAITER_END;
  until_waiting(id, 2, GETNCNT, 3);
  SHOW(op(id, 2, 1, 0));
  ended("c", c);
  SHOW(op(id, 2, 6, 0));
  ended("a", a), ended("b", b);
  values(id, 3);

  SECTION("several semaphores at once");
  WAITER_BEGIN(a);
  long result = op2(id, 0, -1, 0, 1, -1, 0);
  told();
  say("both: %ld\n", result);
  WAITER_END;
  until_waiting(id, 0, GETNCNT, 1);
  SHOW(op(id, 0, 1, 0));
  until_waiting(id, 1, GETNCNT, 1);
  SHOW(ctl(id, 0, GETNCNT, 0));
  SHOW(timed(id, 0, -1, 0));
  SHOW(op(id, 1, 1, 0));
  until_waiting(id, 0, GETNCNT, 1);
  SHOW(op(id, 0, 1, 0));
  MUST(op(id, 1, 0, 0));
  ended("a", a);
  SHOW(timed(id, 1, -1, 0));
  values(id, 3);

  SECTION("SETVAL and SETALL wake");
  WAITER_BEGIN(a);
  long result = op(id, 0, -7, 0);
  told();
  say("a: %ld\n", result);
  WAITER_END;
  until_waiting(id, 0, GETNCNT, 1);
  SHOW(ctl(id, 0, SETVAL, 8));
  ended("a", a);
  values(id, 3);
  WAITER_BEGIN(a);
  long result = op(id, 0, 0, 0);
  told();
  say("a: %ld\n", result);
  WAITER_END;
  until_waiting(id, 0, GETZCNT, 1);
  unsigned short zeros[3] = {0};
  SHOW(ctl(id, 0, SETALL, (long)zeros));
  ended("a", a);

  SECTION("a waiting call out of range");
  SHOW(ctl(id, 1, SETVAL, 32767));
  WAITER_BEGIN(a);
  long result = op2(id, 0, -1, 0, 1, 1, 0);
  told();
  say("a: %ld %s\n", result, errno_name(errno));
  WAITER_END;
  until_waiting(id, 0, GETNCNT, 1);
  SHOW(op(id, 0, 1, 0));
  ended("a", a);
  values(id, 3);
  ctl(id, 0, IPC_RMID, 0);
}

static volatile int caught;
static void on_signal(int number) {
  (void)number;
  caught++;
}

static void endings(void) {
  SECTION("signals, removal, kill");
  pid_t a;
  int id = (int)MUST(semget(IPC_PRIVATE, 1, 0600));
  for (int restart = 0; restart < 2; restart++) {
    WAITER_BEGIN(a);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    long result = op(id, 0, -1, 0);
    told();
    say("interrupted: %ld %s, caught %d\n", result, errno_name(errno), caught);
    WAITER_END;
    until_waiting(id, 0, GETNCNT, 1);
    kill(a, SIGUSR1);
    ended("a", a);
    SHOW(ctl(id, 0, GETNCNT, 0));
  }
  WAITER_BEGIN(a);
  op(id, 0, -1, 0);
  WAITER_END;
  until_waiting(id, 0, GETNCNT, 1);
  kill(a, SIGKILL);
  ended("a", a);
  SHOW(ctl(id, 0, GETNCNT, 0));
  WAITER_BEGIN(a);
  long result = op(id, 0, -1, 0);
  told();
  say("removed: %ld %s\n", result, errno_name(errno));
  WAITER_END;
  until_waiting(id, 0, GETNCNT, 1);
  SHOW(ctl(id, 0, IPC_RMID, 0));
  ended("a", a);
}

static int undo_id;
static void *undo_thread(void *unused) {
  (void)unused;
  op(undo_id, 0, 10, SEM_UNDO);
  return NULL;
}

static void undoing(const char *self) {
  SECTION("SEM_UNDO");
  pid_t a;
  int id = undo_id = (int)MUST(semget(IPC_PRIVATE, 3, 0600));
  CHILD_BEGIN
  SHOW(op(id, 0, 5, SEM_UNDO));
  SHOW(op(id, 0, -1, SEM_UNDO));
  SHOW(op(id, 1, 3, 0));
  values(id, 3);
  CHILD_END("child");
  values(id, 3);
  CHECK(ctl(id, 0, GETPID, 0) != getpid());
  CHILD_BEGIN
  SHOW(op(id, 1, -3, SEM_UNDO));
  WAITER_BEGIN(a);
  values(id, 3);
  WAITER_END;
  reap("grandchild has none", a);
  values(id, 3);
  kill(getpid(), SIGKILL);
  CHILD_END("killed child");
  values(id, 3);
  CHILD_BEGIN
  SHOW(op(id, 0, 4, SEM_UNDO));
  SHOW(ctl(id, 0, SETVAL, 9));
  CHILD_END("SETVAL forgets");
  values(id, 3);
  CHILD_BEGIN
  SHOW(op(id, 0, 4, SEM_UNDO));
  SHOW(op(id, 0, -10, 0));
  CHILD_END("not below zero");
  values(id, 3);
  CHILD_BEGIN
  SHOW(op(id, 0, 32767, SEM_UNDO));
  SHOW(op(id, 0, -32767, 0));
  SHOW(op(id, 0, 1, SEM_UNDO));
  SHOW(op(id, 0, 2, SEM_UNDO));
  values(id, 3);
  CHILD_END("range of the adjustment");
  SHOW(ctl(id, 0, SETVAL, 0));
  CHILD_BEGIN
  pthread_t thread;
  pthread_create(&thread, NULL, undo_thread, NULL);
  pthread_join(thread, NULL);
  values(id, 3);
  CHILD_END("a thread's is the process's");
  values(id, 3);
  CHILD_BEGIN
  char number[16];
  op(id, 2, 2, SEM_UNDO);
  snprintf(number, sizeof number, "%d", id);
  execl(self, self, number, NULL);
  CHILD_END("exec keeps it");
  values(id, 3);
  WAITER_BEGIN(a);
  op(id, 2, 1, 0);
  op(id, 0, -1, 0);
  WAITER_END;
  MUST(op(id, 2, -1, 0));
  CHILD_BEGIN
  SHOW(op2(id, 0, 2, 0, 0, -2, SEM_UNDO));
  CHILD_END("its end wakes a waiter");
  ended("a", a);
  values(id, 3);
  int other = (int)MUST(semget(IPC_PRIVATE, 1, 0600));
  CHILD_BEGIN
  SHOW(op(other, 0, 1, SEM_UNDO));
  SHOW(ctl(other, 0, IPC_RMID, 0));
  SHOW(op(other, 0, 1, SEM_UNDO));
  SHOW(op(id, 7, 1, SEM_UNDO));
  CHILD_END("removed before");
  WAITER_BEGIN(a);
  op(id, 1, -7, SEM_UNDO);
  told();
  values(id, 3);
  WAITER_END;
  until_waiting(id, 1, GETNCNT, 1);
  SHOW(op(id, 1, 4, 0));
  ended("waited with undo", a);
  values(id, 3);
  ctl(id, 0, IPC_RMID, 0);
}

static void strangers(void) {
  SECTION("permissions");
  if (getuid() != 0) return;
  int none = (int)MUST(semget(IPC_PRIVATE, 1, 0)), readable = (int)MUST(semget(IPC_PRIVATE, 1, 0604));
  CHILD_BEGIN
  become_ordinary();
  SHOW(op(none, 0, 1, 0));
  SHOW(op(readable, 0, 1, 0));
  SHOW(op(readable, 0, 0, 0));
  SHOW(op(readable, 5, 1, 0));
  SHOW(ctl(none, 0, GETVAL, 0));
  SHOW(ctl(none, 9, GETVAL, 0));
  SHOW(ctl(readable, 0, GETVAL, 0));
  SHOW(ctl(readable, 0, SETVAL, 1));
  SHOW(ctl(readable, 9, SETVAL, 1));
  SHOW(ctl(readable, 0, IPC_RMID, 0));
  SHOW(ctl(none, 0, IPC_STAT, (long)&ds));
  SHOW(ctl(none, 0, SEM_STAT, (long)&ds));
  CHILD_END("stranger");
  ctl(none, 0, IPC_RMID, 0), ctl(readable, 0, IPC_RMID, 0);
}

static void rounds(void) {
  SECTION("many processes count");
  int id = (int)MUST(semget(IPC_PRIVATE, 2, 0600));
  int *counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(ctl(id, 0, SETVAL, 1));
  for (int i = 0; i < 6; i++) {
    if (fork() != 0) continue;
    for (int j = 0; j < 200; j++) {
      if (op(id, 0, -1, SEM_UNDO) != 0) _exit(1);
      int seen = *(volatile int *)counter;
      if (j % 50 == 0) sched_yield();
      *(volatile int *)counter = seen + 1;
      if (i == 3 && j == 199) kill(getpid(), SIGKILL);
      op(id, 0, 1, SEM_UNDO);
    }
    _exit(0);
  }
  int killed = 0, failed = 0, status;
  while (wait(&status) > 0) killed += WIFSIGNALED(status), failed += WIFEXITED(status) && WEXITSTATUS(status) != 0;
  say("counted %d, killed %d, failed %d\n", *counter, killed, failed);
  values(id, 2);
  ctl(id, 0, IPC_RMID, 0);
}

int main(int count, char **arguments) {
  begin();
  waiters_begin();
  if (count > 1) {
    values(atoi(arguments[1]), 3);
    return 0;
  }
  getting();
  simple();
  control();
  waiting();
  endings();
  undoing(arguments[0]);
  strangers();
  rounds();
  return 0;
}
