/*
 * /proc: the files of a process and of the machine, by structure and by agreement with the system calls. See proc(5).
 */
#include "guest.h"
#include <sys/mman.h>
#include <sys/prctl.h>

/* The value of "Name:\tvalue" in a status-like file, or "?". */
static const char *field(const char *file, const char *name) {
  static char value[256];
  const char *text = get_file(file);
  size_t length = strlen(name);
  strcpy(value, "?");
  for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
    if (strncmp(line, name, length) == 0 && line[length] == ':') {
      line += length + 1;
      while (*line == '\t' || *line == ' ') line++;
      snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\n"), line);
      return value;
    }
  return value;
}

static const char *link_of(const char *name) {
  static char target[4096];
  ssize_t n = readlink(name, target, sizeof target - 1);
  if (n < 0) return errno_name(errno);
  target[n] = 0;
  return target;
}

static void status(void) {
  SECTION("status");
  say("Name %s\n", field("/proc/self/status", "Name"));
  say("Umask %s\n", field("/proc/self/status", "Umask"));
  say("State %s\n", field("/proc/self/status", "State"));
  CHECK(atoi(field("/proc/self/status", "Pid")) == getpid());
  CHECK(atoi(field("/proc/self/status", "Tgid")) == getpid());
  CHECK(atoi(field("/proc/self/status", "PPid")) == getppid());
  say("TracerPid %s\n", field("/proc/self/status", "TracerPid"));
  char ids[64];
  snprintf(ids, sizeof ids, "%d\t%d\t%d\t%d", getuid(), geteuid(), getuid(), geteuid());
  CHECK(strcmp(field("/proc/self/status", "Uid"), ids) == 0);
  CHECK(atoi(field("/proc/self/status", "VmSize")) > 0 && atoi(field("/proc/self/status", "VmRSS")) > 0);
  say("Threads %s\n", field("/proc/self/status", "Threads"));
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGUSR2, SIG_IGN);
  kill(getpid(), SIGUSR1);
  say("SigBlk %s\n", field("/proc/self/status", "SigBlk"));
  say("SigIgn %s\n", field("/proc/self/status", "SigIgn"));
  say("ShdPnd %s\n", field("/proc/self/status", "ShdPnd"));
  say("NoNewPrivs %s\n", field("/proc/self/status", "NoNewPrivs"));
  say("Seccomp %s\n", field("/proc/self/status", "Seccomp"));
}

static void statistics(void) {
  char name[64], state;
  int pid, ppid, pgrp, session;
  SECTION("stat, statm, cmdline, comm, environ, auxv");
  CHECK(sscanf(get_file("/proc/self/stat"), "%d (%63[^)]) %c %d %d %d", &pid, name, &state, &ppid, &pgrp, &session) == 6);
  say("name %s state %c\n", name, state);
  CHECK(pid == getpid() && ppid == getppid() && pgrp == getpgrp() && session == getsid(0));
  const char *text = get_file("/proc/self/stat");
  int fields = 0;
  for (const char *at = strrchr(text, ')') + 1; *at; at++) fields += *at == ' ';
  SHOW(fields + 2);
  long size, resident, shared;
  CHECK(sscanf(get_file("/proc/self/statm"), "%ld %ld %ld", &size, &resident, &shared) == 3);
  CHECK(size > 0 && resident > 0 && resident <= size);
  CHECK(strstr(get_file("/proc/self/cmdline"), "procfs") != NULL);
  say("comm %s", get_file("/proc/self/comm"));
  int fd = (int)MUST(open("/proc/self/comm", O_WRONLY));
  SHOW(write(fd, "new-comm", 8));
  close(fd);
  char now[17] = "";
  prctl(PR_GET_NAME, now);
  SHOW(strcmp(now, "new-comm"));
  extern char **environ;
  const char *first = environ[0];
  CHECK(first == NULL || strcmp(get_file("/proc/self/environ"), first) == 0);
  fd = (int)MUST(open("/proc/self/auxv", O_RDONLY));
  unsigned long pairs[128];
  long n = read(fd, pairs, sizeof pairs);
  close(fd);
  int page_size = 0;
  for (long i = 0; i + 1 < n / 8; i += 2)
    if (pairs[i] == 6) page_size = (int)pairs[i + 1];
  SHOW(page_size);
}

