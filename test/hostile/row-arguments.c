/*
 * Wild values in every argument of every row of the table, one argument at a time while the others hold what makes the call succeed.
 *
 * Checked: a call that succeeds with good memory answers EFAULT when a pointer that the kernel has to read or write there is not mapped,
 * or belongs to the kernel's half. Where Linux does not touch it, the call is named in `untouched` with the reason.
 */
#include "rows.h"

/* 16 wild values each for six arguments, and the good call before them. */
#define VALUES 18
#define UNMAPPED 0
#define KERNEL_HALF 1
#define NOT_CANONICAL 2

static long values[VALUES];

static void prepare_values(void) {
  long all[VALUES] = {(long)unmapped, (long)0xffff800000001000UL, 0x7fffffffffffff00L, (long)no_access, (long)read_only, (long)edge, 0, 1, -1, -100,
                      0x7fffffff, 0x80000000L, 0x100000000L, 1L << 46, 1L << 53, 0x7fffffffffffffffL, (long)(1UL << 63), 0x7ffffffff000L};
  memcpy(values, all, sizeof values);
}

static long good_value(const struct argument *a, int index) {
  if (a->fixed >= 0) return a->fixed;
  switch (a->kind) {
    case PATH: return (long)strcpy(good + index * PAGE, "rows-file");
    case POINTER: return (long)(good + index * 4 * PAGE + 8 * PAGE);
    case FD: return a->fd;
    case DIRFD: return AT_FDCWD;
    case PID: return getpid();
    case WIDE: return 8;
    case ADDR: return 0;
    default: return 0;
  }
}

static int never(const char *name) {
  static const char *const names[] = {"exit", "exit_group", "rt_sigreturn", "vfork", "pause"};
  for (size_t i = 0; i < COUNT(names); i++)
    if (strcmp(names[i], name) == 0) return 1;
  return 0;
}

static void work(const struct row *row, int from) {
  pid_t me = getpid();
  open_everything();
  for (int at = from; at <= row->count * VALUES; at++) {
    long a[ARGUMENTS_MAX] = {0};
    progress->at = at;
    memset(good + 8 * PAGE, 0, 40 * PAGE);
    for (int i = 0; i < row->count; i++) a[i] = good_value(&row->arguments[i], i);
    if (at > 0) a[(at - 1) / VALUES] = values[(at - 1) % VALUES];
    long result = syscall(row->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (syscall(SYS_getpid) != me) syscall(SYS_exit_group, 0);
    progress->results[at] = result == -1 ? -errno : result;
    if (row->nr == SYS_brk || row->nr == SYS_dup2 || row->nr == SYS_dup3 || row->nr == SYS_close_range) open_everything();
  }
  progress->at = row->count * VALUES + 1;
  syscall(SYS_exit_group, 0);
}

#define NO_RESULT (-4096L)

static int wrong;
static void judge(const struct row *row) {
  static const char *const words[] = {"unmapped", "kernel half", "not canonical"};
  long baseline = progress->results[0];
  if (getenv("ROWS_VERBOSE")) say("%s baseline %ld\n", row->name, baseline);
  if (baseline < 0) return;
  for (int i = 0; i < row->count; i++) {
    const struct argument *a = &row->arguments[i];
    if ((a->kind != POINTER && a->kind != PATH) || a->fixed == 0) continue;
    for (int value = 0; value <= NOT_CANONICAL; value++) {
      long result = progress->results[1 + i * VALUES + value];
      if (result == -EFAULT || result == NO_RESULT) continue;
      say("%s: argument %d %s: %ld\n", row->name, i, words[value], result);
      wrong++;
    }
  }
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  int late = 0, made = 0;
  begin();
  only_inside();
  scratch();
  signal(SIGCHLD, SIG_DFL);
  prepare_memory();
  prepare_values();
  read_rows();
  progress = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < row_count; i++) {
    const struct row *row = &rows[i];
    if (never(row->name) || (only && strcmp(only, row->name) != 0)) continue;
    int calls = row->count * VALUES + 1;
    for (int at = 0; at < calls; at++) progress->results[at] = NO_RESULT;
    for (int from = 0; from < calls; from = progress->at + 1) {
      progress->at = from;
      pid_t worker = (pid_t)MUST(fork());
      if (worker == 0) {
        setsid();
        work(row, from);
      }
      late += !watch(worker, 60);
    }
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) continue;
    chmod(scratch_path, 0777);
    made++;
    judge(row);
  }
  say("rows %d\n", made);
  CHECK(wrong == 0);
  CHECK(late < made);
  CHECK(still_works());
  return 0;
}
