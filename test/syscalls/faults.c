/*
 * Faults as signals: si_code and address of SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP; faults that cannot be handled;
 * a handler that repairs the cause and goes on. See sigaction(2).
 */
#include "guest.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>

static sigjmp_buf back;
static siginfo_t info;
static volatile uintptr_t fault_ip;
static char alternate[65536];

static void on_fault(int number, siginfo_t *got, void *context) {
  (void)number;
  info = *got;
  fault_ip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  siglongjmp(back, 1);
}

static const char *code_name(void) {
  if (info.si_signo == SIGSEGV) return info.si_code == SEGV_MAPERR ? "MAPERR" : info.si_code == SEGV_ACCERR ? "ACCERR" : info.si_code == SI_KERNEL ? "KERNEL" : "?";
  if (info.si_signo == SIGBUS) return info.si_code == BUS_ADRERR ? "ADRERR" : info.si_code == BUS_ADRALN ? "ADRALN" : "?";
  if (info.si_signo == SIGFPE) return info.si_code == FPE_INTDIV ? "INTDIV" : info.si_code == FPE_FLTDIV ? "FLTDIV" : "?";
  if (info.si_signo == SIGILL) return info.si_code == ILL_ILLOPN ? "ILLOPN" : info.si_code == ILL_ILLOPC ? "ILLOPC" : "?";
  if (info.si_signo == SIGTRAP) return info.si_code == TRAP_BRKPT ? "BRKPT" : info.si_code == TRAP_TRACE ? "TRACE" : info.si_code == SI_KERNEL ? "KERNEL" : "?";
  return "?";
}

#define FAULT(what, base, ...) \
  do { \
    memset(&info, 0, sizeof info); \
    if (sigsetjmp(back, 1) == 0) { \
      __VA_ARGS__; \
      say("%s: no fault\n", what); \
    } else say("%s: %s %s address %s%+ld\n", what, signal_name(info.si_signo), code_name(), #base, (long)((uintptr_t)info.si_addr - (uintptr_t)(base))); \
  } while (0)

static volatile char sink;
static volatile int zero;

static void memory_faults(void) {
  SECTION("memory");
  char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page + 4096, 4096);
  FAULT("read of 0", 0, sink = *(volatile char *)NULL);
  FAULT("write of 16", 0, *(volatile char *)16 = 1);
  FAULT("read of a hole", page, sink = page[4096 + 5]);
  FAULT("write of a hole", page, page[4096 + 6] = 1);
  mprotect(page, 4096, PROT_READ);
  FAULT("write of a read-only page", page, page[7] = 1);
  FAULT("read of it", page, sink = page[7]);
  mprotect(page, 4096, PROT_NONE);
  FAULT("read of PROT_NONE", page, sink = page[8]);
  mprotect(page, 4096, PROT_READ | PROT_WRITE);
  FAULT("jump to a page without PROT_EXEC", page, ((void (*)(void))page)());
  FAULT("jump to 0", 0, ((void (*)(void))(uintptr_t)zero)());
  FAULT("non-canonical address", 0, sink = *(volatile char *)0x800000000000UL);
  FAULT("kernel half", 0xffff800000000000UL, sink = *(volatile char *)0xffff800000000010UL);
  FAULT("write to code", code_name, *(volatile char *)code_name = 1);
  scratch();
  int fd = (int)MUST(open("file", O_RDWR | O_CREAT, 0644));
  MUST(ftruncate(fd, 100));
  char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  FAULT("mapping, inside the last page", file, sink = file[4000]);
  FAULT("mapping, past the end", file, sink = file[4096 + 1]);
  FAULT("mapping, write past the end", file, file[4096 + 2] = 1);
  MUST(ftruncate(fd, 0));
  FAULT("mapping of a truncated file", file, sink = file[3]);
  MUST(ftruncate(fd, 8192));
  FAULT("mapping of a file that grew again", file, sink = file[4096 + 1]);
  char *copy = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 8192);
  FAULT("private mapping past the end", copy, sink = copy[9]);
}

