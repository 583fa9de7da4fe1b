/* memfd_create(2) and seals. */
#include "guest.h"
#include <sys/mman.h>

int main(void) {
  begin();
  char text[64];
  struct stat st;
  ssize_t length;

  SECTION("creation");
  int fd = (int)MUST(memfd_create("name", MFD_CLOEXEC));
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
  MUST(fstat(fd, &st));
  say("mode %o size %ld nlink %ld\n", st.st_mode, (long)st.st_size, (long)st.st_nlink);
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  length = MUST(readlink(link, text, sizeof text));
  say("%.*s\n", (int)length, text);
  SHOW(fcntl(fd, F_GET_SEALS));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  SHOW(memfd_create("name", 0x4000));
  SHOW(memfd_create("pages of 64 KiB", MFD_HUGETLB | 16u << 26));
  memset(text, 'n', sizeof text);
  SHOW(memfd_create((char *)8, 0));
  char longest[300];
  memset(longest, 'n', sizeof longest);
  longest[249] = 0;
  CHECK(memfd_create(longest, 0) >= 0);
  longest[249] = 'n';
  longest[250] = 0;
  SHOW(memfd_create(longest, 0));
  close(fd);

  SECTION("seals");
  fd = (int)MUST(memfd_create("sealed", MFD_ALLOW_SEALING));
  SHOW(fcntl(fd, F_GET_SEALS));
  SHOW(write(fd, "0123456789", 10));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  SHOW(ftruncate(fd, 5));
  SHOW(ftruncate(fd, 20));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  SHOW(ftruncate(fd, 30));
  SHOW(pwrite(fd, "abc", 3, 18));
  SHOW(pwrite(fd, "abc", 3, 17));
  SHOW(fallocate(fd, 0, 0, 100));
  SHOW(fcntl(fd, F_ADD_SEALS, 0x1000));
  char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(shared != MAP_FAILED);
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  munmap(shared, 4096);
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  SHOW(write(fd, "x", 1));
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) != MAP_FAILED);
  SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  SHOW(fcntl(fd, F_GET_SEALS));

  SECTION("opened again");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int reader = (int)MUST(open(link, O_RDONLY));
  SHOW(read(reader, text, 5));
  SHOW(fcntl(reader, F_ADD_SEALS, F_SEAL_GROW));
  SHOW(fcntl(reader, F_GET_SEALS));

  SECTION("not a memfd");
  int pipes[2];
  MUST(pipe(pipes));
  SHOW(fcntl(pipes[0], F_GET_SEALS));
  SHOW(fcntl(pipes[1], F_ADD_SEALS, F_SEAL_WRITE));
  return 0;
}
