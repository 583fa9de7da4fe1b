/*
 * The vDSO: the clock is read without a system call, and tells what the system call tells. See vdso(7).
 */
#include "guest.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/time.h>

static const char *image;

/* Looks a symbol up by hand, as a C library without a dynamic loader does. */
static void *symbol(const char *wanted) {
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
  const Elf64_Phdr *segments = (const Elf64_Phdr *)(image + header->e_phoff);
  const Elf64_Dyn *dynamic = NULL;
  uintptr_t base = (uintptr_t)image;
  for (int i = 0; i < header->e_phnum; i++) {
    if (segments[i].p_type == PT_LOAD) base = (uintptr_t)image + segments[i].p_offset - segments[i].p_vaddr;
    if (segments[i].p_type == PT_DYNAMIC) dynamic = (const Elf64_Dyn *)(image + segments[i].p_offset);
  }
  const char *strings = NULL;
  const Elf64_Sym *symbols = NULL;
  for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
    if (dynamic->d_tag == DT_STRTAB) strings = (const char *)(base + dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_SYMTAB) symbols = (const Elf64_Sym *)(base + dynamic->d_un.d_ptr);
  }
  if (!strings || !symbols) return NULL;
  for (int i = 0; i < 64 && (const char *)&symbols[i] < strings; i++)
    if (strcmp(strings + symbols[i].st_name, wanted) == 0) return (void *)(base + symbols[i].st_value);
  return NULL;
}

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

int main(void) {
  begin();
  image = (const char *)getauxval(AT_SYSINFO_EHDR);
  CHECK(image != NULL);
  CHECK(memcmp(image, ELFMAG, SELFMAG) == 0 && image[EI_CLASS] == ELFCLASS64);
  int (*gettime)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))symbol("__vdso_clock_gettime");
  CHECK(gettime != NULL);
  CHECK(symbol("__vdso_gettimeofday") != NULL && symbol("__vdso_time") != NULL && symbol("__vdso_getcpu") != NULL);
  if (!gettime) return 1;
  struct timespec before, inside, after;
  int wrong = 0;
  for (int i = 0; i < 200; i++) {
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before);
    wrong += gettime(CLOCK_MONOTONIC, &inside) != 0;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after);
    wrong += ns(inside) < ns(before) || ns(after) < ns(inside);
  }
  SHOW(wrong);
  wrong = 0;
  for (int i = 0; i < 200; i++) {
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &before);
    wrong += gettime(CLOCK_REALTIME, &inside) != 0;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &after);
    wrong += ns(inside) < ns(before) || ns(after) < ns(inside);
  }
  SHOW(wrong);
  /* Clocks that only the host knows: neither way of asking may go back behind the other. */
  static const clockid_t clocks[] = {CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
  for (size_t c = 0; c < COUNT(clocks); c++) {
    wrong = 0;
    for (int i = 0; i < 50; i++) {
      syscall(SYS_clock_gettime, clocks[c], &before);
      wrong += gettime(clocks[c], &inside) != 0;
      syscall(SYS_clock_gettime, clocks[c], &after);
      wrong += ns(inside) < ns(before) || ns(after) < ns(inside) || ns(after) - ns(before) > 200000000;
    }
    SHOW(wrong < 10);
    say("clock %d\n", clocks[c]);
  }
  /* It is no system call: far below the cost of one in any sandbox. */
  gettime(CLOCK_MONOTONIC, &before);
  for (int i = 0; i < 20000; i++) gettime(CLOCK_MONOTONIC, &inside);
  CHECK((ns(inside) - ns(before)) / 20000 < 2000);
  CHILD_BEGIN
  CHECK(gettime(CLOCK_MONOTONIC, &inside) == 0 && ns(inside) >= ns(before));
  CHILD_END("child");
  return 0;
}
