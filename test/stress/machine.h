/*
 * Operations on the processor's state: what a system call may change, every shape of code that makes one, code that is written at
 * run time, thread pointers. These are what a platform that rewrites code, or moves registers itself, gets wrong first.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "processes.h"
#include <asm/prctl.h>
#include <stddef.h>

struct state {
  uint64_t general[12]; /* rbx rbp r8 r9 r10 r12 r13 r14 r15 rdi rsi rdx */
  uint8_t vector[16][16];
  uint32_t mxcsr;
  uint16_t x87;
};

/* Loads all registers from `before`, makes the call, stores them to `after`. The red zone below rsp holds a word that has to survive. */
__attribute__((noinline)) static long call_with(long number, const struct state *before, struct state *after, uint64_t *red_zone) {
  long value;
  __asm__ volatile(
      "addq $-128, %%rsp\n\t pushq %%rbp\n\t pushq %[red]\n\t pushq %[after]\n\t pushq %[before]\n\t"
      "movq %[number], %%rax\n\t movq (%%rsp), %%rcx\n\t"
      "movq 0(%%rcx), %%rbx\n\t movq 8(%%rcx), %%rbp\n\t movq 16(%%rcx), %%r8\n\t movq 24(%%rcx), %%r9\n\t movq 32(%%rcx), %%r10\n\t"
      "movq 40(%%rcx), %%r12\n\t movq 48(%%rcx), %%r13\n\t movq 56(%%rcx), %%r14\n\t movq 64(%%rcx), %%r15\n\t"
      "movq 72(%%rcx), %%rdi\n\t movq 80(%%rcx), %%rsi\n\t movq 88(%%rcx), %%rdx\n\t"
      "movdqu 96(%%rcx), %%xmm0\n\t movdqu 112(%%rcx), %%xmm1\n\t movdqu 128(%%rcx), %%xmm2\n\t movdqu 144(%%rcx), %%xmm3\n\t"
      "movdqu 160(%%rcx), %%xmm4\n\t movdqu 176(%%rcx), %%xmm5\n\t movdqu 192(%%rcx), %%xmm6\n\t movdqu 208(%%rcx), %%xmm7\n\t"
      "movdqu 224(%%rcx), %%xmm8\n\t movdqu 240(%%rcx), %%xmm9\n\t movdqu 256(%%rcx), %%xmm10\n\t movdqu 272(%%rcx), %%xmm11\n\t"
      "movdqu 288(%%rcx), %%xmm12\n\t movdqu 304(%%rcx), %%xmm13\n\t movdqu 320(%%rcx), %%xmm14\n\t movdqu 336(%%rcx), %%xmm15\n\t"
      "ldmxcsr 352(%%rcx)\n\t fldcw 356(%%rcx)\n\t movq %%r15, -128(%%rsp)\n\t movq %%r14, -8(%%rsp)\n\t"
      "syscall\n\t"
      "movq 8(%%rsp), %%rcx\n\t"
      "movq %%rbx, 0(%%rcx)\n\t movq %%rbp, 8(%%rcx)\n\t movq %%r8, 16(%%rcx)\n\t movq %%r9, 24(%%rcx)\n\t movq %%r10, 32(%%rcx)\n\t"
      "movq %%r12, 40(%%rcx)\n\t movq %%r13, 48(%%rcx)\n\t movq %%r14, 56(%%rcx)\n\t movq %%r15, 64(%%rcx)\n\t"
      "movq %%rdi, 72(%%rcx)\n\t movq %%rsi, 80(%%rcx)\n\t movq %%rdx, 88(%%rcx)\n\t"
      "movdqu %%xmm0, 96(%%rcx)\n\t movdqu %%xmm1, 112(%%rcx)\n\t movdqu %%xmm2, 128(%%rcx)\n\t movdqu %%xmm3, 144(%%rcx)\n\t"
      "movdqu %%xmm4, 160(%%rcx)\n\t movdqu %%xmm5, 176(%%rcx)\n\t movdqu %%xmm6, 192(%%rcx)\n\t movdqu %%xmm7, 208(%%rcx)\n\t"
      "movdqu %%xmm8, 224(%%rcx)\n\t movdqu %%xmm9, 240(%%rcx)\n\t movdqu %%xmm10, 256(%%rcx)\n\t movdqu %%xmm11, 272(%%rcx)\n\t"
      "movdqu %%xmm12, 288(%%rcx)\n\t movdqu %%xmm13, 304(%%rcx)\n\t movdqu %%xmm14, 320(%%rcx)\n\t movdqu %%xmm15, 336(%%rcx)\n\t"
      "stmxcsr 352(%%rcx)\n\t fnstcw 356(%%rcx)\n\t"
      "movq 16(%%rsp), %%rdx\n\t movq -128(%%rsp), %%rbx\n\t movq %%rbx, (%%rdx)\n\t movq -8(%%rsp), %%rbx\n\t movq %%rbx, 8(%%rdx)\n\t"
      "addq $24, %%rsp\n\t popq %%rbp\n\t movl $0x1f80, -4(%%rsp)\n\t ldmxcsr -4(%%rsp)\n\t fninit\n\t subq $-128, %%rsp\n\t"
      : "=a"(value), [number] "+S"(number), [before] "+D"(before), [after] "+d"(after), [red] "+c"(red_zone)
      :
      : "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
        "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  return value;
}

static void do_registers(int *a) {
  static const struct {
    int number;
    uint64_t rdi, rsi, rdx;
  } calls[] = {{SYS_getppid, 1, 2, 3},           {SYS_sched_yield, 4, 5, 6}, {SYS_lseek, (uint64_t)-1, 0, 0},    {SYS_write, (uint64_t)-1, 0, 0},
               {SYS_munmap, 1, 4096, 7},         {SYS_madvise, 0, 0, 4},     {SYS_brk, 1, 2, 3},                 {SYS_mprotect, 0x1000, 0, 1},
               {SYS_rt_sigprocmask, 0, 0, 0},    {SYS_close, 9999, 8, 9},    {SYS_clock_gettime, 77, 8, 9},      {SYS_openat, 1, 8, 9},
               {500, 1, 2, 3},                   {SYS_stat, 8, 8, 0},        {SYS_kill, 0x7fffff00, 0, 0},       {SYS_futex, 8, 1, 1}};
  struct state before = {.mxcsr = 0x1f80 | (uint32_t)(a[1] % 4) << 13, .x87 = (uint16_t)(0x37f | a[1] % 4 << 10)}, after;
  uint64_t red[2];
  uint32_t random = (uint32_t)a[1] | 1;
  int wrong = 0;
  size_t which = (size_t)a[0] % COUNT(calls);
  for (int turn = 0; turn < 40; turn++) {
    for (size_t i = 0; i < sizeof before.general; i++) ((uint8_t *)before.general)[i] = (uint8_t)next_random(&random);
    for (size_t i = 0; i < sizeof before.vector; i++) ((uint8_t *)before.vector)[i] = (uint8_t)next_random(&random);
    before.general[9] = calls[which].rdi, before.general[10] = calls[which].rsi, before.general[11] = calls[which].rdx;
    memset(&after, 0, sizeof after);
    long value = call_with(calls[which].number, &before, &after, red);
    wrong += memcmp(&before, &after, offsetof(struct state, x87) + 2) != 0 || red[0] != before.general[8] || red[1] != before.general[7];
    if (turn == 0 && calls[which].number != SYS_getppid && calls[which].number != SYS_brk) out(" %ld", value);
  }
  out(" wrong %d", wrong);
}

/* Loads the thread's upper vector halves, if there are any, and looks whether they survive calls and a signal. */
__attribute__((target("avx"), noinline)) static int upper_halves(const uint8_t *in, uint8_t *back) {
  long value;
  __asm__ volatile("vmovdqu (%1), %%ymm3; vmovdqu 32(%1), %%ymm12; movl $110, %%eax; syscall; vmovdqu %%ymm3, (%2); vmovdqu %%ymm12, 32(%2); vzeroupper"
                   : "=&a"(value)
                   : "r"(in), "r"(back)
                   : "rcx", "r11", "memory", "xmm3", "xmm12");
  return (int)value;
}
static void do_upper(int *a) {
  uint8_t in[64], back[64];
  int wrong = 0;
  for (int turn = 0; turn < 30 && __builtin_cpu_supports("avx"); turn++) {
    pattern(in, sizeof in, (unsigned)(a[0] + turn));
    memset(back, 0, sizeof back);
    upper_halves(in, back);
    wrong += memcmp(in, back, sizeof in) != 0;
  }
  out(" wrong %d", wrong);
}

/* ---- shapes of code that makes a call; each is used often enough to be worth rewriting ---- */

#define SHAPE(name, code) \
  __attribute__((naked, noinline, used)) static long name(void) { __asm__ volatile(code "\n\t ret"); }
SHAPE(shape_libc, "movl $110, %eax\n\t syscall")
SHAPE(shape_wide, ".byte 0x48, 0xc7, 0xc0, 110, 0, 0, 0\n\t syscall")
SHAPE(shape_push, "pushq $110\n\t popq %rax\n\t syscall")
SHAPE(shape_apart, "movl $110, %eax\n\t xorl %edi, %edi\n\t movq %rsi, %rsi\n\t syscall")
SHAPE(shape_zero, "movq $-1, %rdi\n\t xorl %esi, %esi\n\t xorl %edx, %edx\n\t xorl %eax, %eax\n\t syscall")
SHAPE(shape_compared, "movl $110, %eax\n\t syscall\n\t cmpq $-4095, %rax\n\t jae 1f\n\t ret\n\t 1: xorl %eax, %eax")
SHAPE(shape_moved, "movq $110, %rcx\n\t movq %rcx, %rax\n\t syscall")
SHAPE(shape_edge, ".p2align 12\n\t .skip 4091, 0x90\n\t movl $110, %eax\n\t syscall")
/* Entered at its beginning and at its second instruction. */
__attribute__((naked, noinline, used)) static long shape_middle(void) { __asm__ volatile("movl $110, %eax\n\t .globl stress_middle\n stress_middle:\n\t syscall\n\t ret"); }
extern char stress_middle[];

__attribute__((naked, noinline)) static long enter_middle(long number MAYBE) { __asm__ volatile("movq %rdi, %rax\n\t jmp stress_middle"); }

static void do_shapes(int *a) {
  static long (*const shapes[])(void) = {shape_libc, shape_wide, shape_push, shape_apart, shape_compared, shape_moved, shape_edge, shape_middle};
  int wrong = 0, count = 20 + a[1] % 400;
  pid_t parent = (pid_t)syscall(SYS_getppid), own = getpid();
  long (*shape)(void) = shapes[a[0] % (int)COUNT(shapes)];
  for (int i = 0; i < count; i++) {
    wrong += shape() != parent;
    if (i % 3 == 0) wrong += shape_zero() != -EBADF;
    if (i % 4 == 0) wrong += enter_middle(39) != own;
  }
  out(" wrong %d", wrong);
}

/* Code in the arena: `mov $n, %eax; syscall; ret`, changed between the runs. */
static const unsigned char code_call[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};
static void put_code(unsigned char *at, int number) {
  memcpy(at, code_call, sizeof code_call);
  at[1] = (unsigned char)number;
}
/* Only such code is run, or what cannot be read and so cannot be run either: anything else could do anything. */
static int is_code(const unsigned char *at) { return at[0] == 0xb8 && (at[1] == 39 || at[1] == 110) && memcmp(at + 2, code_call + 2, sizeof code_call - 2) == 0; }
static void do_code(int *a) {
  unsigned char *at = (unsigned char *)page_at(a[0]) + a[1] % (PAGE - 64);
  static const unsigned char numbers[] = {39, 110, 39};
  volatile int safe = 1;
  int wrong = 0, ran = 0, faults = 0;
  for (size_t turn = 0; turn < COUNT(numbers); turn++) {
    int written = TRY(put_code(at, numbers[turn]));
    if (TRY(safe = is_code(at)) && !safe) continue;
    for (int i = 0; i < 60; i++) {
      volatile long value = -9999;
      if (!TRY(value = ((long (*)(void))at)())) {
        faults += fault_signal == SIGSEGV && fault_address == (uintptr_t)at ? 1 : 1000;
        break;
      }
      ran++, wrong += value != (at[1] == 39 ? getpid() : getppid());
    }
    wrong += written && at[1] != numbers[turn];
  }
  out(" ran %d faults %d wrong %d", ran, faults, wrong);
}

/* The other thread pointer belongs to the program. */
static void do_gs(int *a) {
  unsigned long word = 0x1234567 + (unsigned long)a[0], seen = 0, base = 1;
  result(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
  out(" %d", base == 0);
  if (result(syscall(SYS_arch_prctl, ARCH_SET_GS, &word)) != 0) return;
  for (int i = 0; i < 40; i++) getppid();
  __asm__ volatile("movq %%gs:0, %0" : "=r"(seen));
  out(" %d", seen == word);
  result(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
  out(" %d", base == (unsigned long)&word);
  result(syscall(SYS_arch_prctl, ARCH_SET_GS, 0));
}

#endif
