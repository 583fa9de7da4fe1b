/*
 * A program that does what a script says, and prints what came of it: the same on Linux and inside, or one of the two is wrong.
 *
 * The script comes on standard input, a line for each operation: the number of an actor, the name of the operation and up to six
 * numbers. "3 read 2 100" waits for the answer; "3&5 read 2 100" lets actor 3 begin if 5 is there to wake it, and "3=" waits for its end. Whatever the
 * numbers are, nothing outside the current directory and outside the processes made here is touched: every operation takes its
 * files, descriptors, processes and addresses from small tables of its own. So any script may run on the host.
 *
 * Sequence: the first process is the controller; it makes actor 0, sends the lines and prints the replies. When the script ends it
 * ends all actors.
 */
#include "bursts.h"

static void do_nothing(int *a) { (void)a; }

static const struct operation {
  const char *name;
  void (*run)(int *);
} operations[] = {
    {"open", do_open}, {"openat", do_openat}, {"close", do_close}, {"read", do_read}, {"write", do_write}, {"pread", do_pread},
    {"pwrite", do_pwrite}, {"readv", do_readv}, {"writev", do_writev}, {"lseek", do_lseek}, {"ftruncate", do_ftruncate},
    {"truncate", do_truncate}, {"stat", do_stat}, {"lstat", do_lstat}, {"fstat", do_fstat}, {"access", do_access}, {"rename", do_rename},
    {"rename2", do_rename2}, {"link", do_link}, {"symlink", do_symlink}, {"unlink", do_unlink}, {"mkdir", do_mkdir}, {"rmdir", do_rmdir},
    {"readlink", do_readlink}, {"chmod", do_chmod}, {"fchmod", do_fchmod}, {"umask", do_umask}, {"chdir", do_chdir}, {"home", do_home},
    {"cwd", do_cwd}, {"list", do_list}, {"dup", do_dup}, {"dup2", do_dup2}, {"dup3", do_dup3}, {"dupfd", do_dupfd}, {"getfl", do_getfl},
    {"setfl", do_setfl}, {"getfd", do_getfd}, {"setfd", do_setfd}, {"lock", do_lock}, {"ofd-lock", do_ofd_lock}, {"test-lock", do_test_lock},
    {"lock-wait", do_lock_wait}, {"flock", do_flock}, {"fallocate", do_fallocate}, {"copy-range", do_copy_range}, {"sendfile", do_sendfile},
    {"splice", do_splice}, {"fsync", do_fsync}, {"utimes", do_utimes}, {"statx", do_statx}, {"memfd", do_memfd}, {"seal", do_seal},
    {"xattr", do_xattr}, {"inotify", do_inotify}, {"watch", do_watch}, {"notices", do_notices}, {"fds", do_fds},
    {"map", do_map}, {"map-file", do_map_file}, {"unmap", do_unmap}, {"protect", do_protect}, {"remap", do_remap}, {"advise", do_advise},
    {"sync", do_sync}, {"lock-memory", do_lock_memory}, {"touch", do_touch}, {"fill", do_fill}, {"sum", do_sum}, {"maps", do_maps},
    {"brk", do_brk}, {"read-to", do_read_to}, {"write-from", do_write_from}, {"path-in", do_path_in}, {"pipe-to", do_pipe_to},
    {"action", do_action}, {"mask", do_mask}, {"pending", do_pending}, {"raise", do_raise}, {"kill", do_kill}, {"kill-hard", do_kill_hard},
    {"stop", do_stop}, {"continue", do_continue}, {"probe", do_probe}, {"queue", do_queue}, {"take", do_take}, {"take-wait", do_take_wait},
    {"volley", do_volley}, {"suspend", do_suspend}, {"altstack", do_altstack}, {"alarm", do_alarm}, {"timer", do_timer},
    {"timerfd", do_timerfd}, {"sleep", do_sleep}, {"signalfd", do_signalfd}, {"signalfd-read", do_signalfd_read},
    {"pipe", do_pipe}, {"socketpair", do_socketpair}, {"socket", do_socket}, {"bind", do_bind}, {"listen", do_listen},
    {"connect", do_connect}, {"accept", do_accept}, {"send", do_send}, {"receive", do_receive}, {"shutdown", do_shutdown},
    {"sockopt", do_sockopt}, {"peer", do_peer}, {"send-fd", do_send_fd}, {"receive-fd", do_receive_fd}, {"eventfd", do_eventfd},
    {"waiting", do_waiting}, {"poll", do_poll}, {"select", do_select}, {"epoll", do_epoll}, {"epoll-ctl", do_epoll_ctl},
    {"epoll-wait", do_epoll_wait}, {"channel-write", do_channel_write}, {"channel-read", do_channel_read}, {"channel-drain", do_channel_drain}, {"channel-poll", do_channel_poll},
    {"channel-epoll", do_channel_epoll}, {"channel-select", do_channel_select}, {"word-wait", do_word_wait}, {"word-set", do_word_set},
    {"word-calls", do_word_calls}, {"robust-lock", do_robust_lock}, {"robust-unlock", do_robust_unlock},
    {"fork", do_fork}, {"thread", do_thread}, {"spawn", do_spawn}, {"exec", do_exec}, {"exit", do_exit}, {"exit-group", do_exit_group},
    {"segv", do_segv}, {"wait", do_wait}, {"await", do_await}, {"ids", do_ids}, {"setsid", do_setsid}, {"setpgid", do_setpgid},
    {"name", do_name}, {"limit", do_limit}, {"nice", do_nice}, {"yield", do_yield}, {"status", do_status},
    {"registers", do_registers}, {"upper", do_upper}, {"shapes", do_shapes}, {"code", do_code}, {"gs", do_gs},
    {"burst", do_burst}, {"counter", do_counter}, {"probe-me", do_nothing},
};