static void links(void) {
  char path[64], cwd[4096];
  SECTION("links");
  getcwd(cwd, sizeof cwd);
  SHOW(strcmp(link_of("/proc/self/cwd"), cwd));
  say("root %s\n", link_of("/proc/self/root"));
  CHECK(strstr(link_of("/proc/self/exe"), "procfs") != NULL);
  CHECK(atoi(link_of("/proc/self")) == getpid());
  snprintf(path, sizeof path, "%d/task/%d", getpid(), getpid());
  SHOW(strcmp(link_of("/proc/thread-self"), path));
  int fd = (int)MUST(open("file", O_RDWR | O_APPEND | O_CLOEXEC));
  MUST(lseek(fd, 3, SEEK_SET));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const char *target = link_of(path);
  say("fd -> %s\n", strcmp(target + strlen(target) - 5, "/file") == 0 ? ".../file" : target);
  struct stat st;
  MUST(lstat(path, &st));
  say("mode of the link %o\n", st.st_mode);
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  say("pos %s\n", field(path, "pos"));
  say("flags %s\n", field(path, "flags"));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  MUST(unlink("file"));
  target = link_of(path);
  say("after unlink: %s\n", strstr(target, "/file (deleted)") ? "deleted" : target);
  int again = (int)MUST(open(path, O_RDONLY));
  SHOW(read(again, path, 3));
  close(again), close(fd);
  DIR *dir = opendir("/proc/self/fd");
  int entries = 0;
  for (struct dirent *entry; (entry = readdir(dir));) entries += entry->d_name[0] != '.';
  closedir(dir);
  SHOW(entries);
  SHOW(access("/proc/self/fd/99", F_OK));
  SHOW(open("/proc/self/fd/99", O_RDONLY));
}

static void listing(void) {
  SECTION("/proc itself");
  int own = 0, numbers = 0, bad = 0;
  DIR *dir = opendir("/proc");
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    numbers++;
    own += atoi(entry->d_name) == getpid();
    bad += entry->d_type != DT_DIR;
  }
  closedir(dir);
  CHECK(numbers >= 1 && own == 1 && bad == 0);
  SHOW(open("/proc/4194304", O_RDONLY));
  SHOW(open("/proc/0", O_RDONLY));
  SHOW(open("/proc/self/nothing", O_RDONLY));
  SHOW(mkdir("/proc/new", 0755));
  SHOW(open("/proc/new", O_WRONLY | O_CREAT, 0644));
  SHOW(unlink("/proc/version"));
  SHOW(open("/proc/self/status/x", O_RDONLY));
  SHOW(open("/proc/self", O_RDONLY | O_NOFOLLOW));
  /* A process that ended keeps its directory while it is a zombie, and no longer. */
  pid_t child = (pid_t)MUST(fork());
  if (child == 0) _exit(0);
  siginfo_t info;
  MUST(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", child);
  say("zombie: %s\n", field(path, "State"));
  snprintf(path, sizeof path, "/proc/%d/cmdline", child);
  SHOW(strlen(get_file(path)));
  snprintf(path, sizeof path, "/proc/%d", child);
  int open_dir = (int)MUST(open(path, O_RDONLY | O_DIRECTORY));
  waitpid(child, NULL, 0);
  SHOW(access(path, F_OK));
  SHOW(openat(open_dir, "status", O_RDONLY));
  close(open_dir);
}

static int lines(const char *file) {
  int count = 0;
  for (const char *text = get_file(file); *text; text++) count += *text == '\n';
  return count;
}

