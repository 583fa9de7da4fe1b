/*
 * Tries to get out of a shared directory while somebody outside keeps exchanging `x` (a directory) and `y` (a symbolic link to a directory
 * outside). `outside DIRECTORY SECONDS` counts what it could open; the file `secret` lies outside only, and `created` must never appear there.
 */
#include "../syscalls/guest.h"

int main(int argc, char **argv) {
  static const char *const names[] = {"x/secret", "y/secret", "x/../x/secret", "y/../secret", "x/deep/../../x/secret"};
  long tries = 0, found = 0, inner = 0;
  begin();
  MUST(chdir(argv[1]));
  time_t end = time(NULL) + atoi(argv[2]);
  while (time(NULL) < end) {
    for (size_t i = 0; i < COUNT(names); i++) {
      char text[64];
      int fd = open(names[i], O_RDONLY);
      tries++;
      if (fd != -1 && read(fd, text, sizeof text) > 0) found++;
      close(fd);
    }
    int directory = open("x", O_RDONLY | O_DIRECTORY);
    if (directory != -1) {
      struct stat status;
      found += fstatat(directory, "secret", &status, 0) == 0;
      int up = openat(directory, "../outside/secret", O_RDONLY);
      found += up != -1;
      close(up);
      inner += fstatat(directory, "inner", &status, 0) == 0;
    }
    int made = open("x/created", O_WRONLY | O_CREAT, 0600);
    close(made), unlink("x/created"), mkdir("x/created", 0700), rmdir("x/created"), symlink("z", "x/created"), unlink("x/created"), chmod("x/secret", 0777), truncate("x/secret", 0), rename("x/inner", "x/inner2"), rename("x/inner2", "x/inner"), link("x/secret", "stolen"), unlink("stolen");
    close(directory);
  }
  CHECK(tries > 100);
  CHECK(inner > 0);
  say("found %ld\n", found);
  return 0;
}
