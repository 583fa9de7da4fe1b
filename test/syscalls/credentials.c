/*
 * Credentials: user and group ids, supplementary groups, capabilities, and what set*id changes. See credentials(7), capabilities(7).
 * What only root can do is left out for others: the comparison is with a run of the same user.
 */
#include "guest.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int root;

static void show_ids(const char *what) {
  uid_t r, e, s;
  gid_t rg, eg, sg;
  getresuid(&r, &e, &s), getresgid(&rg, &eg, &sg);
  say("%s: uid %d %d %d gid %d %d %d\n", what, r, e, s, rg, eg, sg);
}

static int capget_(uint32_t *effective, uint32_t *permitted, uint32_t *inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) == -1) return -1;
  *effective = data[0].effective, *permitted = data[0].permitted, *inheritable = data[0].inheritable;
  return 0;
}

static int capset_(uint32_t effective, uint32_t permitted, uint32_t inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {0, 0, 0}};
  return (int)syscall(SYS_capset, &header, data);
}

static const char *some(uint32_t set) { return set ? "some" : "none"; }

static void show_caps(const char *what) {
  uint32_t e = 0, p = 0, i = 0;
  MUST(capget_(&e, &p, &i));
  say("%s: effective %s permitted %s\n", what, some(e), some(p));
}

static void plain(void) {
  SECTION("ids agree");
  uid_t r, e, s;
  gid_t rg, eg, sg;
  SHOW(getresuid(&r, &e, &s));
  CHECK(r == getuid() && e == geteuid());
  SHOW(getresgid(&rg, &eg, &sg));
  CHECK(rg == getgid() && eg == getegid());
  SHOW(syscall(SYS_getresuid, (void *)8, &e, &s));
  gid_t groups[256];
  int n = getgroups(0, NULL);
  CHECK(n >= 0 && getgroups(256, groups) == n);
  SHOW(getgroups(-1, groups));
  CHECK(n == 0 || (getgroups(n - 1, groups) == (n == 1 ? n : -1)));
  CHECK(setfsuid(-1) == (int)geteuid());
  CHECK(setfsgid(-1) == (int)getegid());
  SHOW(setresuid(-1, -1, -1));
  SHOW(setreuid(getuid(), geteuid()));
  SHOW(setuid(getuid()));
}

static void ordinary(void) {
  SECTION("an ordinary user");
  CHILD_BEGIN
  become_ordinary();
  uid_t me = getuid();
  SHOW(setuid(0));
  SHOW(setgid(0));
  SHOW(setreuid(0, 0));
  SHOW(setresuid(-1, 0, -1));
  SHOW(setresgid(-1, 0, -1));
  SHOW(setgroups(0, NULL));
  SHOW(setuid(me));
  SHOW(setresuid(me, me, me));
  setfsuid(0);
  CHECK(setfsuid(-1) == (int)me);
  show_caps("capabilities");
  SHOW(capset_(1, 1, 0));
  SHOW(capset_(0, 0, 0));
  SHOW(prctl(PR_CAPBSET_DROP, CAP_KILL));
  SHOW(prctl(PR_CAPBSET_READ, 99));
  SHOW(chroot("."));
  SHOW(sethostname("x", 1));
  SHOW(setpriority(PRIO_PROCESS, 0, -5));
  SHOW(kill(1, 0) == -1 || me == 0);
  CHILD_END("child");
}

static void switching(void) {
  SECTION("root switches");
  if (!root) return;
  CHILD_BEGIN
  gid_t groups[3] = {10, 20, 30}, got[8];
  SHOW(setgroups(3, groups));
  SHOW(getgroups(8, got));
  say("groups %d %d %d\n", got[0], got[1], got[2]);
  SHOW(getgroups(2, got));
  SHOW(setresgid(100, 200, 300));
  SHOW(setresuid(1000, 2000, 3000));
  show_ids("after setresuid");
  show_caps("capabilities");
  SHOW(setuid(0));
  SHOW(setresuid(-1, 1000, -1));
  show_ids("effective from real");
  SHOW(setreuid(-1, 3000));
  show_ids("effective from saved");
  SHOW(seteuid(2000));
  SHOW(setuid(1000));
  show_ids("setuid");
  CHILD_END("all three differ");
  CHILD_BEGIN
  SHOW(seteuid(1000));
  show_caps("effective user is not root");
  put_file("/tmp/guest-credentials", "x", 0600);
  struct stat st;
  MUST(stat("/tmp/guest-credentials", &st));
  SHOW(st.st_uid);
  unlink("/tmp/guest-credentials");
  SHOW(seteuid(0));
  show_caps("effective user is root again");
  SHOW(setuid(1000));
  show_ids("setuid of root sets all three");
  show_caps("capabilities");
  SHOW(seteuid(0));
  CHILD_END("back and forth");
  CHILD_BEGIN
  SHOW(prctl(PR_SET_KEEPCAPS, 1));
  SHOW(setresuid(1000, 1000, 1000));
  show_caps("keepcaps");
  SHOW(prctl(PR_GET_KEEPCAPS));
  CHILD_END("PR_SET_KEEPCAPS");
  CHILD_BEGIN
  uint32_t e = 0, p = 0, i = 0;
  MUST(capget_(&e, &p, &i));
  SHOW(capset_(e & ~(1U << CAP_CHOWN), p, i));
  put_file("/tmp/guest-credentials", "x", 0600);
  SHOW(chown("/tmp/guest-credentials", 5, 5));
  SHOW(capset_(e, p, i));
  SHOW(chown("/tmp/guest-credentials", 5, 5));
  unlink("/tmp/guest-credentials");
  SHOW(capset_(0, 0, 0));
  SHOW(capset_(e, p, i));
  SHOW(setgroups(0, NULL));
  CHILD_END("capabilities one by one");
}

static void versions(void) {
  SECTION("capget and its errors");
  struct __user_cap_header_struct header = {0x12345678, 0};
  struct __user_cap_data_struct data[2];
  SHOW(syscall(SYS_capget, &header, data));
  CHECK(header.version == _LINUX_CAPABILITY_VERSION_3);
  header.pid = 1 << 22;
  SHOW(syscall(SYS_capget, &header, data));
  header.pid = -1;
  SHOW(syscall(SYS_capget, &header, data));
  SHOW(syscall(SYS_capget, NULL, data));
  header.pid = 0;
  SHOW(syscall(SYS_capget, &header, (void *)8));
}

int main(void) {
  begin();
  root = getuid() == 0;
  plain();
  ordinary();
  switching();
  versions();
  return 0;
}
