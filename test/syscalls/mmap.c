/*
 * mmap(2), munmap(2), mprotect(2), brk(2), madvise(2), mincore(2), msync(2): anonymous memory and placement.
 */
#include "guest.h"
#include <sys/mman.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(void *at, size_t size, int protection, int flags) { return mmap(at, size, protection, flags, -1, 0); }

/* The permissions /proc/self/maps gives for an address, or "none". */
static const char *permissions(const void *address) {
  static char found[8];
  strcpy(found, "none");
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (maps && fgets(line, sizeof line, maps)) {
    unsigned long from, to;
    char text[8];
    if (sscanf(line, "%lx-%lx %4s", &from, &to, text) == 3 && (unsigned long)address >= from && (unsigned long)address < to) strcpy(found, text);
  }
  if (maps) fclose(maps);
  return found;
}

/* Whether the page can be read, asked of the kernel and not of the processor. */
static const char *readable(const void *address) {
  int p[2];
  MUST(pipe(p));
  const char *answer = write(p[1], address, 1) == 1 ? "readable" : errno_name(errno);
  close(p[0]), close(p[1]);
  return answer;
}

static void show(const char *what, const void *address) { say("%s: %s, %s\n", what, permissions(address), readable(address)); }

static void anonymous(void) {
  SECTION("anonymous");
  char *a = map(NULL, 3 * PAGE, RW, ANON);
  CHECK(a != MAP_FAILED && ((uintptr_t)a & (PAGE - 1)) == 0);
  SHOW(a[0] + a[3 * PAGE - 1]);
  memset(a, 'a', 3 * PAGE);
  show("mapped", a);
  SHOW(munmap(a + PAGE, PAGE));
  show("first", a), show("hole", a + PAGE), show("third", a + 2 * PAGE);
  SHOW(a[2 * PAGE]);
  SHOW(munmap(a + PAGE, PAGE));
  SHOW(mprotect(a, PAGE, PROT_READ));
  show("read-only", a);
  SHOW(mprotect(a, PAGE, PROT_NONE));
  show("none", a);
  SHOW(mprotect(a, 3 * PAGE, PROT_READ));
  show("first, before the hole", a);
  show("third, after the hole", a + 2 * PAGE);
  SHOW(mprotect(a, PAGE, PROT_READ | PROT_EXEC));
  show("executable", a);
  SHOW(munmap(a, 3 * PAGE));
  show("gone", a);
  SECTION("errors");
  SHOW(map(NULL, 0, RW, ANON) == MAP_FAILED ? -1 : 0);
  SHOW(map(NULL, PAGE, RW, 0) == MAP_FAILED ? -1 : 0);
  SHOW(map(NULL, PAGE, RW, MAP_ANONYMOUS) == MAP_FAILED ? -1 : 0);
  SHOW(map(NULL, 1UL << 62, RW, ANON) == MAP_FAILED ? -1 : 0);
  SHOW(map(NULL, -1UL, RW, ANON) == MAP_FAILED ? -1 : 0);
  SHOW(map((void *)1, PAGE, RW, ANON | MAP_FIXED) == MAP_FAILED ? -1 : 0);
  SHOW(map((void *)0x7ffffffff000, PAGE, RW, ANON | MAP_FIXED) == MAP_FAILED ? -1 : 0);
  SHOW(map((void *)0x800000000000, PAGE, RW, ANON | MAP_FIXED) == MAP_FAILED ? -1 : 0);
  SHOW(munmap((void *)1, PAGE));
  SHOW(munmap(NULL, 0));
  SHOW(munmap((void *)0x800000000000, PAGE));
  SHOW(mprotect((void *)1, PAGE, PROT_READ));
  SHOW(mprotect((void *)PAGE, PAGE, PROT_READ));
  SHOW(mprotect(NULL, 0, PROT_READ));
  SHOW(mprotect(map(NULL, PAGE, RW, ANON), PAGE, 0xff));
}