static const struct operation *find_operation(const char *name, size_t length) {
  for (size_t i = 0; i < COUNT(operations); i++)
    if (strlen(operations[i].name) == length && memcmp(operations[i].name, name, length) == 0) return &operations[i];
  return NULL;
}

/* ---- an actor ---- */

static void run_line(const char *line) {
  int arguments[ARGUMENTS] = {0};
  size_t length = strcspn(line, " ");
  const struct operation *operation = find_operation(line, length);
  char *at = (char *)line + length;
  for (int i = 0; i < ARGUMENTS; i++) arguments[i] = (int)(strtoul(at, &at, 10) & 0x7fffffff);
  if (operation) operation->run(arguments);
  else out(" unknown");
}

static int is_signal(const char *text) {
  return strncmp(text, "kill", 4) == 0 || strncmp(text, "stop", 4) == 0 || strncmp(text, "continue", 8) == 0 || strncmp(text, "queue", 5) == 0;
}

static void tell(const struct caught *ring, uint32_t count, uint32_t *told) {
  for (; *told != count; ++*told) {
    const struct caught *one = &ring[*told % CAUGHT];
    out(" [%s %d %d]", signal_name(one->signo), one->code, one->value);
  }
}

/* Whoever kills a child may hear of its end at once or later: that is told with the next answer. */
static void answer(struct actor *self, uint32_t order) {
  tell(self->caught, self->caught_count, &self->caught_told);
  if (!is_signal(self->line)) tell(self->ended, self->ended_count, &self->ended_told);
  self->reply[self->replied] = 0;
  self->replied = 0;
  store_and_wake(&self->done, order);
}

/* For ever: waits for an order, does it, answers. After a fork the child goes on as another actor, with nothing to answer. */
static void act(void) {
  for (;;) {
    struct actor *self = SELF;
    uint32_t order = self->done;
    wait_while(&self->order, order);
    order = load(&self->order);
    run_line(self->line);
    answer(self, order);
  }
}

