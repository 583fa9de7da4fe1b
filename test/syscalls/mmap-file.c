/*
 * File mappings: private and shared, coherence with read and write, offsets, truncation, permissions, memfd.
 */
#include "guest.h"
#include <sys/mman.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)

static void sharing(void) {
  char text[16] = "";
  SECTION("shared and coherent");
  int fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0644));
  MUST(ftruncate(fd, 3 * PAGE));
  char *one = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0), *two = mmap(NULL, PAGE, RW, MAP_SHARED, fd, PAGE);
  strcpy(one + PAGE, "by mapping");
  SHOW(strcmp(two, "by mapping"));
  SHOW(pread(fd, text, 10, PAGE));
  SHOW(strcmp(text, "by mapping"));
  SHOW(pwrite(fd, "BY WRITE  ", 10, PAGE));
  SHOW(memcmp(two, "BY WRITE  ", 10));
  int again = (int)MUST(open("file", O_RDONLY));
  char *three = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, again, 0);
  two[0] = 'z';
  SHOW(three[PAGE]);
  close(fd), close(again);
  two[1] = 'y';
  SHOW(three[PAGE + 1]);
  MUST(unlink("file"));
  two[2] = 'x';
  SHOW(three[PAGE + 2]);
  CHILD_BEGIN
  one[PAGE] = 'c';
  CHILD_END("child writes");
  SHOW(two[0]);
  SHOW(msync(one, 3 * PAGE, MS_SYNC));
  SHOW(msync(one, 3 * PAGE, MS_ASYNC));
}

/* A shared mapping that can never be written to shows what others write, wherever it is moved and whoever inherits it. */
static void readers(void) {
  SECTION("shared, for reading only");
  int fd = (int)MUST(open("file", O_RDWR | O_CREAT | O_TRUNC, 0644)), reader = (int)MUST(open("file", O_RDONLY));
  MUST(ftruncate(fd, 4 * PAGE));
  char *writable = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0), *view = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, reader, 0);
  SHOW(view[0]);
  writable[0] = 'm', writable[PAGE] = 'n';
  SHOW(view[0] == 'm' && view[PAGE] == 'n');
  SHOW(pwrite(fd, "w", 1, 0));
  SHOW(view[0] == 'w');
  SHOW(mprotect(view, PAGE, RW));
  SHOW(mprotect(view, PAGE, PROT_WRITE));
  SHOW(mprotect(view, PAGE, PROT_NONE));
  SHOW(mprotect(view, PAGE, PROT_READ));
  SHOW(madvise(view, PAGE, MADV_DONTNEED));
  SHOW(madvise(view, PAGE, MADV_REMOVE));
  SHOW(view[0] == 'w');
  char *second = mremap(view, 0, PAGE, MREMAP_MAYMOVE);
  SHOW(second == MAP_FAILED ? -1 : 0);
  char *longer = mremap(view, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
  SHOW(longer == MAP_FAILED ? -1 : 0);
  writable[0] = 'x', writable[3 * PAGE] = 'y';
  SHOW(second[0] == 'x' && longer[0] == 'x' && longer[3 * PAGE] == 'y');
  SHOW(mprotect(second, PAGE, RW));
  SHOW(mprotect(longer, 4 * PAGE, RW));
  CHILD_BEGIN
  writable[0] = 'c';
  SHOW(longer[0] == 'c');
  SHOW(mprotect(longer, PAGE, RW));
  CHILD_END("child");
  SHOW(longer[0] == 'c' && second[0] == 'c');
  close(fd), close(reader);
  int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
  MUST(ftruncate(sealed, PAGE));
  char *before = mmap(NULL, PAGE, RW, MAP_SHARED, sealed, 0);
  SHOW(fcntl(sealed, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  char *after = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, sealed, 0);
  before[0] = 's';
  SHOW(after[0] == 's');
  SHOW(mprotect(after, PAGE, RW));
  SHOW(mprotect(before, PAGE, PROT_READ));
  SHOW(mprotect(before, PAGE, RW));
  close(sealed);
}

static void private(void) {
  char byte = 0;
  SECTION("private");
  put_file("file", "original", 0644);
  int fd = (int)MUST(open("file", O_RDWR));
  char *copy = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), *view = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  copy[0] = 'O';
  SHOW(view[0]);
  MUST(pread(fd, &byte, 1, 0));
  SHOW(byte);
  MUST(pwrite(fd, "X", 1, 0));
  SHOW(copy[0]);
  MUST(madvise(copy, PAGE, MADV_DONTNEED));
  SHOW(copy[0]);
  SHOW(copy[8] + copy[PAGE - 1]);
  close(fd);
}

