/*
 * Actors: processes and threads that do one operation at a time, when the controller tells them to.
 *
 * All share one piece of memory (a memfd, kept at a high descriptor so that exec'd programs find it again). The controller writes a
 * line into an actor's place, counts `order` up and waits for `done`; meanwhile every other actor sleeps in a futex. So a script of
 * many processes and threads has one order of events, and its log is the same on every run, unless the kernel is wrong.
 */
#ifndef ACTOR_H
#define ACTOR_H

#include "../syscalls/guest.h"
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define PAGE 4096L
#define SHARED_AT 0x100000000000L
/* Operations on memory stay in this range, where nothing else is ever mapped. */
#define ARENA_AT 0x110000000000L

enum { ACTORS = 12, ARENA_PAGES = 96, ARGUMENTS = 6, CAUGHT = 24 };
/* Descriptors from here on are the harness's own: the shared memory, then the channels. Operations use 3 … 3 + USER_FDS. */
enum { USER_FDS = 24, HARNESS_FD = 200, CHANNEL_FD = 210, CHANNELS = 4 };
enum { NOBODY, IDLE, BUSY, STOPPED, GONE };

struct caught {
  int signo, code, value;
};

struct actor {
  uint32_t order, done;
  int32_t state, pid, tid, reaped;
  /* Was stopped before it could answer. */
  int32_t owes;
  /* Is in the middle of an exec: its thread may change its number, and its process look dead for a moment. */
  int32_t changing;
  char line[256];
  char reply[3072];
  uint32_t replied;
  /* A ring: caught so far, and told of them; the ends of children apart, since they come when they come. */
  uint32_t caught_count, caught_told, ended_count, ended_told;
  struct caught ended[CAUGHT];
  struct caught caught[CAUGHT];
};

struct shared {
  struct actor actors[ACTORS];
  uint32_t words[8];
  uint32_t lock;
  uint64_t counter;
  char root[PATH_MAX];
  pthread_mutex_t robust;
};

static struct shared *const shared = (struct shared *)SHARED_AT;
static __thread int me;

#define SELF (&shared->actors[me])

/* Appends to the reply of this actor. */
static __attribute__((format(printf, 1, 2))) void out(const char *format, ...) {
  struct actor *self = SELF;
  va_list list;
  va_start(list, format);
  int n = vsnprintf(self->reply + self->replied, sizeof self->reply - self->replied, format, list);
  va_end(list);
  self->replied += n;
  if (self->replied >= sizeof self->reply) self->replied = sizeof self->reply - 1;
}

/* The usual reply: a number or the name of an errno. */
static long result(long value) {
  if (value == -1) out(" %s", errno_name(errno));
  else out(" %ld", value);
  return value;
}

static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout) {
  return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static void store_and_wake(uint32_t *word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
  futex(word, FUTEX_WAKE, INT_MAX, NULL);
}

static void wait_while(uint32_t *word, uint32_t value) {
  while (load(word) == value) futex(word, FUTEX_WAIT, value, NULL);
}

/* A process number as the number of an actor: the same on every run. */
static const char *who(pid_t pid) {
  static __thread char names[4][8];
  static __thread int turn;
  char *name = names[turn++ % 4];
  strcpy(name, pid == 0 ? "0" : "other");
  for (int i = 0; i < ACTORS; i++)
    if (pid > 0 && (shared->actors[i].pid == pid || shared->actors[i].tid == pid)) {
      snprintf(name, 8, "a%d", i);
      break;
    }
  return name;
}

static uint32_t hash_more(uint32_t hash, const void *data, size_t length) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static uint32_t hash(const void *data, size_t length) { return hash_more(2166136261u, data, length); }

static void pattern(void *data, size_t length, unsigned seed) {
  unsigned char *bytes = data;
  for (size_t i = 0; i < length; i++) bytes[i] = (unsigned char)(seed * 37 + i * 7 + (i >> 8));
}

static uint32_t next_random(uint32_t *state) {
  *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
  return *state;
}

static int user_fd(int n) { return 3 + n % USER_FDS; }

/* ---- faults that are expected ---- */

static __thread sigjmp_buf fault_return;
static __thread volatile sig_atomic_t fault_armed;
static __thread volatile int fault_signal, fault_code;
static __thread volatile uintptr_t fault_address;

static void on_fault(int signo, siginfo_t *info, void *context) {
  (void)context;
  if (!fault_armed) {
    signal(signo, SIG_DFL);
    return;
  }
  fault_armed = 0;
  fault_signal = signo, fault_code = info->si_code, fault_address = (uintptr_t)info->si_addr;
  siglongjmp(fault_return, 1);
}

static void catch_faults(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
  action.sa_sigaction = on_fault;
  sigaction(SIGSEGV, &action, NULL), sigaction(SIGBUS, &action, NULL), sigaction(SIGFPE, &action, NULL), sigaction(SIGILL, &action, NULL);
}

/* Does `what`, and tells whether it went without a fault. */
#define TRY(what) \
  (sigsetjmp(fault_return, 1) == 0 ? (fault_armed = 1, (what), fault_armed = 0, 1) : 0)

#endif
