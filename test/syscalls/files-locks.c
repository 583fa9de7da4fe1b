/*
 * Locks: flock(2), POSIX record locks and open-file-description locks of fcntl(2).
 */
#include "guest.h"
#include <sys/file.h>

static struct flock range(short type, off_t start, off_t length) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return lock;
}

static int set(int fd, int command, short type, off_t start, off_t length) {
  struct flock lock = range(type, start, length);
  return fcntl(fd, command, &lock);
}

static void query(int fd, int command, short type, off_t start, off_t length, pid_t holder) {
  struct flock lock = range(type, start, length);
  if (fcntl(fd, command, &lock) == -1) {
    say("query %ld+%ld: %s\n", (long)start, (long)length, errno_name(errno));
    return;
  }
  const char *kind = lock.l_type == F_UNLCK ? "none" : lock.l_type == F_RDLCK ? "read" : "write";
  if (lock.l_type == F_UNLCK) say("query %ld+%ld: none\n", (long)start, (long)length);
  else
    say("query %ld+%ld: %s lock %ld+%ld, holder %s\n", (long)start, (long)length, kind, (long)lock.l_start,
        (long)lock.l_len, lock.l_pid == holder ? "known" : lock.l_pid == -1 ? "-1" : "other");
}

static void whole_file(void) {
  SECTION("flock");
  int one = (int)MUST(open("file", O_RDWR)), two = (int)MUST(open("file", O_RDONLY));
  SHOW(flock(one, LOCK_EX));
  SHOW(flock(two, LOCK_EX | LOCK_NB));
  SHOW(flock(two, LOCK_SH | LOCK_NB));
  SHOW(flock(one, LOCK_SH));
  SHOW(flock(two, LOCK_SH | LOCK_NB));
  SHOW(flock(one, LOCK_EX | LOCK_NB));
  SHOW(flock(two, LOCK_UN));
  SHOW(flock(one, LOCK_EX | LOCK_NB));
  int copy = dup(one);
  SHOW(flock(copy, LOCK_EX | LOCK_NB));
  close(one);
  SHOW(flock(two, LOCK_EX | LOCK_NB));
  close(copy);
  SHOW(flock(two, LOCK_EX | LOCK_NB));
  SHOW(flock(99, LOCK_EX));
  SHOW(flock(two, 16));
  CHILD_BEGIN
  SHOW(flock(two, LOCK_EX | LOCK_NB));
  int own = (int)MUST(open("file", O_RDWR));
  SHOW(flock(own, LOCK_EX | LOCK_NB));
  CHILD_END("child shares the parent's lock");
  /* A waiter gets the lock when the holder lets go. */
  pid_t waiter = (pid_t)MUST(fork());
  if (waiter == 0) {
    int own = (int)MUST(open("file", O_RDWR));
    close(two);
    MUST(flock(own, LOCK_EX));
    say("waiter has the lock\n");
    _exit(0);
  }
  sleep_ms(30);
  say("releasing\n");
  MUST(flock(two, LOCK_UN));
  reap("waiter", waiter);
  close(two);
}

static void posix(void) {
  SECTION("POSIX locks");
  pid_t parent = getpid();
  int fd = (int)MUST(open("file", O_RDWR)), reader = (int)MUST(open("file", O_RDONLY));
  SHOW(set(fd, F_SETLK, F_WRLCK, 0, 10));
  SHOW(set(fd, F_SETLK, F_RDLCK, 20, 10));
  query(fd, F_GETLK, F_WRLCK, 0, 0, parent);
  SHOW(set(reader, F_SETLK, F_WRLCK, 50, 1));
  SHOW(set(99, F_SETLK, F_WRLCK, 0, 1));
  SHOW(set(fd, F_SETLK, 99, 0, 1));
  SHOW(set(fd, F_SETLK, F_WRLCK, -5, 1));
  SHOW(fcntl(fd, F_SETLK, (void *)8));
  CHILD_BEGIN
  query(fd, F_GETLK, F_WRLCK, 0, 0, parent);
  query(fd, F_GETLK, F_RDLCK, 5, 1, parent);
  query(fd, F_GETLK, F_RDLCK, 10, 0, parent);
  query(fd, F_GETLK, F_WRLCK, 10, 15, parent);
  SHOW(set(fd, F_SETLK, F_WRLCK, 5, 10));
  SHOW(set(fd, F_SETLK, F_RDLCK, 25, 10));
  SHOW(set(fd, F_SETLK, F_WRLCK, 25, 10));
  SHOW(set(fd, F_SETLK, F_WRLCK, 10, 10));
  CHILD_END("child");
  /* Unlocking the middle splits; closing any descriptor of the file drops all locks of the process. */
  SHOW(set(fd, F_SETLK, F_UNLCK, 3, 4));
  CHILD_BEGIN
  query(fd, F_GETLK, F_WRLCK, 0, 100, parent);
  query(fd, F_GETLK, F_WRLCK, 3, 4, parent);
  query(fd, F_GETLK, F_WRLCK, 3, 10, parent);
  CHILD_END("child after the split");
  close(reader);
  CHILD_BEGIN
  query(fd, F_GETLK, F_WRLCK, 0, 100, parent);
  CHILD_END("child after a close");

  /* F_SETLKW waits, a signal interrupts it, and a deadlock is refused. */
  int ready[2];
  MUST(pipe(ready));
  MUST(set(fd, F_SETLK, F_WRLCK, 0, 1));
  pid_t waiter = (pid_t)MUST(fork());
  if (waiter == 0) {
    MUST(set(fd, F_SETLK, F_WRLCK, 1, 1));
    MUST(write(ready[1], "r", 1));
    SHOW(set(fd, F_SETLKW, F_WRLCK, 0, 1));
    _exit(0);
  }
  MUST(read(ready[0], &(char){0}, 1));
  sleep_ms(50);
  SHOW(set(fd, F_SETLKW, F_WRLCK, 1, 1));
  MUST(set(fd, F_SETLK, F_UNLCK, 0, 1));
  reap("waiter", waiter);
  SHOW(set(fd, F_SETLKW, F_WRLCK, 1, 1));
  close(fd), close(ready[0]), close(ready[1]);
}

static void description(void) {
  SECTION("OFD locks");
  int one = (int)MUST(open("file", O_RDWR)), two = (int)MUST(open("file", O_RDWR));
  SHOW(set(one, F_OFD_SETLK, F_WRLCK, 0, 10));
  SHOW(set(two, F_OFD_SETLK, F_WRLCK, 5, 10));
  SHOW(set(two, F_OFD_SETLK, F_WRLCK, 10, 10));
  query(two, F_OFD_GETLK, F_WRLCK, 0, 5, -1);
  SHOW(set(two, F_SETLK, F_WRLCK, 0, 5));
  close(dup(one));
  SHOW(set(two, F_OFD_SETLK, F_WRLCK, 5, 1));
  close(one);
  SHOW(set(two, F_OFD_SETLK, F_WRLCK, 5, 1));
  close(two);
}

int main(void) {
  begin();
  scratch();
  put_file("file", "0123456789", 0644);
  whole_file();
  posix();
  description();
  return 0;
}
