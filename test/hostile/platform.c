/*
 * A guest that attacks what runs it: whatever a platform has mapped into it, the code that enters the kernel for it, the signals, segments
 * and stacks that it may need for that. It knows no addresses: it looks what can be read at the end of the address space, and where %gs points.
 *
 * `platform CASE` runs one group of attempts, says how they ended, shows that an ordinary child still works, and sleeps a moment, so that a
 * test can see that nobody is busy on its behalf. Inside a sandbox only: see only_inside().
 */
#include "attempt.h"
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <ucontext.h>

#define PAGE 4096UL
#define TOP 0x7ffffffff000UL

/* ---- where the platform's pages are ---- */

enum { FOUND_MAX = 256 };
static uintptr_t found[FOUND_MAX];
static int found_count;
static __thread sigjmp_buf escape;
static __thread volatile int armed;

static void on_fault(int signo) {
  if (!armed) signal(signo, SIG_DFL);
  else armed = 0, siglongjmp(escape, signo);
}
static void catch_with(void (*handler)(int), int flags) {
  struct sigaction action = {.sa_flags = flags | SA_NODEFER};
  action.sa_handler = handler;
  static const int all[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < COUNT(all); i++) sigaction(all[i], &action, NULL);
}
#define TRY(what) (sigsetjmp(escape, 1) == 0 ? (armed = 1, (what), armed = 0, 1) : 0)

static int has_gs_base(void) { return (getauxval(AT_HWCAP2) & 2) != 0; }
static uintptr_t read_gs(void) {
  uintptr_t base = 0;
  if (has_gs_base()) __asm__ volatile("rdgsbase %0" : "=r"(base));
  return base;
}
static void write_gs(uintptr_t base) {
  if (has_gs_base()) __asm__ volatile("wrgsbase %0" : : "r"(base));
  else syscall(SYS_arch_prctl, 0x1001, base);
}

static void probe(uintptr_t at) {
  for (int i = 0; i < found_count; i++)
    if (found[i] == at) return;
  if (found_count < FOUND_MAX && TRY((void)*(volatile char *)at)) found[found_count++] = at;
}
/* Every page of the last MiB; beyond that, where %gs points and the beginnings of large ranges. */
static void look_around(void) {
  catch_with(on_fault, 0);
  for (uintptr_t at = TOP - 256 * PAGE; at < TOP; at += PAGE) probe(at);
  uintptr_t gs = read_gs() & ~(PAGE - 1);
  for (int i = -16; gs != 0 && i < 16; i++) probe(gs + (uintptr_t)i * PAGE);
  for (uintptr_t base = 0x7ff000000000UL; base < TOP; base += 0x40000000UL)
    for (int i = 0; i < 24; i++) probe(base + (uintptr_t)i * PAGE);
}
static int is_vdso(uintptr_t at) {
  uintptr_t vdso = getauxval(AT_SYSINFO_EHDR) & ~(PAGE - 1);
  return at + 8 * PAGE >= vdso && at < vdso + 4 * PAGE;
}

/* ---- random things ---- */

static __thread uint64_t seed = 88172645463325252UL;
static uint64_t next_random(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed;
}
static char own[4 * PAGE] __attribute__((aligned(4096)));
static uint64_t wild(void) {
  static const uint64_t fixed[] = {0, 1, 8, 4096, ~0UL, 1UL << 63, 0x800000000000UL, 0xffff800000000000UL, TOP - 8, 0x1000, 0x7ffe00000000UL};
  uint64_t r = next_random();
  switch (r % 5) {
    case 0: return fixed[(r >> 8) % COUNT(fixed)];
    case 1: return (uintptr_t)own + (r >> 8) % sizeof own;
    case 2: return found_count ? found[(r >> 8) % (unsigned)found_count] + (r >> 32) % PAGE : r;
    case 3: return (r >> 8) % 512;
    default: return r >> (r % 60);
  }
}

/* Calls of the shapes that programs have: made often enough, they may be served by another way. */
__attribute__((noinline)) static int calls(int count) {
  int wrong = 0;
  pid_t parent = getppid(), self = getpid();
  for (int i = 0; i < count; i++) wrong += getppid() != parent || getpid() != self || lseek(-1, 0, SEEK_SET) != -1 || errno != EBADF;
  return wrong;
}

/* ---- scribbling ---- */

