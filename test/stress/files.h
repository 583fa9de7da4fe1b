/* Operations on files, names and descriptors. Names come from a table and stay below the scratch directory. */
#ifndef FILES_H
#define FILES_H

#include "actor.h"
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static char data[1 << 16];

static const char *name_of(int n) {
  static char longest[260];
  static const char *const names[] = {"f0", "f1", "f2", "f3", "d0", "d1", "d2", "d0/g0", "d0/g1", "d1/g0", "d0/e", "d0/e/h",
                                      "l0", "l1", "none", "f0/x", "", "s0", "s1", "d1/../f1", "./f2", "d0/", "f1/", "l0/g0"};
  n %= (int)COUNT(names) + 2;
  if (n < (int)COUNT(names)) return names[n];
  memset(longest, 'n', sizeof longest);
  longest[n == (int)COUNT(names) ? 255 : 256] = 0;
  return longest;
}

static int open_flags(int n) {
  static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_TRUNC, O_RDWR | O_CREAT | O_EXCL,
                              O_WRONLY | O_APPEND | O_CREAT, O_RDWR | O_APPEND, O_RDONLY | O_DIRECTORY, O_PATH, O_RDONLY | O_NOFOLLOW,
                              O_RDWR | O_TRUNC, O_PATH | O_NOFOLLOW, O_RDONLY | O_CLOEXEC, O_RDWR | O_CREAT | O_CLOEXEC, O_WRONLY | O_CREAT | O_NOFOLLOW};
  return flags[n % (int)COUNT(flags)] | O_NONBLOCK * (n % 32 >= 16);
}

/* Whether an operation on `fd` would sleep for ever; then it is left out. */
static int would_block(int fd, short events) {
  struct stat st;
  if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) return 0;
  int flags = fcntl(fd, F_GETFL), waiting = 0;
  if (events == POLLOUT && ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 8000) return 1;
  struct pollfd one = {fd, events, 0};
  if (flags == -1 || flags & (O_NONBLOCK | O_PATH)) return 0;
  if (poll(&one, 1, 0) == 0) {
    out(" blocks");
    return 1;
  }
  return 0;
}

/* Short on what has a limited buffer. */
static size_t length_for(int fd, int wanted) {
  struct stat st;
  size_t most = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? sizeof data : 500;
  return (size_t)wanted % (most + 1);
}

/* What a signalfd or inotify gives holds numbers of processes: only its length is told. */
static void got_from(int fd, ssize_t n) {
  struct stat st;
  if (n == 8 || (fstat(fd, &st) == 0 && st.st_mode & S_IFMT)) {
    if (result(n) > 0) out(" %08x", hash(data, (size_t)n));
  } else {
    result(n);
  }
}
static void got(ssize_t n) {
  if (result(n) > 0) out(" %08x", hash(data, (size_t)n));
}

static void do_open(int *a) { result(open(name_of(a[0]), open_flags(a[1]), a[2] & 0777)); }
static void do_openat(int *a) { result(openat(user_fd(a[0]), name_of(a[1]), open_flags(a[2]), a[3] & 0777)); }
static void do_close(int *a) { result(close(user_fd(a[0]))); }
static void do_read(int *a) {
  int fd = user_fd(a[0]);
  if (!would_block(fd, POLLIN)) got_from(fd, read(fd, data, length_for(fd, a[1])));
}
static void do_write(int *a) {
  int fd = user_fd(a[0]);
  pattern(data, sizeof data, (unsigned)a[2]);
  if (!would_block(fd, POLLOUT)) result(write(fd, data, length_for(fd, a[1])));
}
static void do_pread(int *a) { got(pread(user_fd(a[0]), data, (size_t)(a[1] % 65536), a[2] % 200000)); }
static void do_pwrite(int *a) {
  pattern(data, sizeof data, (unsigned)a[3]);
  result(pwrite(user_fd(a[0]), data, (size_t)(a[1] % 65536), a[2] % 200000));
}
static void vectors(struct iovec *vector, int *a) {
  size_t at = 0;
  for (int i = 0; i < 3; i++) {
    vector[i] = (struct iovec){data + at, (size_t)(a[i] % 300)};
    at += vector[i].iov_len;
  }
}
static void do_readv(int *a) {
  struct iovec vector[3];
  vectors(vector, a + 1);
  memset(data, 0, 1000);
  if (!would_block(user_fd(a[0]), POLLIN)) got_from(user_fd(a[0]), readv(user_fd(a[0]), vector, 3));
}
static void do_writev(int *a) {
  struct iovec vector[3];
  vectors(vector, a + 1);
  pattern(data, 1000, (unsigned)a[4]);
  if (!would_block(user_fd(a[0]), POLLOUT)) result(writev(user_fd(a[0]), vector, 3));
}
static void do_lseek(int *a) { result(lseek(user_fd(a[0]), a[1] % 100000 - (a[2] % 3 ? 20000 : 0), a[2] % 3)); }
static void do_ftruncate(int *a) { result(ftruncate(user_fd(a[0]), a[1] % 200000)); }
static void do_truncate(int *a) { result(truncate(name_of(a[0]), a[1] % 200000)); }

