/* Operations on memory, all inside the arena, and what the bytes there are afterwards. */
#ifndef MEMORY_H
#define MEMORY_H

#include "files.h"

static char *page_at(int n) { return (char *)ARENA_AT + n % ARENA_PAGES * PAGE; }
/* At most 16 pages, and not past the arena. */
static size_t pages(int from, int n) {
  long count = n % 16 + 1, most = ARENA_PAGES - from % ARENA_PAGES;
  return (size_t)((count < most ? count : most) * PAGE);
}
static int protection(int n) {
  static const int all[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC};
  return all[n % (int)COUNT(all)];
}
static void mapped(void *at) {
  if (at == MAP_FAILED) result(-1);
  else out(" +%ld", (long)((char *)at - (char *)ARENA_AT) / PAGE);
}

static void do_map(int *a) {
  static const int kinds[] = {MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED, MAP_PRIVATE | MAP_NORESERVE, MAP_PRIVATE | MAP_POPULATE};
  int fixed = a[4] % 4 ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  mapped(mmap(page_at(a[1]), pages(a[1], a[2]), protection(a[3]), kinds[a[0] % 5] | MAP_ANONYMOUS | fixed, -1, 0));
}
static void do_map_file(int *a) {
  /* When sockets and the like refuse, what was mapped before may be gone or not, and the error depends on the version of Linux. */
  if (fcntl(user_fd(a[0]), F_GETFD) != -1 && !is_regular(user_fd(a[0]))) return;
  mapped(mmap(page_at(a[1]), pages(a[1], a[2]), protection(a[3]), MAP_FIXED | (a[4] % 2 ? MAP_SHARED : MAP_PRIVATE), user_fd(a[0]), a[5] % 20 * PAGE));
}
static void do_unmap(int *a) { result(munmap(page_at(a[0]), pages(a[0], a[1]))); }
static void do_protect(int *a) { result(mprotect(page_at(a[0]), pages(a[0], a[1]), protection(a[2]))); }
static void do_remap(int *a) {
  static const int flags[] = {0, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED | 4};
  int flag = flags[a[3] % 4];
  size_t old = pages(a[0], a[1]), wanted = flag & MREMAP_FIXED ? pages(a[4], a[2]) : pages(a[0], a[2]);
  /* Whether several areas may move at once depends on the version of Linux. */
  if (flag & 4 || old == wanted) wanted = old = PAGE;
  /* What lies behind the arena is not to be touched. */
  if (page_at(a[4]) + wanted > page_at(0) + ARENA_PAGES * PAGE) return;
  mapped(mremap(page_at(a[0]), old, wanted, flag, page_at(a[4])));
}
static void do_advise(int *a) {
  static const int advice[] = {MADV_DONTNEED, MADV_NORMAL, MADV_WILLNEED, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_REMOVE, MADV_SEQUENTIAL};
  result(madvise(page_at(a[0]), pages(a[0], a[1]), advice[a[2] % (int)COUNT(advice)]));
}
static void do_sync(int *a) { result(msync(page_at(a[0]), pages(a[0], a[1]), a[2] % 2 ? MS_SYNC : MS_ASYNC)); }
static void do_lock_memory(int *a) { result(a[2] % 2 ? mlock(page_at(a[0]), pages(a[0], a[1])) : munlock(page_at(a[0]), pages(a[0], a[1]))); }

/* One letter for each page: what a touch of it does. */
static void do_touch(int *a) {
  char text[17];
  size_t count = pages(a[0], a[1]) / PAGE;
  for (size_t i = 0; i < count; i++) {
    volatile char *at = page_at(a[0]) + (long)i * PAGE + a[3] % PAGE;
    int well = a[2] % 2 ? TRY(*at = (char)(a[2] + (int)i)) : TRY((void)*at);
    text[i] = '.';
    if (!well) text[i] = fault_signal == SIGBUS ? 'b' : fault_code == SEGV_MAPERR ? 'm' : fault_code == SEGV_ACCERR ? 'a' : '?';
    if (!well && fault_address != (uintptr_t)at) text[i] = '!';
  }
  text[count] = 0;
  out(" %s", text);
}
static void do_fill(int *a) {
  size_t length = pages(a[0], a[1]);
  out(" %d", TRY(pattern(page_at(a[0]), length, (unsigned)a[2])));
}
/* A hash of every page that can be read. */
static void do_sum(int *a) {
  size_t count = pages(a[0], a[1]) / PAGE;
  uint32_t sum = 2166136261u;
  for (size_t i = 0; i < count; i++) {
    volatile uint32_t more = 0;
    if (TRY(more = hash(page_at(a[0]) + (long)i * PAGE, PAGE))) sum = hash_more(sum, (void *)&more, sizeof more);
    else sum = sum * 31 + (uint32_t)i;
  }
  out(" %08x", sum);
}
/* As /proc tells it, a letter for each page: how areas are merged is not compared. */
static void do_maps(int *a) {
  (void)a;
  char text[ARENA_PAGES + 1], line[600];
  memset(text, '-', ARENA_PAGES);
  text[ARENA_PAGES] = 0;
  FILE *file = fopen("/proc/thread-self/maps", "re");
  if (!file) {
    result(-1);
    return;
  }
  while (fgets(line, sizeof line, file)) {
    unsigned long from, to;
    char mode[5];
    if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || from < ARENA_AT || to > ARENA_AT + ARENA_PAGES * PAGE) continue;
    int letter = 'a' + (mode[0] == 'r') + 2 * (mode[1] == 'w') + 4 * (mode[2] == 'x') + 8 * (mode[3] == 's');
    for (unsigned long at = from; at < to; at += PAGE) text[(at - ARENA_AT) / PAGE] = (char)letter;
  }
  fclose(file);
  out(" %s", text);
}
static void do_brk(int *a) {
  char *before = (char *)syscall(SYS_brk, 0), *after = (char *)syscall(SYS_brk, before + a[0] % 16 * PAGE);
  out(" %ld", (long)(after - before) / PAGE);
  if (after > before) after[-1] = 1;
  /* malloc takes no notice of what lies above its own end, and that may go again. */
  out(" %d", (char *)syscall(SYS_brk, before) == before);
}
static void do_read_to(int *a) {
  int fd = user_fd(a[0]);
  if (!is_regular(fd)) return;
  result(pread(fd, page_at(a[1]) + a[3] % PAGE, (size_t)(a[2] % 30000), a[4] % 30000));
}
static void do_write_from(int *a) {
  int fd = user_fd(a[0]);
  struct stat st;
  /* Linux: a write past the end that fails makes a tmpfs file longer all the same. */
  if (!is_regular(fd) || fstat(fd, &st) != 0 || st.st_size < a[4] % 30000) return;
  result(pwrite(fd, page_at(a[1]) + a[3] % PAGE, (size_t)(a[2] % 30000), a[4] % 30000));
}
/* A system call that takes its name from the arena, and one that writes there. */
static void do_path_in(int *a) {
  char *at = page_at(a[0]) + a[1] % PAGE;
  if (TRY(memcpy(at, "f0", 3))) result(access(at, F_OK));
  else result(access(at, F_OK));
}
static void do_pipe_to(int *a) {
  int *at = (int *)(page_at(a[0]) + a[1] % (PAGE / 4) * 4), ends[2];
  if (result(pipe(at)) != 0) return;
  memcpy(ends, at, sizeof ends);
  close(ends[0]), close(ends[1]);
}

#endif
