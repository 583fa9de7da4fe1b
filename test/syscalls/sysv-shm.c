/*
 * System V shared memory: shmget, shmat, shmdt, shmctl; what fork, exec, exit, mprotect and munmap do to attachments; /proc/sysvipc/shm.
 *
 * Ids and keys differ from run to run and other programs of the machine have segments too: only relations are printed.
 */
#include "guest.h"
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>

#define PAGE 4096

static struct shmid_ds ds;
static key_t key;

static const char *state(int id) {
  static char text[200];
  errno = 0;
  if (shmctl(id, IPC_STAT, &ds) != 0) return errno_name(errno);
  snprintf(text, sizeof text, "size %zu nattch %lu mode %o cpid %s lpid %s atime %d dtime %d ctime %d key %s", ds.shm_segsz,
           (unsigned long)ds.shm_nattch, ds.shm_perm.mode, ds.shm_cpid == getpid() ? "own" : "other",
           ds.shm_lpid == 0 ? "none" : ds.shm_lpid == getpid() ? "own" : "other", ds.shm_atime != 0, ds.shm_dtime != 0, ds.shm_ctime != 0,
           ds.shm_perm.__key == 0 ? "private" : ds.shm_perm.__key == key ? "own" : "?");
  return text;
}
#define STATE(id) say("%d: %s\n", __LINE__, state(id))

static long attach(int id, const void *at, int flags) {
  return syscall(SYS_shmat, id, at, flags);
}
#define SHOW_ATTACH(id, at, flags) \
  do { \
    errno = 0; \
    long at_ = attach(id, at, flags); \
    say("shmat(%s, %s, %s): %s\n", #id, #at, #flags, at_ == -1 ? errno_name(errno) : "ok"); \
    if (at_ != -1) syscall(SYS_shmdt, at_); \
  } while (0)

static void getting(void) {
  SECTION("shmget");
  key = (key_t)(0x51000000 | (getpid() & 0xffffff));
  SHOW(shmget(key, PAGE, 0600));
  SHOW(shmget(key, 0, IPC_CREAT | 0600));
  SHOW(shmget(IPC_PRIVATE, 0, 0600));
  SHOW(shmget(IPC_PRIVATE, -1L, 0600));
  SHOW(shmget(IPC_PRIVATE, 1L << 60, 0600));
  SHOW(shmget(IPC_PRIVATE, -1L, 0600 | SHM_NORESERVE));
  SHOW(shmget(IPC_PRIVATE, 1 << 21, 0600 | SHM_HUGETLB | (13 << 26)));
  int id = shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0640);
  CHECK(id >= 0);
  STATE(id);
  CHECK(ds.shm_perm.uid == geteuid() && ds.shm_perm.cuid == geteuid() && ds.shm_perm.gid == getegid() && ds.shm_perm.cgid == getegid());
  CHECK(ds.shm_perm.__seq == id >> 15);
  CHECK(shmget(key, 0, 0) == id);
  CHECK(shmget(key, 5000, 0) == id);
  CHECK(shmget(key, 100, IPC_CREAT) == id);
  SHOW(shmget(key, 5001, 0));
  SHOW(shmget(key, 8192, IPC_CREAT));
  SHOW(shmget(key, 5000, IPC_CREAT | IPC_EXCL));
  SHOW(shmget(key, 9000, IPC_CREAT | IPC_EXCL));
  SHOW(shmctl(id, IPC_RMID, NULL));
  SHOW(shmctl(id, IPC_RMID, NULL));
  SHOW(shmctl(id, IPC_STAT, &ds));
  SHOW(shmget(key, 0, 0));
  int other = shmget(key, 10, IPC_CREAT | 07777);
  CHECK(other != id);
  STATE(other);
  SHOW(shmctl(other, IPC_RMID, NULL));
  SHOW(shmctl(-1, IPC_RMID, NULL));
  SHOW(shmctl(other, 99, NULL));
  SHOW(shmctl(other, -1, NULL));
  SHOW(shmctl(0x7fffffff, IPC_STAT, &ds));
}