static void scribble_over(uintptr_t page, int kind) {
  volatile uint64_t *words = (volatile uint64_t *)page;
  for (size_t i = 0; i < PAGE / 8; i++)
    if (!TRY(words[i] = kind == 0 ? 0 : kind == 1 ? ~0UL : wild())) return;
}
static void scribble(uintptr_t what) {
  catch_with(on_fault, 0);
  seed += what;
  calls(200);
  scribble_over(found[what / 3], (int)(what % 3));
  calls(200);
  *(volatile int *)8 = 1;
  getppid();
}
/* One word after the other, with a call after each. */
static void scribble_words(uintptr_t page) {
  catch_with(on_fault, 0);
  seed += page;
  calls(100);
  for (size_t i = 0; i < PAGE / 8; i++)
    if (!TRY(((volatile uint64_t *)page)[i] = wild())) return;
    else getppid();
}
static void scribbles(void) {
  for (int i = 0; i < found_count * 3; i++) attempt(scribble, (uintptr_t)i);
  for (int i = 0; i < found_count; i++) attempt(scribble_words, found[i]);
}

/* ---- jumps with random registers ---- */

static void jump(uintptr_t at) {
  static uint64_t registers[16];
  seed += at;
  for (int i = 0; i < 16; i++) registers[i] = wild();
  /* The numbers that could do something, if they were let through. */
  static const int numbers[] = {9, 10, 11, 12, 15, 25, 28, 39, 56, 57, 60, 62, 101, 157, 158, 202, 231, 234, 257, 272, 317, 435, 438, 1000};
  registers[0] = (uint64_t)numbers[next_random() % COUNT(numbers)] | (next_random() % 16 ? 0 : 0x40000000);
  calls(50);
  __asm__ volatile(
      "movq %0, %%rcx; pushq %1; movq 0(%%rcx), %%rax; movq 8(%%rcx), %%rbx; movq 16(%%rcx), %%rdx; movq 24(%%rcx), %%rsi; movq 32(%%rcx), %%rdi;"
      "movq 40(%%rcx), %%r8; movq 48(%%rcx), %%r9; movq 56(%%rcx), %%r10; movq 64(%%rcx), %%r11; movq 72(%%rcx), %%r12; movq 80(%%rcx), %%r13;"
      "movq 88(%%rcx), %%r14; movq 96(%%rcx), %%r15; movq 104(%%rcx), %%rbp; movq 112(%%rcx), %%rcx; ret"
      :
      : "r"(registers), "r"(at)
      : "memory");
}
static void jumps(void) {
  for (int i = 0; i < found_count; i++) {
    if (is_vdso(found[i]) || found[i] < TOP - 64 * PAGE) continue;
    for (uintptr_t at = found[i]; at < found[i] + PAGE; at += 16) attempt(jump, at);
  }
  for (int i = 0; i < 24 && i < found_count; i++) attempt(jump, found[i] + 3);
}

/* ---- memory calls over the platform's pages ---- */

static struct range {
  uintptr_t from, length;
} target;
static void map_over(uintptr_t call) {
  void *at = (void *)target.from;
  size_t length = target.length;
  calls(30);
  switch (call) {
    case 0: mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
    case 1: mmap(at, length, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0); break;
    case 2: munmap(at, length); break;
    case 3: mprotect(at, length, PROT_NONE), mprotect(at, length, PROT_READ | PROT_WRITE | PROT_EXEC); break;
    case 4: mremap(own, PAGE, length, MREMAP_MAYMOVE | MREMAP_FIXED, at); break;
    case 5: mremap(at, length, PAGE, MREMAP_MAYMOVE), mremap(at, 0, PAGE, MREMAP_MAYMOVE); break;
    case 6: for (int advice = 0; advice < 26; advice++) madvise(at, length, advice); break;
    case 7: mlock(at, length), munlock(at, length), msync(at, length, MS_SYNC | MS_INVALIDATE); break;
    case 8: brk(at), brk((char *)at + length); break;
    case 9: syscall(SYS_pkey_mprotect, at, length, PROT_READ, 0), syscall(SYS_remap_file_pages, at, length, 0, 0, 0); break;
    case 10: syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_BRK, at, 0, 0), syscall(SYS_prctl, PR_SET_VMA, 0, at, length, "x"); break;
    case 11: mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0); break;
    case 12: read(open("/dev/zero", O_RDONLY), at, length > 65536 ? 65536 : length); break;
    default: {
      struct timespec *time = at;
      syscall(SYS_clock_gettime, 1, time), getrandom(at, 4096, 0), getcwd(at, 4096);
    }
  }
  if (calls(30) != 0) _exit(66);
}
static void mappings(void) {
  int wrong = 0;
  for (int i = 0; i < found_count + 6; i++) {
    static const struct range wide[] = {{TOP - 64 * PAGE, 64 * PAGE}, {0x7ffd00000000UL, 0x2ffff0000UL}, {0x7ffe00000000UL, PAGE},
                                        {TOP - PAGE, 4 * PAGE}, {0x10000, TOP - 0x10000}, {TOP - 4 * PAGE, ~0UL - TOP}};
    target = i < found_count ? (struct range){found[i], i % 3 ? PAGE : 3 * PAGE} : wide[i - found_count];
    for (uintptr_t call = 0; call < 14; call++) {
      int status = attempt(map_over, call);
      if (i >= found_count || is_vdso(found[i]) || status == 0) continue;
      wrong++;
      say("page %#lx call %d: status %#x\n", found[i], (int)call, status);
    }
  }
  SHOW(wrong);
}

