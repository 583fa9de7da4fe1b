/*
 * Random calls of random rows: seeded, with arguments that are mostly plausible (descriptors that are open, paths that exist, memory that looks
 * like the structures of Linux) and now and then wild. `row-fuzz SEED WORKERS`; the table is read from standard input.
 *
 * Each worker is a process with two threads that share descriptors and memory, so that one closes, truncates or unmaps what the
 * other waits for; a timer's signal breaks waits off. What the calls answer is of no interest: the sandbox has to live.
 */
#include "rows.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/time.h>
#include <sys/un.h>

#define CALLS 400
#define SLOTS 12

/* seed of a thread; splitmix64 */
static uint64_t next(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15UL;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
  return z ^ z >> 31;
}
static long below(uint64_t *state, long limit) { return (long)(next(state) % (uint64_t)limit); }

static long wild(uint64_t *state) {
  static const long fixed[] = {0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 64, 100, 255, 256, 1000, 4095, 4096, 4097, 65536, 1 << 20, -1, -2, -100, -4095, 0x7fffffff, 0x80000000L, 0xffffffffL, 0x100000000L, 1L << 46, (1L << 47) - 1,
                               1L << 47, 1L << 52, 1L << 53, (1L << 53) + 1, 1L << 62, 0x7fffffffffffffffL, (long)(1UL << 63), 0x7ffffffff000L, (long)0xffff800000000000UL, (long)0xffffffffff600000UL};
  switch (below(state, 6)) {
    case 0: return (long)next(state);
    case 1: return 1L << below(state, 64);
    case 2: return -(1L << below(state, 64));
    default: return fixed[below(state, COUNT(fixed))];
  }
}

static const char *const paths[] = {"rows-file", "rows-new", "rows-directory", "rows-directory/x", "rows-link", "rows-fifo", ".", "..", "", "/", "/proc/self/status", "/proc/self/fd", "/proc/self/fd/10", "/proc/self/mem", "/proc/self/task",
                                    "/proc/self/maps", "/dev/null", "/dev/ptmx", "/dev/tty", "/dev/pts/0", "/dev/shm/x", "/proc/self/cwd/rows-file", "/proc/self/exe", "/proc/self/ns/mnt", "/etc/passwd", "/tmp/rows-new", "rows-file/", "rows-loop", "tmpfs", "proc",
                                    "devpts", "user.rows", "security.x", "size=1m", "/sys", "/dev/full", "/proc/meminfo", "/proc/self/oom_score_adj", "/proc/self/comm"};

static void put_path(uint64_t *state, char *at) {
  long kind = below(state, 40);
  if (kind == 0) memset(at, 'x', 300), at[below(state, 300)] = '/', at[300] = 0;
  else if (kind == 1) memset(at, '/', 5000), at[4000 + below(state, 200)] = 0;
  else if (kind == 2) for (int i = 0; i < 2000; i++) memcpy(at + 3 * i, "../", 4);
  else strcpy(at, paths[below(state, COUNT(paths))]);
}

static char *slot(long index) { return good + (index % SLOTS) * 4 * PAGE; }

/* Memory that looks a little like structures. */
static void fill(uint64_t *state, char *at) {
  long kind = below(state, 9);
  long *words = (long *)at;
  int *halves = (int *)at;
  memset(at, 0, 512);
  switch (kind) {
    case 0: break;
    case 1: for (int i = 0; i < 64; i++) words[i] = wild(state); break;
    case 2: for (int i = 0; i < 64; i += 2) words[i] = (long)slot(next(state)), words[i + 1] = below(state, 3) ? below(state, 5000) : wild(state); break;
    case 3: for (int i = 0; i < 128; i++) halves[i] = (int)below(state, 32); break;
    case 4: for (int i = 0; i < 128; i += 2) halves[i] = FILE_FD + (int)below(state, LAST_FD - FILE_FD), halves[i + 1] = (int)next(state); break;
    case 5: put_path(state, at); break;
    case 6: *(short *)at = below(state, 4) ? AF_UNIX : (short)below(state, 20), strcpy(at + 2, "rows-socket"); break;
    case 7: {
      struct msghdr *message = (struct msghdr *)at;
      struct cmsghdr *control = (struct cmsghdr *)slot(next(state));
      control->cmsg_len = below(state, 3) ? 20 : (size_t)wild(state), control->cmsg_level = SOL_SOCKET, control->cmsg_type = 1 + (int)below(state, 2);
      *(int *)CMSG_DATA(control) = FILE_FD + (int)below(state, LAST_FD - FILE_FD);
      struct iovec *vector = (struct iovec *)(at + 128);
      vector->iov_base = slot(next(state)), vector->iov_len = (size_t)below(state, 9000);
      message->msg_iov = vector, message->msg_iovlen = below(state, 5) ? 1 : (size_t)wild(state);
      message->msg_control = control, message->msg_controllen = below(state, 3) ? 24 : (size_t)below(state, 5000);
      break;
    }
    default: for (int i = 0; i < 64; i++) words[i] = below(state, 2) ? 0 : below(state, 1000000); break;
  }
}

static long pointer(uint64_t *state) {
  char *at = slot(next(state));
  switch (below(state, 30)) {
    case 0: return 0;
    case 1: return (long)unmapped;
    case 2: return (long)read_only;
    case 3: return (long)edge - below(state, 64);
    case 4: return (long)no_access;
    case 5: return wild(state);
    case 6: return (long)at + below(state, 64);
    default: fill(state, at); return (long)at;
  }
}