static void machine(void) {
  SECTION("the machine");
  CHECK(atol(field("/proc/meminfo", "MemTotal")) > 0);
  CHECK(atol(field("/proc/meminfo", "MemFree")) <= atol(field("/proc/meminfo", "MemTotal")));
  CHECK(strstr(field("/proc/meminfo", "MemAvailable"), "kB") != NULL);
  int cpus = 0;
  for (const char *at = get_file("/proc/cpuinfo"); (at = strstr(at, "processor\t:")); at++) cpus++;
  CHECK(cpus >= 1);
  CHECK(strncmp(get_file("/proc/stat"), "cpu ", 4) == 0);
  CHECK(strstr(get_file("/proc/stat"), "\nbtime ") != NULL);
  double up, idle, load;
  CHECK(sscanf(get_file("/proc/uptime"), "%lf %lf", &up, &idle) == 2 && up >= 0);
  CHECK(sscanf(get_file("/proc/loadavg"), "%lf", &load) == 1 && load >= 0);
  CHECK(strncmp(get_file("/proc/version"), "Linux version ", 14) == 0);
  CHECK(strstr(get_file("/proc/filesystems"), "nodev\tproc\n") != NULL);
  CHECK(lines("/proc/self/mounts") >= 1 && strcmp(link_of("/proc/mounts"), "self/mounts") == 0);
  CHECK(strstr(get_file("/proc/self/mounts"), " /proc proc ") != NULL);
  CHECK(lines("/proc/self/mountinfo") == lines("/proc/self/mounts"));
  CHECK(strncmp(get_file("/proc/self/limits"), "Limit ", 6) == 0 && lines("/proc/self/limits") == 17);
  CHECK(atol(get_file("/proc/sys/kernel/pid_max")) >= 1000);
  say("ostype %s", get_file("/proc/sys/kernel/ostype"));
  CHECK(strlen(get_file("/proc/sys/kernel/random/boot_id")) == 37);
  char first[64];
  strcpy(first, get_file("/proc/sys/kernel/random/uuid"));
  CHECK(strcmp(first, get_file("/proc/sys/kernel/random/uuid")) != 0);
  CHECK(atol(get_file("/proc/sys/fs/file-max")) > 0);
  CHECK(atol(get_file("/proc/sys/vm/overcommit_memory")) >= 0);
}

/* Reading in small steps gives the same text as reading at once; seeking back reads anew. */
static void steps(void) {
  SECTION("small steps");
  static char whole[65536], parts[65536];
  int fd = (int)MUST(open("/proc/self/limits", O_RDONLY));
  long total = read(fd, whole, sizeof whole), have = 0, n;
  MUST(lseek(fd, 0, SEEK_SET));
  while ((n = read(fd, parts + have, 7)) > 0) have += n;
  CHECK(have == total && memcmp(whole, parts, total) == 0);
  CHECK(pread(fd, parts, 10, 5) == 10 && memcmp(parts, whole + 5, 10) == 0);
  SHOW(write(fd, "x", 1));
  struct stat st;
  MUST(fstat(fd, &st));
  say("size %ld mode %o\n", (long)st.st_size, st.st_mode);
  close(fd);
}

static void memory(void) {
  SECTION("mem");
  char text[16] = "in memory", got[16] = "";
  int fd = (int)MUST(open("/proc/self/mem", O_RDWR));
  SHOW(pread(fd, got, 9, (off_t)(uintptr_t)text));
  SHOW(strcmp(got, text));
  SHOW(pwrite(fd, "IN", 2, (off_t)(uintptr_t)text));
  SHOW(strcmp(text, "IN memory"));
  SHOW(pread(fd, got, 1, 8));
  close(fd);
}

int main(void) {
  begin();
  scratch();
  put_file("file", "content", 0644);
  status();
  statistics();
  links();
  listing();
  machine();
  steps();
  memory();
  return 0;
}