static void cpu_faults(void) {
  SECTION("processor");
  FAULT("divide by zero", fault_ip, sink = (char)(7 / zero));
  FAULT("INT_MIN / -1", fault_ip, __asm__ volatile("movl $0x80000000, %%eax; cltd; movl $-1, %%ecx; idivl %%ecx" ::: "eax", "ecx", "edx"));
  FAULT("ud2", fault_ip, __asm__ volatile("ud2"));
  FAULT("hlt", 0, __asm__ volatile("hlt"));
  FAULT("in", 0, __asm__ volatile("inb $0x80, %%al" ::: "eax"));
  FAULT("int3", 0, __asm__ volatile("int3"));
  FAULT("int 0x21", 0, __asm__ volatile("int $0x21"));
  FAULT("single step", fault_ip, __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop" ::: "memory", "cc"));
}

/* rip in the frame: of the instruction itself for faults, after it for int3. */
static void instruction_pointers(void) {
  extern char ud_here[], int3_here[];
  SECTION("where");
  if (sigsetjmp(back, 1) == 0) __asm__ volatile(".globl ud_here\nud_here: ud2");
  say("ud2: rip %+ld\n", (long)(fault_ip - (uintptr_t)ud_here));
  if (sigsetjmp(back, 1) == 0) __asm__ volatile(".globl int3_here\nint3_here: int3");
  say("int3: rip %+ld\n", (long)(fault_ip - (uintptr_t)int3_here));
}

static char *repaired;
static int repairs;
static void on_repair(int number, siginfo_t *got, void *context) {
  (void)number, (void)context;
  char *page = (char *)((uintptr_t)got->si_addr & ~4095UL);
  if (page < repaired || page >= repaired + 16 * 4096) _exit(9);
  mprotect(page, 4096, PROT_READ | PROT_WRITE);
  repairs++;
}

static void repairing(void) {
  SECTION("a handler that repairs");
  struct sigaction action = {.sa_sigaction = on_repair, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  repaired = mmap(NULL, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 16; i++) repaired[i * 4096 + i] = (char)i;
  int sum = 0;
  for (int i = 0; i < 16; i++) sum += repaired[i * 4096 + i];
  SHOW(repairs);
  SHOW(sum);
}

/* A handler may change the registers in its frame: the program goes on with them. */
static void on_skip(int number, siginfo_t *got, void *context) {
  (void)number, (void)got;
  ucontext_t *frame = context;
  frame->uc_mcontext.gregs[REG_RIP] += 2;
  frame->uc_mcontext.gregs[REG_RBX] = 4242;
}

static void changing(void) {
  SECTION("a handler that changes registers");
  struct sigaction action = {.sa_sigaction = on_skip, .sa_flags = SA_SIGINFO};
  sigaction(SIGILL, &action, NULL);
  long result;
  __asm__ volatile("movq $1, %%rbx; ud2; movq %%rbx, %0" : "=r"(result)::"rbx");
  SHOW(result);
}

static volatile int for_ever = 1;
static int recurse(int level) {
  volatile char room[4096];
  if (!for_ever) return 0;
  room[0] = (char)level;
  return recurse(level + 1) + room[0];
}

static void fatal(void) {
  SECTION("fatal");
  struct rlimit limit = {0, 0};
  setrlimit(RLIMIT_CORE, &limit);
  signal(SIGSEGV, SIG_DFL), signal(SIGILL, SIG_DFL), signal(SIGTRAP, SIG_DFL), signal(SIGFPE, SIG_DFL);
  CHILD_BEGIN
  *(volatile char *)NULL = 1;
  CHILD_END("default SIGSEGV");
  CHILD_BEGIN
  signal(SIGSEGV, SIG_IGN);
  *(volatile char *)NULL = 1;
  CHILD_END("ignored SIGSEGV");
  CHILD_BEGIN
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGSEGV);
  sigprocmask(SIG_BLOCK, &set, NULL);
  *(volatile char *)NULL = 1;
  CHILD_END("blocked SIGSEGV");
  CHILD_BEGIN
  recurse(0);
  CHILD_END("stack overflow");
  CHILD_BEGIN
  /* No room for the frame: the process dies of SIGSEGV whatever the handler. */
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  recurse(0);
  CHILD_END("stack overflow with a handler on the same stack");
  CHILD_BEGIN
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  if (sigsetjmp(back, 1) == 0) recurse(0);
  say("stack overflow was caught: %s\n", signal_name(info.si_signo));
  CHILD_END("stack overflow with a handler on another stack");
  CHILD_BEGIN
  __asm__ volatile("ud2");
  CHILD_END("default SIGILL");
  CHILD_BEGIN
  __asm__ volatile("int3");
  CHILD_END("default SIGTRAP");
  CHILD_BEGIN
  sink = (char)(3 / zero);
  CHILD_END("default SIGFPE");
}

int main(void) {
  begin();
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (size_t i = 0; i < COUNT(numbers); i++) sigaction(numbers[i], &action, NULL);
  memory_faults();
  cpu_faults();
  instruction_pointers();
  repairing();
  changing();
  fatal();
  return 0;
}