static int start_image(const char *number, int owes) {
  if (mmap(shared, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, HARNESS_FD, 0) != shared) _exit(96);
  me = atoi(number) % ACTORS;
  catch_faults();
  struct actor *self = SELF;
  /* The other threads are no more, and one of them had the number that is mine now. */
  for (int i = 0; i < ACTORS; i++)
    if (i != me && shared->actors[i].pid == getpid() && shared->actors[i].state != NOBODY) shared->actors[i].state = GONE;
  self->pid = self->tid = getpid();
  self->changing = 0;
  if (owes) show_image(), answer(self, self->order);
  act();
  return 0;
}

/* ---- the controller ---- */

static char state_of(const struct actor *actor) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", actor->pid, actor->tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof text - 1);
  if (fd != -1) close(fd);
  if (n <= 0) return 'X';
  text[n] = 0;
  const char *end = strrchr(text, ')');
  return end ? end[2] : '?';
}

static int is_dead(const struct actor *actor) {
  if (actor->changing) return kill(actor->pid, 0) == -1;
  char state = state_of(actor);
  return state == 'Z' || state == 'X';
}

/* It, and with it the whole process when that was to end. */
static int are_dead(const struct actor *actor) {
  if (!all_gone(actor->pid)) return is_dead(actor);
  for (int i = 0; i < ACTORS; i++)
    if (shared->actors[i].pid == actor->pid && !is_dead(&shared->actors[i])) return 0;
  return 1;
}

static void mark_stopped(pid_t pid, int from, int to) {
  for (int i = 0; i < ACTORS; i++)
    if (shared->actors[i].pid == pid && shared->actors[i].state == from) shared->actors[i].state = to;
}

/* Waits for an answer; looks now and then whether there is still somebody to give it. */
static const char *wait_for(struct actor *actor) {
  struct timespec pause = {0, 3000000};
  for (int patience = 0; load(&actor->done) != actor->order; patience++) {
    uint32_t seen = load(&actor->done);
    if (seen == actor->order) break;
    if (futex(&actor->done, FUTEX_WAIT, seen, &pause) == -1 && errno != ETIMEDOUT) continue;
    if (load(&actor->done) == actor->order) break;
    pause.tv_nsec = 30000000;
    if (is_dead(actor) && load(&actor->done) != actor->order) {
      actor->state = GONE;
      return " gone";
    }
    if (!actor->changing && state_of(actor) == 'T') {
      mark_stopped(actor->pid, IDLE, STOPPED);
      actor->state = STOPPED, actor->owes = 1;
      return " stopped";
    }
    if (patience > 300) return " STUCK";
  }
  /* One that says it ends is given the time for it, so that its parent finds it ended. */
  for (int patience = 0; actor->state == GONE && !are_dead(actor) && patience < 400; patience++) sleep_ms(patience < 10 ? 1 : 5);
  return actor->reply;
}

static void send_line(struct actor *actor, const char *line) {
  snprintf(actor->line, sizeof actor->line, "%s", line);
  store_and_wake(&actor->order, actor->order + 1);
}

static int print_end(int number, int line, const char *text, struct actor *actor) {
  const char *reply = wait_for(actor);
  say("%d: a%d %s ->%s\n", line, number, text, reply);
  if (actor->state == BUSY) actor->state = IDLE;
  return strcmp(reply, " STUCK") != 0;
}

/* After a signal: what has become of its receiver. One that was stopped may go on, and then owes an answer. */
static int look_after(int number, int line) {
  struct actor *other = &shared->actors[number % ACTORS];
  if (other->state == STOPPED) {
    for (int patience = 0; patience < 20 && state_of(other) == 'T'; patience++) sleep_ms(1);
    if (state_of(other) == 'T') return 1;
    mark_stopped(other->pid, STOPPED, IDLE);
    for (int i = 0; i < ACTORS; i++)
      if (shared->actors[i].pid == other->pid && shared->actors[i].owes) {
        shared->actors[i].owes = 0;
        if (!print_end(i, line, "goes on", &shared->actors[i])) return 0;
      }
  }
  if (other->state != IDLE) return 1;
  send_line(other, "probe-me");
  return print_end(number % ACTORS, line, "after it", other);
}

