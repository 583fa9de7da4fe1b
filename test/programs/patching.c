// A program whose call sites are worth patching, and that would notice: results and bytes of calls in quick succession, signals at any moment,
// threads on one site, forks, its own text rewritten, the gs base changed, memory wanted where patched sites lead.
// With the argument "checksum" it looks at its own text instead.
// cflags: -Wno-stringop-overflow
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

extern char __executable_start, etext;
static int file;
static volatile long ticks, strays, jumps;
static sigjmp_buf out;
static volatile int may_jump;

static void need(int condition, const char *what) {
  if (condition) return;
  printf("wrong: %s\n", what);
  exit(1);
}

static unsigned long text_sum(void) {
  unsigned long sum = 0;
  for (const char *p = &__executable_start; p < &etext; p++) sum = sum * 31 + (unsigned char)*p;
  return sum;
}

// Calls whose results and bytes are known, `count` times.
static void hammer(int count) {
  char path[] = "data", buffer[4096];
  struct stat st;
  pid_t parent = getppid(), self = getpid();
  for (int i = 0; i < count; i++) {
    need(getppid() == parent && getpid() == self, "ids");
    path[0] = i % 64 == 63 ? 'x' : 'd';
    memset(&st, 0xff, sizeof st);
    int result = stat(path, &st);
    need(i % 64 == 63 ? result == -1 : result == 0 && st.st_size == 8192, "stat");
    size_t length = 1 + i % 4096;
    memset(buffer, 0, sizeof buffer);
    need(pread(file, buffer, length, i % 4096) == (ssize_t)length, "pread");
    need((unsigned char)buffer[0] == (unsigned char)(i % 4096 % 251) && (length == 4096 || buffer[length] == 0), "bytes");
    if (i % 16 == 0) need(pread(file, (void *)8, 10, 0) == -1, "pread to nowhere");
    if (i % 16 == 1) need(pread(file, (void *)&__executable_start, 10, 0) == -1, "pread to text");
    if (i % 16 == 2) need(stat((char *)8, &st) == -1, "stat of nowhere");
  }
}

static void on_tick(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  uintptr_t rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  ticks++;
  // The host's vDSO is far above; anything else that is not the program's text is a stray.
  if ((rip < (uintptr_t)&__executable_start || rip >= (uintptr_t)&etext) && rip < 0x7f0000000000) strays++;
  need(getpid() == (int)syscall(SYS_getpid), "getpid in a handler");
  if (may_jump && ticks % 3 == 0) {
    jumps++;
    siglongjmp(out, 1);
  }
}

static void with_signals(void) {
  struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  while (ticks < 60) hammer(50);
  may_jump = 1;
  while (jumps < 20) {
    if (sigsetjmp(out, 1) == 0) hammer(100000);
  }
  may_jump = 0;
  setitimer(ITIMER_REAL, &never, NULL);
  need(strays == 0, "an instruction pointer that is not the program's");
  puts("signals at any moment");
}

static void *worker(void *unused) {
  hammer(1000);
  return unused;
}

static void with_threads(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, worker, NULL);
  hammer(1000);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  puts("threads on the same sites");
}

static void with_forks(void) {
  for (int i = 0; i < 10; i++) {
    hammer(500);
    pid_t child = fork();
    if (child == 0) {
      hammer(500);
      _exit(getpid() == getppid());
    }
    int status = -1;
    need(waitpid(child, &status, 0) == child && status == 0, "a child");
  }
  puts("forks in between");
}

// One call in a page of its own.
__asm__(".text\n.p2align 12\nown_call: mov $39, %eax\nsyscall\nret\n.p2align 12\n");
extern char own_call[];
static const unsigned char pristine[8] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};

static void with_own_text(void) {
  long (*call)(void) = (long (*)(void))(void *)own_call;
  for (int i = 0; i < 5000; i++) need(call() == getpid(), "the own call");
  need(mprotect(own_call, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0, "mprotect");
  need(memcmp(own_call, pristine, 8) == 0, "text made writable");
  own_call[1] = SYS_getuid;
  need(mprotect(own_call, 4096, PROT_READ | PROT_EXEC) == 0, "mprotect back");
  for (int i = 0; i < 5000; i++) need(call() == (long)getuid(), "the changed call");
  puts("text rewritten");
}

static void with_gs(void) {
  static uint64_t own[1024] = {4711};
  uint64_t base = 1, word = 0;
  syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
  need(base == 0, "gs base is not 0");
  syscall(SYS_arch_prctl, ARCH_SET_GS, own);
  hammer(1000);
  syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
  __asm__ volatile("mov %%gs:0, %0" : "=r"(word));
  need(base == (uintptr_t)own && word == 4711, "gs base set");
  for (int i = 1; i < 1024; i++) need(own[i] == 0, "memory at the gs base");
  syscall(SYS_arch_prctl, ARCH_SET_GS, 8);
  hammer(300);
  syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
  hammer(1000);
  puts("another gs base");
}

static void with_memory(void) {
  char *wanted = (char *)0x50f0000;
  hammer(1000);
  need(mmap(wanted, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == wanted, "mmap");
  for (int i = 0; i < 65536; i++) need(wanted[i] == 0, "fresh memory");
  memset(wanted, 1, 65536);
  hammer(2000);
  need(munmap(wanted, 65536) == 0, "munmap");
  hammer(2000);
  puts("memory where patched sites lead");
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  char contents[8192];
  for (int i = 0; i < 8192; i++) contents[i] = (char)(i % 251);
  file = open("data", O_RDWR | O_CREAT, 0600);
  need(file >= 0 && write(file, contents, sizeof contents) == sizeof contents, "the file");
  unsigned long before = text_sum();
  hammer(4000);
  if (argc > 1 && strcmp(argv[1], "checksum") == 0) {
    need(text_sum() == before, "text changed");
    puts("text as it was");
    return 0;
  }
  puts("calls in quick succession");
  with_signals();
  with_threads();
  with_forks();
  with_own_text();
  with_gs();
  with_memory();
  return 0;
}
