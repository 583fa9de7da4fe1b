/*
 * Bombs of System V IPC and POSIX message queues: objects without end, adjustments for many sets, a crowd that waits with long lists of
 * operations. Each ends with the errno that Linux gives when something runs out, and when the objects are removed all is as before.
 */
#include "../syscalls/guest.h"
#include "hostile.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define MOST 40000
static int ids[MOST];

static void report(const char *what, int count) {
  say("%s: %s\n", what, count < MOST ? errno_name(errno) : "without end");
  CHECK(count > 0);
}

static void segments(void) {
  int count = 0;
  while (count < MOST && (ids[count] = shmget(IPC_PRIVATE, 1 << 20, 0600)) >= 0) count++;
  report("segments of a MiB", count);
  while (count > 0) MUST(shmctl(ids[--count], IPC_RMID, NULL));
  while (count < MOST && (ids[count] = shmget(IPC_PRIVATE, 1, 0600)) >= 0) count++;
  report("segments of a byte", count);
  while (count > 0) MUST(shmctl(ids[--count], IPC_RMID, NULL));
  SHOW(shmget(IPC_PRIVATE, 1L << 40, 0600));
  int one = (int)MUST(shmget(IPC_PRIVATE, 4096, 0600));
  while (count < 8000 && shmat(one, NULL, 0) != (void *)-1) count++;
  say("attachments: %d\n", count);
  MUST(shmctl(one, IPC_RMID, NULL));
}

static void semaphores(void) {
  int count = 0, with_undo = 0;
  while (count < MOST && (ids[count] = semget(IPC_PRIVATE, 32000, 0600)) >= 0) count++;
  report("sets of 32000", count);
  while (count > 8) MUST(semctl(ids[--count], 0, IPC_RMID));
  for (; with_undo < 60; with_undo++) {
    pid_t child = fork();
    if (child == -1) break;
    if (child > 0) continue;
    for (int i = 0; i < 8; i++) {
      struct sembuf up = {0, 1, SEM_UNDO};
      if (semop(ids[i], &up, 1) == -1) _exit(1);
    }
    pause();
  }
  sleep_ms(300);
  signal(SIGTERM, SIG_IGN);
  kill(0, SIGTERM);
  while (wait(NULL) > 0) continue;
  int sum = 0;
  for (int i = 0; i < 8; i++) sum += semctl(ids[i], 0, GETVAL);
  say("left over: %d\n", sum);
  while (count > 0) MUST(semctl(ids[--count], 0, IPC_RMID));
}

static void messages(void) {
  struct {
    long type;
    char text[8192];
  } m = {1, {0}};
  int count = 0;
  long sent = 0;
  for (; count < MOST && (ids[count] = msgget(IPC_PRIVATE, 0600)) >= 0; count++) {
    while (msgsnd(ids[count], &m, sent % 2 ? 8192 : 0, IPC_NOWAIT) == 0) sent++;
    if (errno != EAGAIN) break;
  }
  int error = errno;
  say("messages: %s\n", errno_name(error));
  CHECK(sent > 1000);
  for (int i = 0; i <= count && i < MOST; i++) msgctl(ids[i], IPC_RMID, NULL);
}

static void queues(void) {
  char name[32];
  int count = 0;
  struct rlimit files = {30000, 30000}, bytes = {1L << 50, 1L << 50};
  setrlimit(RLIMIT_NOFILE, &files), setrlimit(RLIMIT_MSGQUEUE, &bytes);
  struct mq_attr attr = {0, 65536, 1 << 20};
  static char text[1 << 20];
  for (;; count++) {
    snprintf(name, sizeof name, "/bomb%d", count);
    mqd_t q = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attr);
    if (q == -1 || count == MOST) break;
    if (count < 20)
      while (mq_send(q, text, sizeof text, count) == 0) continue;
    if (count < 20 && errno != EAGAIN && count == 0) say("room: %s\n", errno_name(errno));
  }
  report("queues", count);
  for (; count >= 0; count--) {
    snprintf(name, sizeof name, "/bomb%d", count);
    mq_unlink(name);
  }
}

/* Each has 400 operations, of which the last cannot be done: every change tries all of them again. */
static void crowd(void) {
  int id = (int)MUST(semget(IPC_PRIVATE, 400, 0600)), waiting = 0;
  for (; waiting < 150; waiting++) {
    pid_t child = fork();
    if (child == -1) break;
    if (child > 0) continue;
    struct sembuf list[400];
    for (int i = 0; i < 400; i++) list[i] = (struct sembuf){i, i < 399 ? 1 : -1, 0};
    semop(id, list, 400);
    _exit(0);
  }
  while (semctl(id, 399, GETNCNT) < waiting) sleep_ms(5);
  int64_t start = now_ms();
  struct sembuf up = {5, 1, 0};
  for (int i = 0; i < 500; i++) MUST(semop(id, &up, 1));
  CHECK(now_ms() - start < 20000);
  struct sembuf last = {399, waiting, 0};
  start = now_ms();
  MUST(semop(id, &last, 1));
  CHECK(now_ms() - start < 20000);
  int ended = 0;
  while (wait(NULL) > 0) ended++;
  CHECK(semctl(id, 399, GETVAL) == 0 && semctl(id, 0, GETVAL) == waiting && ended == waiting);
  MUST(semctl(id, 0, IPC_RMID));
}

int main(int argc, char **argv) {
  static const struct { const char *name; void (*run)(void); } bombs[] = {
      {"segments", segments}, {"semaphores", semaphores}, {"messages", messages}, {"queues", queues}, {"crowd", crowd}};
  begin();
  only_inside();
  scratch();
  for (int round = 0; round < 2; round++) {
    CHILD_BEGIN
    MUST(setsid());
    for (size_t i = 0; i < COUNT(bombs); i++)
      if (strcmp(argc > 1 ? argv[1] : "", bombs[i].name) == 0) bombs[i].run();
    CHILD_END("bomb");
  }
  CHILD_BEGIN
  put_file("after", "yes", 0644);
  say("afterwards: %s\n", get_file("after"));
  CHILD_END("an ordinary child");
  return 0;
}
