/*
 * mremap(2): growing, shrinking, moving, MREMAP_FIXED, MREMAP_DONTUNMAP, files, errors.
 */
#include "guest.h"
#include <sys/mman.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(size_t pages) {
  char *a = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);
  for (size_t i = 0; i < pages; i++) a[i * PAGE] = (char)('A' + i);
  return a;
}

static const char *failed(void *result) { return result == MAP_FAILED ? errno_name(errno) : "ok"; }

/* Whether a page is mapped: mincore tells ENOMEM for a hole. */
static int mapped(void *address) {
  unsigned char vector;
  return mincore(address, PAGE, &vector) == 0;
}

int main(void) {
  begin();
  SECTION("shrink and grow");
  /* Sixteen pages of which the first four stay: what lies behind them is ours. */
  char *a = map(16);
  MUST(munmap(a + 4 * PAGE, 12 * PAGE));
  CHECK(mremap(a, 4 * PAGE, 2 * PAGE, 0) == a);
  CHECK(mapped(a + PAGE) && !mapped(a + 2 * PAGE));
  CHECK(mremap(a, 2 * PAGE, 4 * PAGE, 0) == a);
  say("%c %c %d\n", a[0], a[PAGE], a[2 * PAGE]);
  CHECK(mremap(a, 4 * PAGE, 4 * PAGE, 0) == a);
  SECTION("no room");
  CHECK(mmap(a + 4 * PAGE, PAGE, PROT_NONE, ANON | MAP_FIXED_NOREPLACE, -1, 0) == a + 4 * PAGE);
  say("grow in place: %s\n", failed(mremap(a, 4 * PAGE, 8 * PAGE, 0)));
  char *b = mremap(a, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
  CHECK(b != MAP_FAILED && b != a);
  say("%c %c %d, old %d\n", b[0], b[PAGE], b[7 * PAGE], mapped(a));
  SECTION("fixed");
  char *target = mmap(NULL, 8 * PAGE, PROT_READ, ANON, -1, 0);
  CHECK(mremap(b, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
  say("%c %c %d\n", target[0], target[PAGE], target[2 * PAGE]);
  target[2 * PAGE] = 'w';
  say("old %d, rest of the old %d\n", mapped(b), mapped(b + 2 * PAGE));
  say("overlap: %s\n", failed(mremap(target, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE)));
  say("fixed without maymove: %s\n", failed(mremap(target, PAGE, PAGE, MREMAP_FIXED, b)));
  say("unaligned target: %s\n", failed(mremap(target, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b + 1)));
  SECTION("dontunmap");
  char *c = map(2);
  /* The wrapper of the C library may leave the fifth argument unset: it is a hint here, and must be aligned. */
  char *d = (char *)syscall(SYS_mremap, c, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
  say("%s\n", failed(d));
  if (d != MAP_FAILED) {
    CHECK(d != c);
    say("moved %c %c, left %d %d\n", d[0], d[PAGE], c[0], c[PAGE]);
  }
  SECTION("errors");
  say("unaligned: %s\n", failed(mremap(c + 1, PAGE, PAGE, MREMAP_MAYMOVE)));
  say("new size 0: %s\n", failed(mremap(c, PAGE, 0, MREMAP_MAYMOVE)));
  say("unknown flag: %s\n", failed(mremap(c, PAGE, PAGE, 64)));
  say("not mapped: %s\n", failed(mremap((void *)PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE)));
  say("huge: %s\n", failed(mremap(c, PAGE, 1UL << 60, MREMAP_MAYMOVE)));
  MUST(mprotect(c + PAGE, PAGE, PROT_READ));
  say("two mappings at once: %s\n", failed(mremap(c, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE)));
  say("old size 0 of a private mapping: %s\n", failed(mremap(c, 0, PAGE, MREMAP_MAYMOVE)));
  SECTION("old size 0 doubles a shared mapping");
  char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  strcpy(shared, "shared");
  char *twin = mremap(shared, 0, PAGE, MREMAP_MAYMOVE);
  say("%s\n", failed(twin));
  if (twin != MAP_FAILED) {
    SHOW(strcmp(twin, "shared"));
    twin[0] = 'S';
    SHOW(shared[0]);
  }
  SECTION("files");
  scratch();
  int fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0644));
  MUST(ftruncate(fd, 4 * PAGE));
  MUST(pwrite(fd, "third", 5, 2 * PAGE));
  char *view = mmap(NULL, PAGE, RW, MAP_SHARED, fd, PAGE);
  char *larger = mremap(view, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  SHOW(memcmp(larger + PAGE, "third", 5));
  larger[PAGE] = 'T';
  char byte = 0;
  MUST(pread(fd, &byte, 1, 2 * PAGE));
  SHOW(byte);
  SECTION("realloc of much memory");
  char *heap = NULL;
  int wrong = 0;
  for (size_t size = 1 << 17; size <= 1 << 25; size *= 2) {
    heap = realloc(heap, size);
    if (size > 1 << 17) wrong += heap[size / 2 - 1] != 7;
    heap[size - 1] = 7;
  }
  SHOW(wrong);
  free(heap);
  return 0;
}