/* What calls about memory may unmap, move and protect. */
static long playground(void) { return (long)good + (SLOTS * 4 + 1) * PAGE; }

static int is_signalling(int nr) {
  return nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_rt_tgsigqueueinfo || nr == SYS_prlimit64;
}

static long small_number(uint64_t *state) {
  switch (below(state, 5)) {
    case 0: return below(state, 8);
    case 1: return below(state, 64);
    case 2: return 1L << below(state, 32);
    case 3: return (1L << below(state, 32)) | (1L << below(state, 32));
    default: return wild(state);
  }
}

static long choose(uint64_t *state, const struct row *row, const struct argument *a) {
  if (a->fixed != NO_VALUE && below(state, 2)) return a->fixed;
  switch (a->kind) {
    case PATH: {
      char *at = slot(next(state));
      if (below(state, 20) == 0) return pointer(state);
      put_path(state, at);
      return (long)at;
    }
    case POINTER: return pointer(state);
    case FD: return below(state, 20) == 0 ? wild(state) : below(state, 3) == 0 ? a->fd : FILE_FD - 2 + below(state, LAST_FD - FILE_FD + 6);
    case DIRFD: return below(state, 10) == 0 ? wild(state) : below(state, 2) ? AT_FDCWD : FILE_FD + below(state, LAST_FD - FILE_FD);
    case PID: return is_signalling(row->nr) || below(state, 2) ? getpid() : below(state, 2) ? 0 : 99999;
    case SIGNAL: return below(state, 10) == 0 ? wild(state) : below(state, 10) ? SIGUSR1 : below(state, 66);
    case ADDR: return below(state, 8) ? playground() + below(state, 16) * PAGE : below(state, 2) ? wild(state) : pointer(state);
    case WIDE: return below(state, 3) == 0 ? wild(state) : below(state, 3) == 0 ? pointer(state) : below(state, 2) ? 8 : below(state, 10000);
    default: return below(state, 4) == 0 ? FILE_FD + below(state, LAST_FD - FILE_FD) : small_number(state);
  }
}

/* Calls that only end the worker or stop it for long. */
static int is_idle(const struct row *row) {
  static const char *const names[] = {"exit", "exit_group", "rt_sigreturn", "pause", "vfork"};
  for (size_t i = 0; i < COUNT(names); i++)
    if (strcmp(names[i], row->name) == 0) return 1;
  return 0;
}

static pid_t worker_pid;
static __thread sigjmp_buf again;

/* Memory that a call has taken away comes back empty. */
static void on_fault(int number) {
  (void)number;
  mmap(good, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  mmap(progress, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  siglongjmp(again, 1);
}

static void *make_calls(void *argument) {
  static __thread uint64_t state;
  state = (uint64_t)(uintptr_t)argument;
  const struct row *volatile recent = NULL;
  volatile int i = 0;
  sigsetjmp(again, 1);
  for (; i < CALLS; i++) {
    const struct row *row = recent && below(&state, 3) == 0 ? recent : &rows[below(&state, row_count)];
    if (is_idle(row) && below(&state, 400)) continue;
    recent = row;
    long a[ARGUMENTS_MAX] = {0};
    for (int k = 0; k < ARGUMENTS_MAX; k++) a[k] = k < row->count ? choose(&state, row, &row->arguments[k]) : wild(&state);
    if (is_signalling(row->nr)) a[0] = worker_pid;
    progress->at++;
    progress->results[0] = row->nr;
    syscall(row->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    /* A child of a clone or fork goes on for a little with calls of its own. */
    if ((pid_t)syscall(SYS_getpid) != worker_pid && i < CALLS - 20) i = CALLS - 20;
  }
  syscall(SYS_exit, 0);
  return NULL;
}

static void on_signal(int number) { (void)number; }

static void work(uint64_t seed) {
  struct sigaction action = {.sa_handler = on_signal};
  struct itimerval beat = {{0, 4000}, {0, 4000}};
  struct rlimit files = {200, 200}, space = {1UL << 30, 1UL << 30};
  pthread_t threads[2];
  setsid();
  worker_pid = getpid();
  setrlimit(RLIMIT_NOFILE, &files), setrlimit(RLIMIT_AS, &space);
  open_everything();
  mkfifo("rows-fifo", 0666), symlink("rows-loop", "rows-loop");
  sigaction(SIGALRM, &action, NULL), sigaction(SIGUSR1, &action, NULL);
  action.sa_handler = on_fault;
  sigaction(SIGSEGV, &action, NULL), sigaction(SIGBUS, &action, NULL);
  setitimer(ITIMER_REAL, &beat, NULL);
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, make_calls, (void *)(uintptr_t)(seed * 2 + (unsigned)i));
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  syscall(SYS_exit_group, 0);
}

int main(int argc, char **argv) {
  long seed = argc > 1 ? atol(argv[1]) : 1, workers = argc > 2 ? atol(argv[2]) : 20;
  int late = 0;
  long calls = 0;
  begin();
  only_inside();
  scratch();
  prepare_memory();
  read_rows();
  progress = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (long i = 0; i < workers; i++) {
    progress->at = 0;
    pid_t worker = fork();
    if (worker == 0) work((uint64_t)(seed * 1000 + i));
    if (worker == -1) break;
    late += !watch(worker, 150);
    calls += progress->at;
    chmod(scratch_path, 0777);
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) continue;
  }
  say("seed %ld workers %ld calls %ld late %d\n", seed, workers, calls, late);
  CHECK(still_works());
  return 0;
}
