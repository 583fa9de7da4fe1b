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

static const char *path_of(const struct argument *a) {
  if (strcmp(a->place, "xattr") == 0) return "user.rows";
  if (strcmp(a->place, "directory") == 0) return "rows-directory";
  if (strcmp(a->place, "link") == 0) return "rows-link";
  return strcmp(a->place, "new") == 0 ? "rows-new" : "rows-file";
}

static long good_value(const struct argument *a, int index) {
  if (a->fixed != NO_VALUE) return a->fixed;
  switch (a->kind) {
    case PATH: return (long)strcpy(good + index * PAGE, path_of(a));
    case POINTER: return (long)(good + index * 4 * PAGE + 8 * PAGE);
    case FD: return a->fd;
    case DIRFD: return AT_FDCWD;
    case PID: return getpid();
    case WIDE: return 8;
    case ADDR: return (long)(good + 56 * PAGE);
    default: return 0;
  }
}

static int never(const char *name) {
  static const char *const names[] = {"exit", "exit_group", "rt_sigreturn", "vfork", "pause"};
  for (size_t i = 0; i < COUNT(names); i++)
    if (strcmp(names[i], name) == 0) return 1;
  return 0;
}

/* What earlier calls took away or used up. */
static void restore(const struct row *row) {
  unlink("rows-new"), rmdir("rows-new");
  if (write(PEER_FD, "bytes", 5) == -1) errno = 0;
  lseek(DIRECTORY_FD, 0, SEEK_SET);
  memset(good + 8 * PAGE, 0, 40 * PAGE);
  if (row->nr == SYS_capget || row->nr == SYS_capset) *(int *)(good + 8 * PAGE) = 0x20080522;
}

/* Of process 1, which watches over the others, only other arguments are tried. */
static int harms_parent(const struct argument *a, long value) { return a->kind == PID && value >= 0 && value <= 1; }

static void work(const struct row *row, int from) {
  pid_t me = getpid();
  open_everything();
  for (int at = from; at <= row->count * VALUES; at++) {
    long a[ARGUMENTS_MAX] = {0};
    progress->at = at;
    if ((at - 1) / VALUES != at / VALUES) mkdir("rows-directory", 0777), close(open("rows-file", O_RDWR | O_CREAT, 0666));
    restore(row);
    for (int i = 0; i < row->count; i++) a[i] = good_value(&row->arguments[i], i);
    if (at > 0 && harms_parent(&row->arguments[(at - 1) / VALUES], values[(at - 1) % VALUES])) continue;
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

/* Pointers that Linux does not look at in the call as it is made here. */
static int is_untouched(const char *name, int argument) {
  static const struct { const char *name; int argument; } untouched[] = {
      {"nanosleep", 1},       /* the rest, only when interrupted */
      {"clock_nanosleep", 3}, /* the same */
      {"sendto", 4},          /* an address of no bytes */
      {"recvfrom", 4},        /* the address has no bytes */
      {"getsockname", 1},     /* room for no bytes */
      {"getpeername", 1},     /* the same */
      {"getsockopt", 3},      /* the same */
  };
  for (size_t i = 0; i < COUNT(untouched); i++)
    if (untouched[i].argument == argument && strcmp(untouched[i].name, name) == 0) return 1;
  return 0;
}

static int wrong;
static void judge(const struct row *row) {
  static const char *const words[] = {"unmapped", "kernel half", "not canonical"};
  long baseline = progress->results[0];
  if (getenv("ROWS_VERBOSE")) say("%s baseline %ld\n", row->name, baseline);
  if (baseline < 0) return;
  for (int i = 0; i < row->count; i++) {
    const struct argument *a = &row->arguments[i];
    if ((a->kind != POINTER && a->kind != PATH) || a->fixed == 0 || is_untouched(row->name, i)) continue;
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
