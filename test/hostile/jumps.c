/*
 * A guest that goes where it should not: jumps, reads and mappings near the top of the address space, where a sandbox may keep
 * code of its own, and into the vDSO. Every attempt runs in a child with a time limit; the sandbox has to live, and what an
 * attempt does must not show anything of the host. Inside a sandbox only: see only_inside(). `jumps FROM TO STEP` (hexadecimal) jumps to other addresses.
 */
#include "attempt.h"
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE 4096UL
#define TOP 0x7ffffffff000UL

/* With the registers of an openat("/", O_PATH): if a stray syscall instruction is met, the sandbox has to be the one that answers. */
static void jump(uintptr_t address) {
  __asm__ volatile(
      "movq $257, %%rax; movq $-100, %%rdi; leaq 1f(%%rip), %%rsi; movq $0x200000, %%rdx; xorl %%r10d, %%r10d; jmp *%%rcx; 1: .asciz \"/\""
      :
      : "c"(address)
      : "rax", "rdi", "rsi", "rdx", "r10", "memory");
}

/* The same with a number that kills the process when it is served: exit_group(7). */
static void jump_exit(uintptr_t address) {
  __asm__ volatile("movq $231, %%rax; movq $7, %%rdi; jmp *%%rcx" : : "c"(address) : "rax", "rdi", "memory");
}

static void jump_zero(uintptr_t address) {
  __asm__ volatile("xorl %%eax, %%eax; xorl %%ebx, %%ebx; xorl %%edi, %%edi; xorl %%esi, %%esi; xorl %%edx, %%edx; movq $0x1000, %%rsp; jmp *%%rcx" : : "c"(address) : "memory");
}

