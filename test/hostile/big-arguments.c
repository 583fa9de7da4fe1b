/*
 * Huge argument lists and environments: what fits arrives whole, what does not is E2BIG. See execve(2), "Limits on size".
 */
#include "../syscalls/guest.h"
#include <sys/resource.h>

static unsigned long checksum(char **list, int *count, size_t *bytes) {
  unsigned long sum = 0;
  for (*count = 0, *bytes = 0; list[*count]; ++*count) {
    size_t length = strlen(list[*count]);
    *bytes += length + 1;
    for (size_t i = 0; i < length; i += 997) sum = sum * 31 + (unsigned char)list[*count][i];
  }
  return sum;
}

static char *self;

static void run(const char *what, int strings, size_t length, int variables) {
  char **argv = calloc(strings + 3, sizeof *argv), **envp = calloc(variables + 1, sizeof *envp);
  char *text = malloc(length + 1);
  memset(text, 'x', length), text[length] = 0;
  argv[0] = "x", argv[1] = "count";
  for (int i = 0; i < strings; i++) argv[i + 2] = text;
  for (int i = 0; i < variables; i++) envp[i] = text;
  SECTION(what);
  CHILD_BEGIN
  execve(self, argv, envp);
  say("execve: %s\n", errno_name(errno));
  CHILD_END("child");
  free(argv), free(envp), free(text);
}

int main(int argc, char **argv, char **envp) {
  int count;
  size_t bytes;
  if (argc > 1 && strcmp(argv[1], "count") == 0) {
    unsigned long sum = checksum(argv, &count, &bytes);
    say("arguments %d, %zu bytes, sum %lx\n", count, bytes, sum);
    sum = checksum(envp, &count, &bytes);
    say("variables %d, %zu bytes, sum %lx\n", count, bytes, sum);
    return 0;
  }
  begin();
  self = argv[0];
  struct rlimit stack = {8 << 20, 8 << 20};
  setrlimit(RLIMIT_STACK, &stack);
  run("nothing", 0, 1, 0);
  run("many short", 20000, 10, 0);
  run("few long", 10, 100000, 0);
  run("one of 128 KiB less one", 1, 131071, 0);
  run("one of 128 KiB", 1, 131072, 0);
  run("environment", 0, 1000, 1000);
  run("both", 5000, 50, 5000);
  run("just below 2 MiB", 15, 130000, 0);
  run("above 2 MiB", 17, 130000, 0);
  run("a million of nothing", 1000000, 0, 0);
  return 0;
}
