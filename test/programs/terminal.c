/*
 * Runs a command on a terminal of its own and plays a user, for the tests of Ctrl-C, window sizes and job control. Runs on Linux only.
 *
 * terminal STEP… -- COMMAND ARG…
 *   expect:TEXT   waits until TEXT has appeared after the last match (10 s)
 *   send:TEXT     types it; ^X is a control character, \r a return
 *   size:RxC      changes the window size
 *   sleep:MS      waits
 *
 * All that appears on the terminal goes to standard output. Ends as the command ended (128+n for a signal), or with 124 when an
 * expectation failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int master;
static char seen[1 << 20];
static size_t length, matched;

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Takes what the terminal shows for up to `ms`; 0 at its end. */
static int listen_for(int ms) {
  struct pollfd entry = {.fd = master, .events = POLLIN};
  if (poll(&entry, 1, ms) <= 0) return 1;
  ssize_t n = read(master, seen + length, sizeof seen - 1 - length);
  if (n <= 0) return 0;
  if (write(1, seen + length, n) != n) exit(125);
  length += n;
  seen[length] = 0;
  return 1;
}

static int expect(const char *text) {
  long end = now_ms() + 10000;
  for (int open = 1;;) {
    char *found = strstr(seen + matched, text);
    if (found) {
      matched = found - seen + strlen(text);
      return 1;
    }
    if (!open || now_ms() > end) return 0;
    open = listen_for(50);
  }
}

static void type(const char *text) {
  for (; *text; text++) {
    char key = *text;
    if (key == '^' && text[1]) key = *++text & 0x1f;
    else if (key == '\\' && text[1] == 'r') key = '\r', text++;
    if (write(master, &key, 1) != 1) return;
  }
}

int main(int argc, char **argv) {
  int first = 1;
  while (first < argc && strcmp(argv[first], "--") != 0) first++;
  if (first + 1 >= argc) return 125;
  struct winsize size = {24, 80, 0, 0};
  pid_t child = forkpty(&master, NULL, NULL, &size);
  if (child == -1) return 125;
  if (child == 0) {
    execvp(argv[first + 1], argv + first + 1);
    _exit(127);
  }
  for (int i = 1; i < first; i++) {
    const char *step = argv[i];
    if (strncmp(step, "expect:", 7) == 0) {
      if (!expect(step + 7)) {
        fprintf(stderr, "not seen: %s\n", step + 7);
        kill(-child, SIGKILL);
        return 124;
      }
    } else if (strncmp(step, "send:", 5) == 0) type(step + 5);
    else if (strncmp(step, "size:", 5) == 0) {
      sscanf(step + 5, "%hux%hu", &size.ws_row, &size.ws_col);
      ioctl(master, TIOCSWINSZ, &size);
    } else if (strncmp(step, "sleep:", 6) == 0) {
      for (long end = now_ms() + atol(step + 6); now_ms() < end;) listen_for(10);
    }
  }
  long end = now_ms() + 10000;
  int status, ended = 0;
  while (!(ended = waitpid(child, &status, WNOHANG) == child) && now_ms() < end) listen_for(20);
  if (!ended) {
    kill(-child, SIGKILL);
    fprintf(stderr, "the command did not end\n");
    return 124;
  }
  while (listen_for(50) && now_ms() < end)
    if (poll(&(struct pollfd){.fd = master, .events = POLLIN}, 1, 50) <= 0) break;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