static void look(uintptr_t address) {
  volatile char byte = *(volatile char *)address;
  (void)byte;
}
static void spoil(uintptr_t address) { *(volatile char *)address = 0; }
static void replace(uintptr_t address) {
  char *got = mmap((void *)address, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (got != MAP_FAILED) memset(got, 0xcc, PAGE);
  getppid();
}
static void unmap(uintptr_t address) {
  munmap((void *)address, PAGE);
  getppid();
}
static void protect(uintptr_t address) {
  mprotect((void *)address, PAGE, PROT_NONE);
  getppid();
  mprotect((void *)address, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
  getppid();
}
static void move(uintptr_t address) {
  mremap((void *)address, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  getppid();
}

static void pages(uintptr_t from, uintptr_t to, uintptr_t step) {
  for (uintptr_t at = from; at < to; at += step) attempt(jump, at), attempt(jump_exit, at);
}

/* Everything at once: the whole address space given back. */
static void unmap_all(uintptr_t unused) {
  (void)unused;
  munmap(NULL, TOP);
  for (;;) continue;
}
static void protect_all(uintptr_t unused) {
  (void)unused;
  mprotect((void *)0x400000, TOP - 0x400000, PROT_NONE);
  for (;;) continue;
}

/* Frames for rt_sigreturn that no kernel would have made. */
static unsigned char frame[16384] __attribute__((aligned(64)));
static void return_from(uintptr_t kind) {
  ucontext_t *context = (ucontext_t *)(frame + 4096);
  memset(frame, kind == 1 ? 0xff : 0, sizeof frame);
  if (kind >= 2) {
    context->uc_mcontext.gregs[REG_RIP] = kind == 2 ? 0x800000000000L : kind == 3 ? (greg_t)0xffffffff80000000L : (greg_t)(uintptr_t)look;
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)(frame + 8192);
    context->uc_mcontext.gregs[REG_CSGSFS] = kind == 4 ? 0x0 : kind == 5 ? 0x10 : kind == 6 ? 0x23 : 0x33;
    context->uc_mcontext.gregs[REG_EFL] = kind == 7 ? -1L : 0x202;
    context->uc_mcontext.fpregs = kind == 8 ? (void *)8 : kind == 9 ? (void *)(frame + 64) : kind == 10 ? (void *)(frame + 65) : NULL;
    if (kind == 9) memset(frame + 64, 0xff, 2048);
    if (kind == 11) context->uc_flags = ~0UL, context->uc_mcontext.fpregs = (void *)(TOP - 64);
  }
  uintptr_t stack = kind == 12 ? 8 : kind == 13 ? TOP : kind == 14 ? 0xffff800000000000UL : (uintptr_t)context;
  __asm__ volatile("movq %0, %%rsp; movl $15, %%eax; syscall; ud2" : : "r"(stack) : "memory");
}

/* Wild thread pointers and stacks. */
static void segment(uintptr_t base) {
  syscall(SYS_arch_prctl, 0x1002, base);
  syscall(SYS_arch_prctl, 0x1001, base);
  __asm__ volatile("movq $39, %%rax; syscall; movq $231, %%rax; xorl %%edi, %%edi; syscall" ::: "rax", "rcx", "r11", "rdi");
}
/* A signal to the caller itself, by number and never by a leftover register: with a wild one kill() would reach everybody. */
static void without_stack(uintptr_t stack) {
  __asm__ volatile("movq %0, %%rsp; movl $62, %%eax; syscall; pushq %%rax" : : "r"(stack), "D"(getpid()), "S"(SIGUSR1) : "rax", "rcx", "r11", "memory");
}

/* Other doors: the 32-bit call, the old fast call, the vsyscall page. */
static void int80(uintptr_t number) { __asm__ volatile("int $0x80" : : "a"(number), "b"(0), "c"(0), "d"(0) : "memory"); }
static void sysenter(uintptr_t number) { __asm__ volatile("movq %%rsp, %%rbp; sysenter" : : "a"(number) : "memory", "rcx", "rdx"); }
static void x32(uintptr_t number) { syscall((long)number | 0x40000000L, 0, 0, 0); }
static void vsyscall(uintptr_t address) { ((long (*)(void *))address)(NULL); }

int main(int argc, char **argv) {
  begin();
  only_inside();
  if (argc > 3) {
    pages(strtoul(argv[1], NULL, 16), strtoul(argv[2], NULL, 16), strtoul(argv[3], NULL, 16));
    say("crashed %d ended %d late %d\n", crashed, ended, late);
    return 0;
  }
  uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
  pages(TOP - 24 * PAGE, TOP, PAGE);
  pages(vdso, vdso + PAGE, 64);
  for (uintptr_t at = TOP - 20 * PAGE; at < TOP + 2 * PAGE; at += PAGE) {
    attempt(look, at), attempt(spoil, at), attempt(replace, at), attempt(unmap, at), attempt(protect, at), attempt(move, at), attempt(jump_zero, at);
  }
  attempt(unmap_all, 0), attempt(protect_all, 0);
  for (int page = 0; page < 2; page++) attempt(replace, vdso + page * PAGE), attempt(unmap, vdso + page * PAGE), attempt(protect, vdso + page * PAGE), attempt(move, vdso + page * PAGE);
  for (uintptr_t kind = 0; kind <= 14; kind++) attempt(return_from, kind);
  static const uintptr_t bases[] = {0, 8, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, TOP - 8, 1UL << 63};
  for (size_t i = 0; i < COUNT(bases); i++) attempt(segment, bases[i]), attempt(without_stack, bases[i]);
  for (uintptr_t number = 0; number < 400; number += 7) attempt(int80, number), attempt(x32, number);
  attempt(sysenter, 20), attempt(sysenter, 39);
  for (uintptr_t at = 0xffffffffff600000UL; at < 0xffffffffff600c00UL; at += 1024) attempt(vsyscall, at);
  attempt(vsyscall, 0xffffffffff600123UL);
  CHECK(crashed > 0);
  CHILD_BEGIN
  say("an ordinary child still works\n");
  CHILD_END("child");
  return 0;
}