static void attaching(void) {
  SECTION("shmat and shmdt");
  int id = (int)MUST(shmget(IPC_PRIVATE, 3 * PAGE - 100, 0600));
  char *a = shmat(id, NULL, 0);
  STATE(id);
  CHECK(((uintptr_t)a & (PAGE - 1)) == 0);
  CHECK(a[0] == 0 && a[3 * PAGE - 1] == 0);
  strcpy(a + PAGE, "text");
  char *b = shmat(id, NULL, SHM_RDONLY);
  STATE(id);
  CHECK(b != a);
  say("seen: %s\n", b + PAGE);
  a[3 * PAGE - 1] = 7;
  CHECK(b[3 * PAGE - 1] == 7);
  SHOW(mprotect(b, PAGE, PROT_READ | PROT_WRITE));
  SHOW(mprotect(b, PAGE, PROT_NONE));
  STATE(id);
  SHOW(mprotect(b, PAGE, PROT_READ));
  STATE(id);
  SHOW(shmdt(b + PAGE));
  SHOW(shmdt(b + 1));
  SHOW(shmdt(NULL));
  SHOW(shmdt((void *)-4096L));
  SHOW(shmdt(b));
  STATE(id);
  SHOW(shmdt(b));
  SHOW(munmap(a + PAGE, PAGE));
  STATE(id);
  char *hole = mmap(a + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  hole[0] = 5;
  SHOW(shmdt(a));
  STATE(id);
  CHECK(hole[0] == 5);
  munmap(hole, PAGE);

  char *room = mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SHOW_ATTACH(id, room, 0);
  SHOW_ATTACH(id, room + 1, 0);
  SHOW_ATTACH(id, room + 1, SHM_RND);
  SHOW_ATTACH(id, room + 1, SHM_RND | SHM_REMAP);
  SHOW_ATTACH(id, NULL, SHM_REMAP);
  SHOW_ATTACH(id, (void *)100, SHM_RND | SHM_REMAP);
  SHOW_ATTACH(id, (void *)100, 0);
  SHOW_ATTACH(id, (void *)(1L << 62), 0);
  SHOW_ATTACH(id, (void *)-4096L, 0);
  SHOW_ATTACH(id, NULL, SHM_EXEC);
  SHOW_ATTACH(id, NULL, 0x7fff0000);
  SHOW_ATTACH(-1, NULL, 0);
  SHOW_ATTACH(0x7fffffff, NULL, 0);
  munmap(room, 8 * PAGE);
  SHOW_ATTACH(id, room, 0);
  STATE(id);

  a = shmat(id, room, 0);
  CHECK(a == room);
  a[0] = 1;
  b = shmat(id, room, SHM_REMAP);
  CHECK(b == room && b[0] == 1);
  STATE(id);
  SHOW(shmctl(id, IPC_RMID, NULL));
  STATE(id);
  b = shmat(id, room, SHM_REMAP);
  CHECK(b == room && b[0] == 1);
  STATE(id);
  char *moved = mremap(b, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 4 * PAGE);
  CHECK(moved == room + 4 * PAGE && moved[0] == 1);
  STATE(id);
  SHOW(shmdt(room));
  SHOW(munmap(moved, 3 * PAGE));
  STATE(id);
}

static void two_pieces(void) {
  SECTION("adjacent attachments are two");
  int id = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0600));
  char *room = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 4; i++) CHECK(shmat(id, room + i * PAGE, SHM_REMAP) == room + i * PAGE);
  STATE(id);
  SHOW(shmdt(room + PAGE));
  STATE(id);
  SHOW(shmdt(room));
  SHOW(munmap(room, 8 * PAGE));
  STATE(id);
  SHOW(shmctl(id, IPC_RMID, NULL));
  STATE(id);
}

static void onto_itself(void) {
  SECTION("a second mapping in the place of the first");
  for (int flags = 0; flags <= SHM_RDONLY; flags += SHM_RDONLY) {
    int id = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0600)), other = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0600));
    char *p = shmat(id, NULL, flags);
    char *twin = mremap(p, 0, PAGE, MREMAP_MAYMOVE);
    CHECK(twin != MAP_FAILED);
    STATE(id);
    SHOW(munmap(twin, PAGE));
    SHOW(shmctl(id, IPC_RMID, NULL));
    SHOW(mremap(p, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == MAP_FAILED ? -1 : 0);
    STATE(id);
    SHOW(shmdt(p));
    STATE(other);
    shmctl(other, IPC_RMID, NULL);
  }
}

