// dynamic
/*
 * A dynamically linked, position-independent program: the ELF interpreter, relocations, constructors, thread-local
 * storage of libraries, dlopen, and what /proc tells of it. See ld.so(8).
 */
#include "guest.h"
#include <dlfcn.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <sys/auxv.h>

static int constructed;
__attribute__((constructor)) static void construct(void) { constructed = 42; }
__attribute__((destructor)) static void destruct(void) { say("destructor\n"); }

static __thread int own = 7;
static void *in_thread(void *argument) {
  own++;
  errno = EDOM;
  return (void *)(long)(own * 100 + (int)(long)argument);
}

static int libraries;
static int count_library(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size, (void)data;
  libraries += info->dlpi_addr != 0 || info->dlpi_name[0] != 0;
  return 0;
}

/* How the mappings of a library are laid out: code executable and not writable, data the other way round. */
static void permissions(const char *name) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512], bits[8];
  int executable = 0, writable = 0, both = 0;
  while (fgets(line, sizeof line, maps))
    if (strstr(line, name) && sscanf(line, "%*s %4s", bits) == 1) {
      executable += bits[2] == 'x', writable += bits[1] == 'w', both += bits[1] == 'w' && bits[2] == 'x';
    }
  fclose(maps);
  say("%s: executable %s, writable %s, both %d\n", name, executable ? "some" : "none", writable ? "some" : "none", both);
}

int main(void) {
  begin();
  SHOW(constructed);
  CHECK(getauxval(AT_BASE) != 0);
  CHECK(getauxval(AT_ENTRY) != 0 && getauxval(AT_PHDR) != 0);
  dl_iterate_phdr(count_library, NULL);
  CHECK(libraries >= 3);
  permissions("libc.so.6");
  void *library = dlopen("libm.so.6", RTLD_NOW);
  CHECK(library != NULL);
  double (*root)(double) = (double (*)(double))(uintptr_t)dlsym(library, "sqrt");
  CHECK(root != NULL && root(1764.0) == 42.0);
  CHECK(dlsym(library, "no_such_symbol") == NULL);
  CHECK(dlopen("no-such-library.so", RTLD_NOW) == NULL);
  pthread_t thread;
  void *result;
  errno = 0;
  pthread_create(&thread, NULL, in_thread, (void *)5L);
  pthread_join(thread, &result);
  SHOW((long)result);
  SHOW(own);
  SHOW(errno);
  char text[64];
  snprintf(text, sizeof text, "%.3f %s", 3.14159, "formatted by the C library");
  say("%s\n", text);
  CHILD_BEGIN
  execl("/bin/echo", "echo", "a dynamic program starts another", NULL);
  CHILD_END("child");
  CHILD_BEGIN
  setenv("LD_BIND_NOW", "1", 1);
  setenv("LC_ALL", "C", 1);
  execl("/bin/cat", "cat", "/dev/null", NULL);
  CHILD_END("bound at once");
  return 0;
}