/* ---- signals of its own ---- */

static volatile sig_atomic_t caught;
static void on_signal(int signo) {
  (void)signo;
  caught++;
}
static void send_self(uintptr_t which) {
  int signo = (int)(which / 4);
  pid_t self = getpid(), thread = (pid_t)syscall(SYS_gettid);
  siginfo_t info = {.si_signo = signo, .si_code = SI_QUEUE};
  calls(30);
  if (which % 4 == 0) kill(self, signo);
  else if (which % 4 == 1) syscall(SYS_tgkill, self, thread, signo);
  else if (which % 4 == 2) syscall(SYS_rt_tgsigqueueinfo, self, thread, signo, &info);
  else {
    struct sigaction action = {.sa_flags = which % 8 < 4 ? SA_RESTART : SA_NODEFER};
    action.sa_handler = on_signal;
    if (sigaction(signo, &action, NULL) != 0) _exit(0);
    for (int i = 0; i < 20; i++) syscall(SYS_tgkill, self, thread, signo);
    if (caught != 20 || calls(30) != 0) _exit(66);
  }
}
static void signals(void) {
  int wrong = 0;
  for (int signo = 1; signo < 65; signo++) {
    if (signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU) continue;
    int mild = signo == SIGCHLD || signo == SIGURG || signo == SIGWINCH || signo == SIGCONT;
    for (uintptr_t how = 0; how < 4; how++) {
      int status = attempt(send_self, (uintptr_t)signo * 4 + how);
      int dies = how < 3 && !mild;
      if (dies ? !WIFSIGNALED(status) || WTERMSIG(status) != signo : status != 0) {
        wrong++;
        say("signal %d way %d: status %#x\n", signo, (int)how, status);
      }
    }
  }
  SHOW(wrong);
}

/* ---- segments ---- */

static void segment(uintptr_t which) {
  seed += which;
  calls(100);
  uintptr_t base = which % 8 == 0 ? 0 : which % 8 == 1 ? read_gs() + 0x8000 : wild();
  if (which % 2) syscall(SYS_arch_prctl, 0x1001, base);
  else if (base < 0x800000000000UL) write_gs(base);
  if (calls(200) != 0) _exit(66);
  if (which % 3 == 0) __asm__ volatile("movw %%ax, %%gs" : : "a"(which % 6 ? 0 : 0x2b));
  if (calls(50) != 0) _exit(66);
  *(volatile int *)8 = 1;
}
static void *swap_partner(void *argument) {
  volatile uintptr_t *bases = argument;
  bases[0] = read_gs();
  while (!bases[1]) continue;
  write_gs(bases[1]);
  for (int i = 0; i < 2000; i++) getppid();
  return argument;
}
/* Two threads, each with the other one's segment. */
static void swap(uintptr_t unused) {
  static volatile uintptr_t bases[2];
  pthread_t thread;
  (void)unused;
  calls(100);
  if (pthread_create(&thread, NULL, swap_partner, (void *)bases) != 0) return;
  while (!bases[0] && has_gs_base() && read_gs()) continue;
  uintptr_t other = bases[0], mine = read_gs();
  bases[1] = mine ? mine : 1;
  write_gs(other);
  for (int i = 0; i < 2000; i++) getppid();
  pthread_join(thread, NULL);
}
static void segments(void) {
  for (uintptr_t i = 0; i < 60; i++) attempt(segment, i);
  for (uintptr_t i = 0; i < 6; i++) attempt(swap, i);
}