static void families(const char *self) {
  SECTION("fork, exec, exit");
  int id = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0600));
  int *shared = shmat(id, NULL, 0);
  int *second = shmat(id, NULL, 0);
  shared[0] = 1;
  CHILD_BEGIN
  shared[0]++;
  say("child: nattch %s\n", strstr(state(id), "nattch"));
  shmdt(second);
  say("child detached: %s\n", strstr(state(id), "nattch"));
  CHILD_END("child");
  CHECK(shared[0] == 2);
  STATE(id);
  CHILD_BEGIN
  kill(getpid(), SIGKILL);
  CHILD_END("killed child");
  STATE(id);
  CHILD_BEGIN
  madvise(shared, PAGE, MADV_DONTFORK);
  pid_t pid = fork();
  if (pid == 0) {
    say("grandchild: %s\n", strstr(state(id), "nattch"));
    _exit(0);
  }
  reap("grandchild", pid);
  CHILD_END("child");
  STATE(id);
  CHILD_BEGIN
  char number[16];
  snprintf(number, sizeof number, "%d", id);
  execl(self, self, number, NULL);
  CHILD_END("execed child");
  STATE(id);
  SHOW(shmctl(id, IPC_RMID, NULL));
  CHILD_BEGIN
  int *late = shmat(id, NULL, 0);
  CHECK(late != (void *)-1 && late[0] == 2);
  CHILD_END("child of a removed one");
  STATE(id);
  shmdt(shared);
  STATE(id);
  shmdt(second);
  STATE(id);
  id = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0600));
  CHILD_BEGIN
  shmat(id, NULL, 0);
  shmctl(id, IPC_RMID, NULL);
  say("in the child: %s\n", state(id));
  CHILD_END("child that leaves it");
  STATE(id);
}

static void control(void) {
  SECTION("shmctl");
  int id = (int)MUST(shmget(IPC_PRIVATE, 2 * PAGE, 0600));
  char *p = shmat(id, NULL, 0);
  SHOW(shmctl(id, SHM_LOCK, NULL));
  STATE(id);
  SHOW(shmctl(id, SHM_UNLOCK, NULL));
  STATE(id);
  SHOW(shmctl(id, IPC_STAT, NULL));
  SHOW(shmctl(id, IPC_SET, NULL));
  SHOW(shmctl(id, IPC_STAT, &ds));
  ds.shm_perm.mode = 0107666;
  SHOW(shmctl(id, IPC_SET, &ds));
  STATE(id);
  ds.shm_perm.uid = (uid_t)-1;
  SHOW(shmctl(id, IPC_SET, &ds));
  ds.shm_perm.uid = 0;
  ds.shm_perm.gid = (gid_t)-1;
  SHOW(shmctl(id, IPC_SET, &ds));
  struct shminfo limits;
  CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&limits) >= 0);
  say("shmmin %lu shmmni %lu shmseg %lu shmmax %lu shmall %lu\n", limits.shmmin, limits.shmmni, limits.shmseg, limits.shmmax, limits.shmall);
  struct shm_info use;
  memset(p, 1, 2 * PAGE);
  int highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&use);
  CHECK(highest >= 0 && use.used_ids >= 1 && use.shm_tot >= 2 && use.shm_rss >= 2);
  SHOW(shmctl(0, SHM_INFO, NULL));
  SHOW(shmctl(0, IPC_INFO, (void *)8));
  int found = 0;
  for (int i = 0; i <= highest; i++)
    if (shmctl(i, SHM_STAT, &ds) == id) found++;
  say("found %d\n", found);
  SHOW(shmctl(32000, SHM_STAT, &ds));
  CHECK(shmctl(id, 15 /* SHM_STAT_ANY */, &ds) == id);
  say("shmmni %s", get_file("/proc/sys/kernel/shmmni"));
  say("shmmax %s", get_file("/proc/sys/kernel/shmmax"));
  say("shmall %s", get_file("/proc/sys/kernel/shmall"));
  const char *text = get_file("/proc/sysvipc/shm");
  say("%.*s\n", (int)strcspn(text, "\n"), text);
  for (const char *line = text; (line = strchr(line, '\n')) != NULL && line[1] != 0;) {
    unsigned long size, rss, swap, nattch, atime, dtime, ctime_;
    int key_, shmid, mode, cpid, lpid, uid, gid, cuid, cgid;
    line++;
    int n = sscanf(line, "%d %d %o %lu %d %d %lu %d %d %d %d %lu %lu %lu %lu %lu", &key_, &shmid, &mode, &size, &cpid, &lpid, &nattch, &uid, &gid,
                   &cuid, &cgid, &atime, &dtime, &ctime_, &rss, &swap);
    if (n == 16 && shmid == id)
      say("line of %d: mode %o size %lu own %d nattch %lu rss %lu swap %lu\n", (int)strcspn(line, "\n"), mode, size, cpid == getpid(), nattch, rss, swap);
  }
  char maps[64];
  snprintf(maps, sizeof maps, "/SYSV00000000 (deleted)");
  CHECK(strstr(get_file("/proc/self/maps"), maps) != NULL);
  shmdt(p);
  shmctl(id, IPC_RMID, NULL);
}

