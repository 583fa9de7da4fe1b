/* Prints the effective user id: for a set-uid copy. (busybox gives such a right away before it does anything.) */
#include <stdio.h>
#include <unistd.h>

int main(void) {
  printf("%d\n", (int)geteuid());
  return 0;
}
