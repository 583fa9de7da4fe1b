/*
 * rseq(2): works as on Linux or is honestly missing; what the C library registered stays registered.
 */
#include "guest.h"
#include <linux/rseq.h>
#include <pthread.h>

static void *in_thread(void *argument) {
  /* A second registration of a thread that has one is refused; without rseq the call is missing in every thread. */
  static __thread struct rseq area __attribute__((aligned(32)));
  errno = 0;
  long result = syscall(SYS_rseq, &area, sizeof area, 0, 0x12345678);
  *(int *)argument = result == 0 ? 0 : errno;
  return NULL;
}

int main(void) {
  begin();
  int error = -1;
  pthread_t thread;
  pthread_create(&thread, NULL, in_thread, &error);
  pthread_join(thread, NULL);
  CHECK(error == 0 || error == ENOSYS || error == EINVAL || error == EBUSY || error == EPERM);
  CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
  return 0;
}