static void strangers(void) {
  SECTION("permissions");
  if (getuid() != 0) {
    say("not the superuser\n");
    return;
  }
  int none = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0));
  int open = (int)MUST(shmget(key, PAGE, IPC_CREAT | 0604));
  int full = (int)MUST(shmget(IPC_PRIVATE, PAGE, 0777));
  SHOW_ATTACH(none, NULL, 0);
  CHILD_BEGIN
  become_ordinary();
  SHOW_ATTACH(none, NULL, 0);
  SHOW_ATTACH(none, NULL, SHM_RDONLY);
  SHOW_ATTACH(open, NULL, 0);
  SHOW_ATTACH(open, NULL, SHM_RDONLY);
  SHOW_ATTACH(open, NULL, SHM_RDONLY | SHM_EXEC);
  SHOW_ATTACH(full, NULL, SHM_EXEC);
  SHOW_OK(shmget(key, PAGE, 0));
  SHOW_OK(shmget(key, PAGE, 04));
  SHOW_OK(shmget(key, PAGE, 0400));
  SHOW_OK(shmget(key, PAGE, 0200));
  SHOW_OK(shmget(key, PAGE, IPC_CREAT | 0604));
  SHOW(shmctl(none, IPC_STAT, &ds));
  SHOW(shmctl(open, IPC_STAT, &ds));
  SHOW(shmctl(open, IPC_SET, &ds));
  SHOW(shmctl(open, IPC_RMID, NULL));
  SHOW(shmctl(open, SHM_LOCK, NULL));
  SHOW(shmctl(open, SHM_UNLOCK, NULL));
  SHOW(shmctl(none, SHM_STAT, &ds));
  CHECK(shmctl(none, 15, &ds) == none);
  int own = shmget(IPC_PRIVATE, PAGE, 0);
  SHOW_ATTACH(own, NULL, 0);
  SHOW(shmctl(own, IPC_STAT, &ds));
  SHOW(shmctl(own, SHM_UNLOCK, NULL));
  struct rlimit nothing = {0, 0};
  setrlimit(RLIMIT_MEMLOCK, &nothing);
  SHOW(shmctl(own, SHM_LOCK, NULL));
  SHOW(shmctl(own, IPC_RMID, NULL));
  SHOW(shmget(IPC_PRIVATE, 1 << 21, 0600 | SHM_HUGETLB));
  CHILD_END("stranger");
  MUST(shmctl(open, IPC_STAT, &ds));
  ds.shm_perm.uid = 65534;
  SHOW(shmctl(open, IPC_SET, &ds));
  CHILD_BEGIN
  become_ordinary();
  SHOW_ATTACH(open, NULL, 0);
  SHOW(shmctl(open, IPC_RMID, NULL));
  CHILD_END("new owner");
  shmctl(none, IPC_RMID, NULL);
  shmctl(full, IPC_RMID, NULL);
}

int main(int count, char **arguments) {
  begin();
  if (count > 1) {
    say("after exec: %s\n", strstr(state(atoi(arguments[1])), "nattch"));
    return 0;
  }
  getting();
  attaching();
  two_pieces();
  onto_itself();
  families(arguments[0]);
  control();
  strangers();
  return 0;
}