static void fixed(void) {
  SECTION("MAP_FIXED");
  char *a = map(NULL, 8 * PAGE, RW, ANON);
  memset(a, 'x', 8 * PAGE);
  CHECK(map(a + 2 * PAGE, 2 * PAGE, PROT_READ, ANON | MAP_FIXED) == a + 2 * PAGE);
  say("bytes %d %d %d\n", a[PAGE], a[2 * PAGE], a[4 * PAGE]);
  show("before", a + PAGE), show("replaced", a + 2 * PAGE), show("behind", a + 4 * PAGE);
  SHOW(map(a, PAGE, RW, ANON | MAP_FIXED_NOREPLACE) == MAP_FAILED ? -1 : 0);
  MUST(munmap(a + 5 * PAGE, PAGE));
  CHECK(map(a + 5 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE) == a + 5 * PAGE);
  SHOW(map(a + 4 * PAGE, 3 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE) == MAP_FAILED ? -1 : 0);
  MUST(munmap(a, 8 * PAGE));
  CHECK(map(a, PAGE, RW, ANON) == a);
  CHECK(map(a, PAGE, RW, ANON) != a);
  char *low = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
  CHECK(low != MAP_FAILED && (uintptr_t)low < 1UL << 32);
  char *reserve = map(NULL, 64UL << 30, PROT_NONE, ANON | MAP_NORESERVE);
  CHECK(reserve != MAP_FAILED);
  SHOW(mprotect(reserve + (32UL << 30), PAGE, RW));
  reserve[32UL << 30] = 1;
  SHOW(munmap(reserve, 64UL << 30));
  char *down = map(NULL, 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_STACK);
  CHECK(down != MAP_FAILED);
  char *populated = map(NULL, 16 * PAGE, RW, ANON | MAP_POPULATE);
  SHOW(populated[15 * PAGE]);
}

static void advice(void) {
  unsigned char vector[8];
  SECTION("madvise, mincore, msync, mlock");
  char *a = map(NULL, 4 * PAGE, RW, ANON);
  memset(a, 'a', 4 * PAGE);
  SHOW(madvise(a + PAGE, PAGE, MADV_DONTNEED));
  say("bytes %d %d %d\n", a[0], a[PAGE], a[2 * PAGE]);
  SHOW(madvise(a, 4 * PAGE, MADV_NORMAL));
  SHOW(madvise(a, 4 * PAGE, MADV_WILLNEED));
  SHOW(madvise(a, 4 * PAGE, MADV_SEQUENTIAL));
  SHOW(madvise(a, 4 * PAGE, MADV_FREE));
  SHOW(madvise(a, 4 * PAGE, MADV_DONTFORK));
  SHOW(madvise(a, 4 * PAGE, MADV_DOFORK));
  SHOW(madvise(a, 4 * PAGE, 9999));
  SHOW(madvise(a + 1, PAGE, MADV_DONTNEED));
  SHOW(madvise(a, 0, MADV_DONTNEED));
  MUST(munmap(a + 2 * PAGE, PAGE));
  SHOW(madvise(a, 4 * PAGE, MADV_DONTNEED));
  SHOW(a[3 * PAGE]);
  a[0] = 1;
  SHOW(mincore(a, PAGE, vector));
  SHOW(vector[0] & 1);
  SHOW(mincore(a, 4 * PAGE, vector));
  SHOW(mincore(a + 1, PAGE, vector));
  SHOW(mincore(a, PAGE, (void *)8));
  SHOW(msync(a, PAGE, MS_SYNC));
  SHOW(msync(a, 4 * PAGE, MS_SYNC));
  SHOW(msync(a, PAGE, MS_SYNC | MS_ASYNC));
  SHOW(msync(a + 1, PAGE, MS_SYNC));
  SHOW(mlock(a, PAGE));
  SHOW(munlock(a, PAGE));
  SHOW(mlock(a, 4 * PAGE));
}

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif

/* What locked memory refuses, and addresses and flags that nothing can have. */
static void refused(void) {
  SECTION("refused");
  char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  SHOW(msync(page, 4096, MS_INVALIDATE));
  SHOW(mlock(page, 4096));
  SHOW(msync(page, 4096, MS_INVALIDATE));
  SHOW(madvise(page, 4096, MADV_DONTNEED));
  SHOW(madvise(page, 4096, MADV_REMOVE));
  SHOW(munlock(page, 4096));
  SHOW(madvise(page, 4096, MADV_DONTNEED));
  SHOW(msync((void *)-1L, 4096, MS_SYNC));
  SHOW(madvise((void *)-1L, 4096, MADV_NORMAL));
  munmap(page, 4096);
  int zero = (int)MUST(memfd_create("file", 0));
  MUST(ftruncate(zero, 4096));
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED_VALIDATE | 1 << 24, zero, 0) == MAP_FAILED && errno == EOPNOTSUPP);
  close(zero);
}

static void breaking(void) {
  SECTION("brk");
  char *start = (char *)syscall(SYS_brk, 0);
  CHECK((char *)syscall(SYS_brk, start + 3 * PAGE) == start + 3 * PAGE);
  memset(start, 'b', 3 * PAGE);
  show("heap", start);
  CHECK((char *)syscall(SYS_brk, start + PAGE) == start + PAGE);
  CHECK((char *)syscall(SYS_brk, 16) == start + PAGE);
  CHECK((char *)syscall(SYS_brk, start + 3 * PAGE) == start + 3 * PAGE);
  say("byte kept %d, byte given back %d\n", start[0], start[2 * PAGE]);
  CHECK((char *)syscall(SYS_brk, -PAGE) == start + 3 * PAGE);
  syscall(SYS_brk, start);
}

static void forking(void) {
  SECTION("fork");
  char *private = map(NULL, PAGE, RW, ANON), *shared = map(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
  char *left = map(NULL, PAGE, RW, ANON);
  private[0] = shared[0] = 'p';
  MUST(madvise(left, PAGE, MADV_DONTFORK));
  CHILD_BEGIN
  private[0] = shared[0] = 'c';
  show("MADV_DONTFORK in the child", left);
  CHILD_END("child");
  say("private %c, shared %c\n", private[0], shared[0]);
  show("MADV_DONTFORK in the parent", left);
  char *wiped = map(NULL, PAGE, RW, ANON);
  wiped[0] = 'w';
  SHOW(madvise(wiped, PAGE, MADV_WIPEONFORK));
  CHILD_BEGIN
  SHOW(wiped[0]);
  CHILD_END("child");
  SHOW(wiped[0]);
}

/* Machine code written by the program itself: mov $42,%eax; ret. */
static void generated(void) {
  SECTION("generated code");
  unsigned char *code = (unsigned char *)map(NULL, PAGE, RW, ANON);
  memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6);
  MUST(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
  SHOW(((int (*)(void))code)());
  MUST(mprotect(code, PAGE, RW | PROT_EXEC));
  code[1] = 43;
  SHOW(((int (*)(void))code)());
}

/* Many mappings with gaps: the list in /proc/self/maps is sorted and without overlaps. */
static void list(void) {
  SECTION("/proc/self/maps");
  char *a = map(NULL, 200 * PAGE, PROT_NONE, ANON);
  for (int i = 0; i < 200; i += 2) MUST(mprotect(a + i * PAGE, PAGE, PROT_READ));
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  unsigned long last = 0;
  int sorted = 1, inside = 0, stack = 0, heap = 0, vdso = 0, exe = 0;
  while (fgets(line, sizeof line, maps)) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx", &from, &to) != 2 || from < last || to <= from) sorted = 0;
    last = to;
    inside += from >= (unsigned long)a && to <= (unsigned long)(a + 200 * PAGE);
    stack += strstr(line, "[stack]") != NULL, heap += strstr(line, "[heap]") != NULL, vdso += strstr(line, "[vdso]") != NULL;
    exe += from <= (unsigned long)list && to > (unsigned long)list && strstr(line, "r-xp") && strchr(line, '/');
  }
  fclose(maps);
  SHOW(sorted);
  CHECK(inside >= 199);
  say("stack %d heap %d vdso %d code of a file %d\n", stack, heap, vdso, exe);
}

int main(void) {
  begin();
  anonymous();
  fixed();
  advice();
  refused();
  breaking();
  forking();
  generated();
  list();
  return 0;
}
