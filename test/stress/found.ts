/** Scripts on which the kernel inside once differed from Linux, by what was wrong. */
import type { Step } from './generate.ts';

export const found: Record<string, Step> = {
  'SIGCHLD goes to the thread that made the child': ['0 thread 1', '1 spawn 2', '2 exit 3', '0 yield', '1 yield'],
  'a signal that kills the process does not let the sender go on': ['0 fork 1', '1 thread 2', '1 kill-hard 2', '0 wait 1 0'],
  'an eventfd takes eight bytes and no more': ['0 eventfd 0 0', '0 write 0 413 1', '0 write 0 8 1', '0 writev 0 236 8 8 1'],
  'what mremap takes away may have holes': ['0 map 0 14 3 0 1', '0 fill 14 3 5', '0 remap 14 9 0 1 34', '0 sum 34 0', '0 maps'],
  'an empty path is no path, whatever the directory': ['0 openat 7 16 0 0', '0 stat 16'],
  'a file may be copied onto itself from behind its end': ['0 open 0 4 420', '0 write 0 300 3', '0 copy-range 0 0 9830'],
  'a read of nothing does not ask the socket': ['0 socket 0 0', '0 read 0 0', '0 read 0 8', '0 receive 0 0 0'],
  'an ignored SIGCHLD is never pending': ['0 action 3 1 0 0', '0 mask 0 8', '0 fork 1', '1 exit 3', '0 pending'],
  'the first thread counts after its end': ['0 fork 1', '1 thread 2', '1 exit 3', '2 status', '0 wait 1 0'],
};
