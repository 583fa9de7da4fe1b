/*
 * Descriptors: dup(2), dup2(2), dup3(2), fcntl(2) commands, FIONREAD and FIOCLEX of ioctl(2).
 */
#include "guest.h"
#include <sys/ioctl.h>

static void duplicating(void) {
  SECTION("dup");
  int fd = (int)SHOW(open("file", O_RDWR | O_CLOEXEC));
  SHOW(dup(fd));
  SHOW(fcntl(4, F_GETFD));
  SHOW(dup(99));
  SHOW(dup2(fd, 10));
  SHOW(dup2(fd, fd));
  SHOW(fcntl(fd, F_GETFD));
  SHOW(dup2(99, 99));
  SHOW(dup2(99, 10));
  SHOW(fcntl(10, F_GETFD));
  SHOW(dup2(fd, -1));
  SHOW(dup2(fd, 1 << 30));
  SHOW(dup3(fd, 11, O_CLOEXEC));
  SHOW(fcntl(11, F_GETFD));
  SHOW(dup3(fd, fd, 0));
  SHOW(dup3(fd, 12, O_APPEND));
  SHOW(fcntl(fd, F_DUPFD, 10));
  SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 5));
  SHOW(fcntl(5, F_GETFD));
  SHOW(fcntl(fd, F_DUPFD, -1));
  SHOW(fcntl(fd, F_DUPFD, 1 << 30));
  SHOW(fcntl(99, F_DUPFD, 0));
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void flags(void) {
  SECTION("flags");
  int fd = (int)MUST(open("file", O_RDWR));
  int copy = dup(fd);
  SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC));
  SHOW(fcntl(fd, F_GETFD));
  SHOW(fcntl(copy, F_GETFD));
  SHOW(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
  SHOW((fcntl(copy, F_GETFL) & (O_APPEND | O_NONBLOCK)) == (O_APPEND | O_NONBLOCK));
  SHOW(fcntl(fd, F_SETFL, O_WRONLY | O_CREAT | O_EXCL | O_TRUNC));
  SHOW((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
  SHOW(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK));
  SHOW(fcntl(99, F_GETFL));
  SHOW(fcntl(fd, 9999));
  SHOW(fcntl(fd, F_GETFL, 0) == (O_RDWR | 0100000) || fcntl(fd, F_GETFL) == O_RDWR);
  SHOW(ioctl(fd, FIONBIO, &(int){1}));
  SHOW(fcntl(fd, F_GETFL) & O_NONBLOCK);
  SHOW(ioctl(fd, FIONBIO, &(int){0}));
  SHOW(ioctl(copy, FIOCLEX));
  SHOW(fcntl(copy, F_GETFD));
  SHOW(ioctl(copy, FIONCLEX));
  SHOW(fcntl(copy, F_GETFD));
  int available = -1;
  MUST(write(fd, "0123456789", 10));
  MUST(lseek(fd, 4, SEEK_SET));
  SHOW(ioctl(fd, FIONREAD, &available));
  SHOW(available);
  SHOW(ioctl(fd, 0x5401 /* TCGETS */, &(char[64]){0}));
  SHOW(ioctl(fd, 0xdeadbeef));
  SHOW(ioctl(99, FIONREAD, &available));
  SHOW(isatty(fd));
  close(fd), close(copy);
}

static void pipes(void) {
  SECTION("pipes");
  int ends[2], available = -1;
  MUST(pipe(ends));
  SHOW(fcntl(ends[0], F_GETFL) & O_ACCMODE);
  SHOW(fcntl(ends[1], F_GETFL) & O_ACCMODE);
  SHOW(fcntl(ends[0], F_GETPIPE_SZ));
  SHOW(fcntl(ends[0], F_SETPIPE_SZ, 5000));
  SHOW(fcntl(ends[1], F_GETPIPE_SZ));
  SHOW(fcntl(ends[1], F_SETPIPE_SZ, 1));
  SHOW(fcntl(ends[1], F_SETPIPE_SZ, 100000));
  MUST(fcntl(ends[1], F_SETPIPE_SZ, 65536));
  static char block[20000];
  MUST(write(ends[1], block, sizeof block));
  SHOW(fcntl(ends[1], F_SETPIPE_SZ, 4096));
  SHOW(ioctl(ends[0], FIONREAD, &available));
  SHOW(available);
  int fd = (int)MUST(open("file", O_RDONLY));
  SHOW(fcntl(fd, F_GETPIPE_SZ));
  close(ends[0]), close(ends[1]), close(fd);
}

static void owners(void) {
  SECTION("owner");
  int ends[2];
  MUST(pipe(ends));
  SHOW(fcntl(ends[0], F_GETOWN));
  SHOW(fcntl(ends[0], F_SETOWN, getpid()));
  CHECK(fcntl(ends[0], F_GETOWN) == getpid());
  SHOW(fcntl(ends[0], F_GETSIG));
  SHOW(fcntl(ends[0], F_SETSIG, SIGUSR1));
  SHOW(fcntl(ends[0], F_GETSIG));
  SHOW(fcntl(ends[0], F_SETSIG, 1000));
  close(ends[0]), close(ends[1]);
}

/* Closing a descriptor in one process leaves the other's alone; O_CLOEXEC closes at exec only. */
static void inheritance(void) {
  SECTION("inheritance");
  int fd = (int)MUST(open("file", O_RDONLY));
  CHILD_BEGIN
  SHOW(close(fd));
  SHOW(fcntl(fd, F_GETFD));
  CHILD_END("child");
  SHOW(fcntl(fd, F_GETFD));
  close(fd);
}

#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY (1024 + 4)
#endif

static void created(void) {
  SECTION("who made the file");
  int fd = (int)MUST(open("fresh", O_RDWR | O_CREAT, 0600));
  SHOW(fcntl(fd, F_CREATED_QUERY, 0));
  int copy = dup(fd);
  SHOW(fcntl(copy, F_CREATED_QUERY, 0));
  int again = (int)MUST(open("fresh", O_RDWR | O_CREAT, 0600));
  SHOW(fcntl(again, F_CREATED_QUERY, 0));
  close(fd), close(copy), close(again);
}

int main(void) {
  begin();
  scratch();
  put_file("file", "content", 0644);
  duplicating();
  flags();
  pipes();
  owners();
  created();
  inheritance();
  return 0;
}