/* ---- stacks ---- */

static uint64_t odd_stack(uintptr_t which) {
  static const uint64_t places[] = {0, 1, 7, 8, 0x1000, 0x800000000000UL, 0xffff800000000000UL, TOP, TOP - 8, ~0UL, ~7UL};
  if (which < COUNT(places)) return places[which];
  which -= COUNT(places);
  if (which < 4) return (uintptr_t)own + which * 3 + 2048;
  which -= 4;
  return which < (unsigned)found_count ? found[which] + 2048 : wild();
}
static uint64_t stack_to_use;
static void odd_call(uintptr_t kind) {
  calls(60);
  uint64_t stack = stack_to_use;
  if (kind & 4) {
    stack_t alternate = {.ss_sp = own, .ss_size = sizeof own};
    sigaltstack(&alternate, NULL);
    catch_with(on_fault, SA_ONSTACK);
  } else if (kind & 8) catch_with(on_fault, 0);
  switch (kind & 3) {
    case 0: __asm__ volatile("movq %0, %%rsp; movl $110, %%eax; syscall; movl $39, %%eax; syscall; ud2" : : "r"(stack) : "rax", "rcx", "r11"); break;
    case 1: __asm__ volatile("movq %0, %%rsp; ud2" : : "r"(stack)); break;
    case 2: __asm__ volatile("movq %0, %%rsp; int3; movl 8, %%eax" : : "r"(stack) : "rax"); break;
    default: __asm__ volatile("movq %0, %%rsp; 1: movl $110, %%eax; syscall; jmp 1b" : : "r"(stack) : "rax", "rcx", "r11");
  }
}
static void stacks(void) {
  for (uintptr_t place = 0; place < 15 + (unsigned)(found_count < 20 ? found_count : 20); place++) {
    stack_to_use = odd_stack(place);
    /* The last kind goes on until its alarm rings: a few of those do. */
    for (uintptr_t kind = 0; kind < 12; kind++)
      if ((kind & 3) != 3 || place % 16 == 3) attempt(odd_call, kind);
  }
}

/* ---- alternate stacks ---- */

static void on_fault_again(int signo) {
  (void)signo;
  stack_t other = {.ss_sp = own + PAGE, .ss_size = 3 * PAGE};
  sigaltstack(&other, NULL);
  static int depth;
  if (++depth < 50) *(volatile int *)8 = depth;
  _exit(3);
}
static void alternate(uintptr_t which) {
  stack_t stack = {.ss_size = which % 7 == 0 ? 2048 : which % 7 == 1 ? ~0UL / 2 : 4 * PAGE, .ss_flags = which % 5 == 1 ? (int)(1U << 31) : which % 11 == 1 ? 77 : 0};
  seed += which * 977;
  stack.ss_sp = (void *)(which % 3 == 0 ? (uintptr_t)own : wild());
  calls(30);
  sigaltstack(&stack, NULL);
  catch_with(which % 2 ? on_fault_again : on_fault, SA_ONSTACK);
  if (which % 4 == 0) mprotect(own, sizeof own, PROT_NONE);
  if (which % 4 == 1) munmap(own, PAGE);
  if (which % 13 == 0) raise(SIGSEGV);
  *(volatile int *)8 = 1;
}
static void altstacks(void) {
  for (uintptr_t i = 0; i < 120; i++) attempt(alternate, i);
}

/* ---- single steps through calls ---- */

static volatile sig_atomic_t steps;
static void on_step(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)info;
  ucontext_t *frame = context;
  if (++steps > 3000) frame->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
}
static void step(uintptr_t before) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = on_step;
  sigaction(SIGTRAP, &action, NULL);
  calls((int)before);
  pid_t parent = getppid(), seen = 0;
  __asm__ volatile("pushfq; orl $0x100, (%rsp); popfq");
  for (int i = 0; i < 5; i++) seen = getppid();
  __asm__ volatile("pushfq; andl $~0x100, (%rsp); popfq");
  if (seen != parent || steps == 0 || calls(20) != 0) _exit(66);
}
static void single_steps(void) {
  int wrong = 0;
  for (uintptr_t before = 0; before < 4; before++) {
    int status = attempt(step, before * 100);
    if (status == 0) continue;
    wrong++;
    say("after %d calls: status %#x\n", (int)before * 100, status);
  }
  SHOW(wrong);
}

