/*
 * Registers across system calls and signal handlers: general, flags, SSE, AVX and the x87 control word survive;
 * the frame holds them; rcx and r11 alone are lost by the syscall instruction.
 */
#include "guest.h"
#include <cpuid.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile int handled, frame_xmm_ok;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  ucontext_t *frame = context;
  if (frame->uc_mcontext.fpregs) frame_xmm_ok = frame->uc_mcontext.fpregs->_xmm[5].element[0] == 0x55555555;
  /* Spoil everything a handler may spoil. */
  __asm__ volatile("pxor %%xmm5, %%xmm5; pxor %%xmm15, %%xmm15; fninit" ::: "xmm5", "xmm15");
  unsigned a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX)) __asm__ volatile("vzeroall" ::: "memory");
  handled++;
}

/* kill(getpid(), SIGUSR1) as a bare syscall instruction between loads and stores of the registers. */
static void sse(void) {
  uint32_t pattern[4] = {0x55555555, 0x66666666, 0x77777777, 0x88888888}, after5[4], after15[4];
  uint16_t control = 0x0c7f, control_after;
  uint32_t mxcsr = 0x5f80, mxcsr_after;
  pid_t pid = getpid();
  long result;
  __asm__ volatile(
      "movdqu %4, %%xmm5; movdqu %4, %%xmm15; fldcw %5; ldmxcsr %6;"
      "syscall;"
      "movdqu %%xmm5, %1; movdqu %%xmm15, %2; fnstcw %3; stmxcsr %7"
      : "=a"(result), "=m"(after5), "=m"(after15), "=m"(control_after)
      : "m"(pattern), "m"(control), "m"(mxcsr), "m"(mxcsr_after), "0"(SYS_kill), "D"(pid), "S"(SIGUSR1)
      : "rcx", "r11", "memory", "xmm5", "xmm15");
  SHOW(result);
  SHOW(handled);
  SHOW(frame_xmm_ok);
  SHOW(memcmp(after5, pattern, 16) | memcmp(after15, pattern, 16));
  CHECK(control_after == control);
  CHECK(mxcsr_after == mxcsr);
  control = 0x037f, mxcsr = 0x1f80;
  __asm__ volatile("fldcw %0; ldmxcsr %1" ::"m"(control), "m"(mxcsr));
}

__attribute__((target("avx"))) static void avx(void) {
  uint8_t pattern[32], after[32];
  for (int i = 0; i < 32; i++) pattern[i] = (uint8_t)(i * 7 + 1);
  pid_t pid = getpid();
  long result;
  __asm__ volatile("vmovdqu %2, %%ymm7; syscall; vmovdqu %%ymm7, %1"
                   : "=a"(result), "=m"(after)
                   : "m"(pattern), "0"(SYS_kill), "D"(pid), "S"(SIGUSR1)
                   : "rcx", "r11", "memory", "xmm7");
  SHOW(memcmp(after, pattern, 32));
}

static void general(void) {
  long kept[8], rcx_is_rip, r11_is_flags;
  SECTION("general registers across a call");
  __asm__ volatile(
      "movq $0x1111, %%rbx; movq $0x2222, %%r8; movq $0x3333, %%r9; movq $0x4444, %%r10; movq $0x5555, %%r12;"
      "movq $0x6666, %%r13; movq $0x7777, %%r14; movq $0x8888, %%r15; movq $0x99, %%rdi; movq $0xaa, %%rsi; movq $0xbb, %%rdx;"
      "movl %3, %%eax; std; stc; syscall; 1: pushfq; popq %%rax; cld; subq %%rax, %%r11; movq %%r11, %2;"
      "leaq 1b(%%rip), %%rax; subq %%rcx, %%rax; movq %%rax, %1;"
      "addq %%r8, %%rbx; addq %%r9, %%rbx; addq %%r10, %%rbx; addq %%r12, %%rbx; addq %%r13, %%rbx; addq %%r14, %%rbx; addq %%r15, %%rbx;"
      "addq %%rdi, %%rbx; addq %%rsi, %%rbx; addq %%rdx, %%rbx; movq %%rbx, %0"
      : "=m"(kept[0]), "=m"(rcx_is_rip), "=m"(r11_is_flags)
      : "i"(SYS_getpid)
      : "rax", "rbx", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  CHECK(kept[0] == 0x1111 + 0x2222 + 0x3333 + 0x4444 + 0x5555 + 0x6666 + 0x7777 + 0x8888 + 0x99 + 0xaa + 0xbb);
  say("rcx is the return address: %s\n", rcx_is_rip == 0 ? "yes" : "no");
  say("r11 is the flags: %s\n", r11_is_flags == 0 ? "yes" : "no");
}

/* Numbers above 32 bits: the kernel looks at all of rax on x86-64 since 5.16, as a signed 32-bit number before. */
static void numbers(void) {
  long result;
  SECTION("call number");
  __asm__ volatile("syscall" : "=a"(result) : "0"(SYS_getpid | 0L) : "rcx", "r11", "memory");
  CHECK(result == getpid());
  __asm__ volatile("syscall" : "=a"(result) : "0"(0x7fffffffL) : "rcx", "r11", "memory");
  SHOW(result == -ENOSYS);
  __asm__ volatile("syscall" : "=a"(result) : "0"(-1L) : "rcx", "r11", "memory");
  SHOW(result == -ENOSYS);
  __asm__ volatile("syscall" : "=a"(result) : "0"(0xffffffffL) : "rcx", "r11", "memory");
  SHOW(result == -ENOSYS);
}

/* A program that computes is interrupted at any instruction, many times, and must not notice. */
static void asynchronous(void) {
  struct itimerval timer = {{0, 2000}, {0, 2000}}, stop = {{0, 0}, {0, 0}};
  SECTION("interrupted computation");
  handled = 0;
  double sum = 0, expected = 0;
  for (int i = 1; i < 400000; i++) expected += 1.0 / i;
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(SIGALRM, &action, NULL);
  MUST(setitimer(ITIMER_REAL, &timer, NULL));
  int wrong = 0, rounds = 0;
  while (handled < 20) {
    sum = 0;
    for (int i = 1; i < 400000; i++) sum += 1.0 / i;
    wrong += sum != expected, rounds++;
  }
  MUST(setitimer(ITIMER_REAL, &stop, NULL));
  SHOW(wrong);
  CHECK(handled >= 20);
}

int main(void) {
  begin();
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);
  SECTION("SSE and x87 across a handler");
  sse();
  unsigned a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_AVX)) {
    SECTION("AVX across a handler");
    avx();
  }
  general();
  numbers();
  asynchronous();
  return 0;
}
