/** Scripts on which the kernel inside once differed from Linux, by what was wrong. */
import type { Step } from './generate.ts';

export const found: Record<string, Step> = {
  'SIGCHLD goes to the thread that made the child': ['0 thread 1', '1 spawn 2', '2 exit 3', '0 yield', '1 yield'],
  'a signal that kills the process does not let the sender go on': ['0 fork 1', '1 thread 2', '1 kill-hard 2', '0 wait 1 0'],
};