/* ---- code that changes while other threads run it ---- */

static unsigned char *text;
static volatile int stop;
static const unsigned char code_call[] = {0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3};

static void *run_text(void *argument) {
  stack_t stack = {.ss_sp = argument, .ss_size = 32768};
  sigaltstack(&stack, NULL);
  pid_t parent = getppid(), self = getpid();
  for (int i = 0; i < 100000 && !stop; i++) {
    volatile long value = parent;
    if (TRY(value = ((long (*)(void))text)()) && value != parent && value != self && value != -ENOSYS) _exit(66);
  }
  return argument;
}
static void change_text(uintptr_t how) {
  pthread_t threads[3];
  static char stacks_of[3][32768];
  text = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(text, code_call, sizeof code_call);
  catch_with(on_fault, SA_ONSTACK);
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, run_text, stacks_of[i]);
  for (int i = 0; i < 150; i++) {
    if (how == 0) mprotect(text, PAGE, i % 2 ? PROT_READ | PROT_WRITE | PROT_EXEC : PROT_NONE);
    else if (how == 1) {
      mmap(text, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      memcpy(text + 5, code_call + 5, 3), memcpy(text, code_call, 5);
    } else {
      TRY(text[1] = i % 2 ? 39 : 110);
      getppid();
    }
    if (i % 50 == 49) calls(10);
  }
  mprotect(text, PAGE, PROT_READ | PROT_EXEC);
  stop = 1;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}
static void changing_code(void) {
  int wrong = 0;
  for (uintptr_t how = 0; how < 9; how++) wrong += WEXITSTATUS(attempt(change_text, how % 3)) == 66;
  SHOW(wrong);
}

/* ---- everything at once ---- */

static void breakpoint(void) { __asm__ volatile("int3"); }
static void *rage(void *argument) {
  stack_t stack = {.ss_sp = argument, .ss_size = 32768};
  sigaltstack(&stack, NULL);
  seed += (uintptr_t)argument;
  for (int i = 0; i < 400; i++) {
    uint64_t r = next_random();
    uintptr_t page = found_count ? found[(r >> 16) % (unsigned)found_count] : (uintptr_t)own;
    switch (r % 9) {
      case 0: TRY(*(volatile uint64_t *)(page + (r >> 40) % 512 * 8) = wild()); break;
      case 1: write_gs(wild() & 0x7fffffffffffUL); break;
      case 2: mprotect((void *)page, PAGE, PROT_READ); break;
      case 3: TRY(*(volatile int *)8 = 1); break;
      case 4: syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1); break;
      case 5: TRY(breakpoint()); break;
      case 6: munmap(mmap(NULL, 8 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8 * PAGE); break;
      case 7: syscall(SYS_futex, own + r % 4096 / 4 * 4, FUTEX_WAKE, 1); break;
      default: calls(3);
    }
  }
  return argument;
}
static void crowd(uintptr_t turn) {
  enum { THREADS = 10 };
  static char stacks_of[THREADS][32768];
  pthread_t threads[THREADS];
  signal(SIGUSR1, on_signal);
  catch_with(on_fault, SA_ONSTACK);
  seed += turn * 7919;
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, rage, stacks_of[i]);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}
static void crowds(void) {
  for (uintptr_t turn = 0; turn < 12; turn++) attempt(crowd, turn);
}

static const struct {
  const char *name;
  void (*run)(void);
} cases[] = {{"scribbles", scribbles}, {"jumps", jumps}, {"mappings", mappings}, {"signals", signals}, {"segments", segments}, {"stacks", stacks},
             {"altstacks", altstacks}, {"steps", single_steps}, {"code", changing_code}, {"crowds", crowds}};

int main(int argc, char **argv) {
  begin();
  only_inside();
  prctl(PR_SET_DUMPABLE, 1);
  look_around();
  catch_with(SIG_DFL, 0);
  for (size_t i = 0; i < COUNT(cases); i++)
    if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) cases[i].run();
  CHECK(crashed + ended > 0);
  SHOW(late);
  CHECK(calls(1000) == 0);
  CHILD_BEGIN
  say("an ordinary child still works\n");
  CHILD_END("child");
  say("pages %d crashed %d ended %d\nquiet\n", found_count, crashed, ended);
  sleep_ms(2500);
  return 0;
}