static void show_stat(int failed, const struct stat *st) {
  if (result(failed) == -1) return;
  out(" %o %d", st->st_mode, (int)st->st_nlink * !S_ISDIR(st->st_mode));
  if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode)) out(" %ld", (long)st->st_size);
}
static void do_stat(int *a) {
  struct stat st;
  show_stat(stat(name_of(a[0]), &st), &st);
}
static void do_lstat(int *a) {
  struct stat st;
  show_stat(lstat(name_of(a[0]), &st), &st);
}
static void do_fstat(int *a) {
  struct stat st;
  show_stat(fstat(user_fd(a[0]), &st), &st);
}
static void do_access(int *a) { result(access(name_of(a[0]), a[1] % 8)); }
static void do_rename(int *a) { result(rename(name_of(a[0]), name_of(a[1]))); }
static void do_rename2(int *a) { result(syscall(SYS_renameat2, AT_FDCWD, name_of(a[0]), AT_FDCWD, name_of(a[1]), a[2] % 4)); }
static void do_link(int *a) { result(link(name_of(a[0]), name_of(a[1]))); }
static void do_symlink(int *a) { result(symlink(name_of(a[0]), name_of(a[1]))); }
static void do_unlink(int *a) { result(unlink(name_of(a[0]))); }
static void do_mkdir(int *a) { result(mkdir(name_of(a[0]), 0700 | (a[1] & 077))); }
static void do_rmdir(int *a) { result(rmdir(name_of(a[0]))); }
static void do_readlink(int *a) {
  char text[300] = "";
  ssize_t n = readlink(name_of(a[0]), text, (size_t)(a[1] % 299 + 1));
  if (result(n) > 0) out(" %08x", hash(text, (size_t)n));
}
static void do_chmod(int *a) { result(chmod(name_of(a[0]), 0600 | (a[1] & 0177))); }
static void do_fchmod(int *a) { result(fchmod(user_fd(a[0]), 0600 | (a[1] & 0177))); }
static void do_umask(int *a) { out(" %o", umask(a[0] & 077)); }
static void do_chdir(int *a) { result(chdir(name_of(a[0]))); }
static void do_home(int *a) {
  (void)a;
  result(chdir(shared->root));
}
static void do_cwd(int *a) {
  (void)a;
  char path[PATH_MAX];
  ssize_t n = syscall(SYS_getcwd, path, sizeof path);
  size_t root = strlen(shared->root);
  if (n > 0 && strncmp(path, shared->root, root) == 0) out(" /%s", path + root);
  else result(n > 0 ? 0 : -1);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void do_list(int *a) {
  DIR *directory = opendir(a[0] % 3 ? name_of(a[0]) : ".");
  char *names[64];
  int count = 0;
  if (!directory) {
    result(-1);
    return;
  }
  for (struct dirent *entry; (entry = readdir(directory)) && count < 64;)
    if (entry->d_name[0] != '.') names[count++] = strdup(entry->d_name);
  closedir(directory);
  qsort(names, (size_t)count, sizeof names[0], by_name);
  for (int i = 0; i < count; i++) out(" %.12s", names[i]), free(names[i]);
}

static void do_dup(int *a) { result(dup(user_fd(a[0]))); }
static void do_dup2(int *a) { result(dup2(user_fd(a[0]), user_fd(a[1]))); }
static void do_dup3(int *a) { result(dup3(user_fd(a[0]), user_fd(a[1]), a[2] % 2 ? O_CLOEXEC : 0)); }
static void do_dupfd(int *a) { result(fcntl(user_fd(a[0]), a[2] % 2 ? F_DUPFD_CLOEXEC : F_DUPFD, user_fd(a[1]))); }
static void do_getfl(int *a) {
  int flags = fcntl(user_fd(a[0]), F_GETFL);
  if (flags == -1) result(-1);
  else out(" %#x", flags);
}
static void do_setfl(int *a) { result(fcntl(user_fd(a[0]), F_SETFL, (a[1] % 2 ? O_APPEND : 0) | (a[1] % 4 >= 2 ? O_NONBLOCK : 0))); }
static void do_getfd(int *a) { result(fcntl(user_fd(a[0]), F_GETFD)); }
static void do_setfd(int *a) { result(fcntl(user_fd(a[0]), F_SETFD, a[1] % 2)); }

static int is_regular(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}
/* Locks on regular files only: on Linux all descriptors without a file share one inode, and so their locks. */
static struct flock lock_of(int *a) {
  static const short kinds[] = {F_RDLCK, F_WRLCK, F_UNLCK};
  return (struct flock){.l_type = kinds[a[0] % 3], .l_whence = SEEK_SET, .l_start = a[1] % 50 * 10, .l_len = a[2] % 20 * 10};
}
static void do_lock(int *a) {
  if (!is_regular(user_fd(a[0]))) return;
  struct flock lock = lock_of(a + 1);
  result(fcntl(user_fd(a[0]), F_SETLK, &lock));
}
static void do_ofd_lock(int *a) {
  if (!is_regular(user_fd(a[0]))) return;
  struct flock lock = lock_of(a + 1);
  result(fcntl(user_fd(a[0]), F_OFD_SETLK, &lock));
}
static void do_test_lock(int *a) {
  if (!is_regular(user_fd(a[0]))) return;
  struct flock lock = lock_of(a + 1);
  if (result(fcntl(user_fd(a[0]), F_GETLK, &lock)) == 0) {
    out(" %d", lock.l_type);
    if (lock.l_type != F_UNLCK) out(" %ld %ld %s", (long)lock.l_start, (long)lock.l_len, who(lock.l_pid));
  }
}
/* Sleeps until it has the lock. */
static void do_lock_wait(int *a) {
  if (!is_regular(user_fd(a[0]))) return;
  struct flock lock = lock_of(a + 1);
  long value;
  while ((value = fcntl(user_fd(a[0]), F_SETLKW, &lock)) == -1 && errno == EINTR) continue;
  result(value);
}
static void do_flock(int *a) {
  if (!is_regular(user_fd(a[0]))) return;
  static const int kinds[] = {LOCK_SH, LOCK_EX, LOCK_UN};
  result(flock(user_fd(a[0]), kinds[a[1] % 3] | LOCK_NB));
}
static void do_fallocate(int *a) {
  static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE};
  result(fallocate(user_fd(a[0]), modes[a[1] % 3], a[2] % 40000, a[3] % 40000));
}