/* There is always an actor 0: the script goes on when it was killed. */
static void first_actor(void) {
  struct actor *first = &shared->actors[0];
  if (first->pid > 1 && all_gone(first->pid)) waitpid(first->pid, NULL, WNOHANG);
  memset(first, 0, sizeof *first);
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) {
    /* A session of its own: no signal to a group can reach the controller. */
    setsid();
    for (size_t i = 0; i < COUNT(signals); i++) {
      struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
      action.sa_sigaction = on_signal;
      sigaction(signals[i], &action, NULL);
    }
    born(first);
    act();
  }
  first->pid = first->tid = child, first->state = IDLE;
}

/* Whether `waker` can be relied on to wake `sleeper`. */
static int can_wake(const struct actor *waker, const struct actor *sleeper, const char *text) {
  if (waker->state != IDLE || strchr("ZXT", state_of(waker))) return 0;
  return strncmp(text, "await", 5) != 0 || waker->pid != sleeper->pid;
}

static int do_line(char *text, int line) {
  char *rest;
  int number = (int)strtoul(text, &rest, 10) % ACTORS;
  struct actor *actor = &shared->actors[number];
  if (*rest == '=') return actor->state != BUSY || print_end(number, line, "ends", actor);
  int begins = *rest == '&';
  const struct actor *waker = begins ? &shared->actors[strtoul(rest + 1, &rest, 10) % ACTORS] : NULL;
  rest += strspn(rest, " ");
  if (number == 0 && actor->state == GONE) first_actor();
  if (actor->state != IDLE || (waker && waker != actor && !can_wake(waker, actor, rest))) return 1;
  /* Stopping the only one who could go on would end the script. */
  if (strncmp(rest, "stop", 4) == 0 && shared->actors[strtoul(rest + 4, NULL, 10) % ACTORS].pid == actor->pid) return 1;
  send_line(actor, rest);
  if (begins) {
    actor->state = BUSY;
    return 1;
  }
  if (!print_end(number, line, rest, actor)) return 0;
  return !is_signal(rest) || look_after((int)strtoul(rest + strcspn(rest, " "), NULL, 10), line);
}

static void end_all(void) {
  for (int i = 0; i < ACTORS; i++) {
    struct actor *actor = &shared->actors[i];
    if (actor->pid > 1 && !actor->reaped && actor->state != NOBODY) kill(actor->pid, SIGKILL);
  }
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
}

static void prepare_shared(void) {
  int fd = (int)MUST(memfd_create("shared", 0));
  MUST(ftruncate(fd, sizeof *shared));
  MUST(dup2(fd, HARNESS_FD));
  close(fd);
  if (mmap(shared, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, HARNESS_FD, 0) != shared) MUST(-1);
  for (int i = 0; i < CHANNELS; i++) {
    int ends[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    MUST(dup2(ends[0], CHANNEL_FD + 2 * i)), MUST(dup2(ends[1], CHANNEL_FD + 2 * i + 1));
    close(ends[0]), close(ends[1]);
  }
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->robust, &attributes);
  MUST(mkdir("work", 0755)), MUST(chdir("work"));
  if (!getcwd(shared->root, sizeof shared->root)) MUST(-1);
}

static char *read_script(void) {
  static char text[1 << 20];
  size_t length = 0;
  ssize_t n;
  while (length < sizeof text - 1 && (n = read(0, text + length, sizeof text - 1 - length)) > 0) length += (size_t)n;
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  close(null);
  return text;
}

int main(int argc, char **argv) {
  if (argc == 1 && strcmp(argv[0], "nothing") == 0) return 7;
  if (argc == 2 && (strcmp(argv[0], "actor") == 0 || strcmp(argv[0], "spawned") == 0)) return start_image(argv[1], argv[0][0] == 'a');
  struct rlimit none = {0, 0};
  begin();
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  catch_faults();
  char *script = read_script(), *state = NULL;
  prepare_shared();
  first_actor();
  int line = 0;
  for (char *text = strtok_r(script, "\n", &state); text; text = strtok_r(NULL, "\n", &state))
    if (!do_line(text, ++line)) break;
  end_all();
  say("end\n");
  return 0;
}