static void permissions(void) {
  SECTION("permissions");
  put_file("file", "content", 0644);
  int reader = (int)MUST(open("file", O_RDONLY)), writer = (int)MUST(open("file", O_WRONLY)), dir = (int)MUST(open(".", O_RDONLY));
  int path = (int)MUST(open("file", O_PATH)), both = (int)MUST(open("file", O_RDWR));
  SHOW(mmap(NULL, PAGE, RW, MAP_SHARED, reader, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, RW, MAP_PRIVATE, reader, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, writer, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, writer, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dir, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, both, 1) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, both, 1L << 62) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, 0, both, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_PRIVATE, both, 0) == MAP_FAILED ? -1 : 0);
  int p[2];
  MUST(pipe(p));
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, p[0], 0) == MAP_FAILED ? -1 : 0);
  char *view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0);
  SHOW(mprotect(view, PAGE, RW));
  char *copy = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, reader, 0);
  SHOW(mprotect(copy, PAGE, RW));
  copy[0] = 'x';
  int zero = (int)MUST(open("/dev/zero", O_RDWR));
  char *zeros = mmap(NULL, PAGE, RW, MAP_PRIVATE, zero, 0);
  SHOW(zeros[0]);
  zeros[0] = 1;
  char *common = mmap(NULL, PAGE, RW, MAP_SHARED, zero, 0);
  CHILD_BEGIN
  common[0] = 'c';
  CHILD_END("child");
  SHOW(common[0]);
  syscall(SYS_close_range, 3, ~0U, 0);
}

static void sizes(void) {
  SECTION("sizes");
  int fd = (int)MUST(open("sized", O_RDWR | O_CREAT | O_TRUNC, 0644));
  MUST(write(fd, "12345", 5));
  char *view = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
  SHOW(view[4]);
  view[10] = 'x';
  struct stat st;
  MUST(fstat(fd, &st));
  SHOW(st.st_size);
  MUST(ftruncate(fd, 2 * PAGE));
  SHOW(view[PAGE]);
  view[PAGE] = 'n';
  char byte;
  SHOW(pread(fd, &byte, 1, PAGE));
  SHOW(byte);
  /* A system call that meets a page past the end of a file fails as for any bad address. */
  MUST(ftruncate(fd, PAGE));
  int p[2];
  MUST(pipe(p));
  SHOW(write(p[1], view + PAGE, 1));
  SHOW(write(p[1], view + PAGE - 1, 1));
  SHOW(read(p[0], view + PAGE, 1));
  SHOW(pwrite(fd, "end", 3, 2 * PAGE - 3));
  SHOW(memcmp(view + 2 * PAGE - 3, "end", 3));
  /* read(2) into the mapping of the file itself. */
  SHOW(pread(fd, view, 3, 2 * PAGE - 3));
  SHOW(memcmp(view, "end", 3));
  close(fd);
}

static void memory_files(void) {
  SECTION("memfd_create");
  struct stat st;
  char name[64], target[64] = "";
  int fd = (int)SHOW(memfd_create("my-name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  SHOW(fcntl(fd, F_GETFD));
  MUST(fstat(fd, &st));
  say("mode %o size %ld nlink %ld\n", st.st_mode, (long)st.st_size, (long)st.st_nlink);
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  MUST(readlink(name, target, sizeof target - 1));
  say("%s\n", target);
  SHOW(write(fd, "content", 7));
  int again = (int)MUST(open(name, O_RDONLY));
  SHOW(read(again, target, 10));
  close(again);
  SHOW(fcntl(fd, F_GET_SEALS));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  SHOW(ftruncate(fd, 1));
  SHOW(ftruncate(fd, 100));
  SHOW(pwrite(fd, "x", 1, 7));
  SHOW(pwrite(fd, "x", 1, 0));
  char *view = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  MUST(munmap(view, PAGE));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  SHOW(pwrite(fd, "x", 1, 0));
  SHOW(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
  SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  SHOW(fcntl(fd, F_GET_SEALS));
  int plain = (int)MUST(memfd_create("", 0));
  SHOW(fcntl(plain, F_GET_SEALS));
  SHOW(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE));
  SHOW(memfd_create("x", 1 << 20));
  SHOW(syscall(SYS_memfd_create, (void *)8, 0));
  char longest[260];
  memset(longest, 'm', sizeof longest);
  longest[250] = 0;
  SHOW(memfd_create(longest, 0));
  longest[249] = 0;
  SHOW_OK(memfd_create(longest, 0));
  int file = (int)MUST(open("sized", O_RDWR));
  SHOW(fcntl(file, F_GET_SEALS));
  syscall(SYS_close_range, 3, ~0U, 0);
}

/* The file behind a mapping stays, whatever happens to its name and descriptors; maps tells "(deleted)". */
static void names(void) {
  SECTION("/proc/self/maps");
  put_file("named-file", "content", 0644);
  int fd = (int)MUST(open("named-file", O_RDONLY));
  MUST(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
  close(fd);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (fgets(line, sizeof line, maps)) {
    unsigned long from, to, offset;
    char bits[8];
    if (strstr(line, "/named-file") && sscanf(line, "%lx-%lx %4s %lx", &from, &to, bits, &offset) == 4)
      say("named-file: %lu bytes %s offset %lu%s\n", to - from, bits, offset, strstr(line, "(deleted)") ? " deleted" : "");
  }
  fclose(maps);
  MUST(unlink("named-file"));
  maps = fopen("/proc/self/maps", "r");
  while (fgets(line, sizeof line, maps))
    if (strstr(line, "/named-file")) say("after unlink:%s\n", strstr(line, "(deleted)") ? " deleted" : "");
  fclose(maps);
}

int main(void) {
  begin();
  scratch();
  sharing();
  readers();
  private();
  permissions();
  sizes();
  memory_files();
  names();
  return 0;
}