static void do_copy_range(int *a) {
  if (is_regular(user_fd(a[0])) && is_regular(user_fd(a[1]))) result(copy_file_range(user_fd(a[0]), NULL, user_fd(a[1]), NULL, (size_t)(a[2] % 60000), 0));
}
static void do_sendfile(int *a) {
  off_t offset = a[3] % 10000;
  if (!is_regular(user_fd(a[0])) || !is_regular(user_fd(a[1]))) return;
  if (result(sendfile(user_fd(a[1]), user_fd(a[0]), a[3] % 2 ? &offset : NULL, (size_t)(a[2] % 60000))) >= 0) out(" %ld", (long)offset);
}
/* From one file through a pipe of its own to another. */
static void do_splice(int *a) {
  int ends[2];
  if (!is_regular(user_fd(a[0])) || !is_regular(user_fd(a[1])) || pipe(ends) != 0) return;
  off_t from = a[3] % 5000;
  ssize_t n = splice(user_fd(a[0]), &from, ends[1], NULL, (size_t)(a[2] % 4000), SPLICE_F_NONBLOCK);
  result(n);
  if (n > 0) result(splice(ends[0], NULL, user_fd(a[1]), NULL, (size_t)n, 0));
  close(ends[0]), close(ends[1]);
}
static void do_fsync(int *a) { result(a[1] % 2 ? fdatasync(user_fd(a[0])) : fsync(user_fd(a[0]))); }
static void do_utimes(int *a) {
  struct timespec times[2] = {{a[1], a[2] % 1000 * 1000000L}, {a[2], a[3] % 4 ? 0 : UTIME_OMIT}};
  struct stat st;
  if (result(utimensat(AT_FDCWD, name_of(a[0]), times, a[3] % 2 ? AT_SYMLINK_NOFOLLOW : 0)) == 0 && stat(name_of(a[0]), &st) == 0)
    out(" %d", st.st_mtim.tv_sec == a[2] || a[3] % 4 == 0);
}
static void do_statx(int *a) {
  struct statx st;
  memset(&st, 0, sizeof st);
  if (result(statx(AT_FDCWD, name_of(a[0]), a[1] % 2 ? AT_SYMLINK_NOFOLLOW : 0, STATX_BASIC_STATS, &st)) == 0)
    out(" %o %d %ld", st.stx_mode, (st.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS, S_ISREG(st.stx_mode) ? (long)st.stx_size : 0);
}
static void do_memfd(int *a) { result(memfd_create("m", (a[0] % 2 ? MFD_ALLOW_SEALING : 0) | (a[0] % 4 >= 2 ? MFD_CLOEXEC : 0))); }
static void do_seal(int *a) {
  /* Other files take no seals; how they refuse is the file system's choice. */
  char path[32], target[64] = "";
  snprintf(path, sizeof path, "/proc/self/fd/%d", user_fd(a[0]));
  if (readlink(path, target, sizeof target - 1) < 0 || strncmp(target, "/memfd:", 7) != 0) return;
  result(fcntl(user_fd(a[0]), F_ADD_SEALS, a[1] % 32 & ~F_SEAL_SEAL));
  result(fcntl(user_fd(a[0]), F_GET_SEALS));
}
static void do_xattr(int *a) {
  char value[64], name[16];
  snprintf(name, sizeof name, "user.%d", a[2] % 3);
  pattern(value, sizeof value, (unsigned)a[3]);
  if (a[1] % 3 == 0) result(setxattr(name_of(a[0]), name, value, (size_t)(a[3] % 64), 0));
  else if (a[1] % 3 == 1) result(removexattr(name_of(a[0]), name));
  else {
    ssize_t n = getxattr(name_of(a[0]), name, value, sizeof value);
    if (result(n) > 0) out(" %08x", hash(value, (size_t)n));
  }
}
static void do_inotify(int *a) {
  (void)a;
  result(inotify_init1(IN_NONBLOCK));
}
static void do_watch(int *a) {
  result(inotify_add_watch(user_fd(a[0]), a[1] % 3 ? name_of(a[1]) : ".", IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVE | IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF));
}
static void do_notices(int *a) {
  static _Alignas(8) char buffer[4096];
  ssize_t n = would_block(user_fd(a[0]), POLLIN) || is_regular(user_fd(a[0])) ? 0 : read(user_fd(a[0]), buffer, sizeof buffer);
  result(n);
  for (char *at = buffer; n >= 16 && at + sizeof(struct inotify_event) <= buffer + n;) {
    struct inotify_event *event = (struct inotify_event *)at;
    if (event->wd < 1 || event->wd > 99 || event->len > 256) return;
    out(" %d:%x:%.12s", event->wd, event->mask, event->len ? event->name : "");
    at += sizeof *event + event->len;
  }
}
/* The descriptors that are open. */
static void do_fds(int *a) {
  (void)a;
  for (int fd = 3; fd < 3 + 2 * USER_FDS; fd++)
    if (fcntl(fd, F_GETFD) != -1) out(" %d", fd);
}

#endif
