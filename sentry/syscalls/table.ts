/**
 * All rows. A new family is added here and nowhere else.
 */
import { attributeRows } from './attributes.ts';
import { capabilityRows } from './capabilities.ts';
import { copyRows } from './copy.ts';
import { credentialRows } from './credentials.ts';
import { descriptorRows } from './descriptors.ts';
import { directoryRows } from './directories.ts';
import { epollRows } from './epoll.ts';
import { eventFdRows } from './event-fds.ts';
import { fcntlRows } from './fcntl.ts';
import { futexRows } from './futex.ts';
import { inotifyRows } from './inotify.ts';
import { ioctlRows } from './ioctl.ts';
import { kcmpRows } from './kcmp.ts';
import { linkRows } from './links.ts';
import { lockRows } from './locks.ts';
import { memfdRows } from './memfd.ts';
import { memoryRows } from './memory.ts';
import { mountRows } from './mount.ts';
import { mqNotifyRows } from './mq-notify.ts';
import { mqueueRows } from './mqueue.ts';
import { msgControlRows } from './msg-control.ts';
import { msgRows } from './msg.ts';
import { openRows } from './open.ts';
import { pipeRows } from './pipe.ts';
import { pollRows } from './poll.ts';
import { prctlRows } from './prctl.ts';
import { processMemoryRows } from './process-memory.ts';
import { processRows } from './process.ts';
import { readWriteRows } from './read-write.ts';
import { resourceRows } from './resources.ts';
import { schedulingRows } from './scheduling.ts';
import { seccompRows } from './seccomp.ts';
import { semControlRows } from './sem-control.ts';
import { semRows } from './sem.ts';
import { shmRows } from './shm.ts';
import { signalRows } from './signals.ts';
import { socketRows } from './sockets.ts';
import { statRows } from './stat.ts';
import { statfsRows } from './statfs.ts';
import { syncRows } from './sync.ts';
import { systemRows } from './system.ts';
import { timeRows } from './time.ts';
import { timeRows as fileTimeRows } from './times.ts';
import { xattrRows } from './xattr.ts';
import type { Row } from './row.ts';

export const ALL_ROWS: readonly Row[] = [
  ...attributeRows,
  ...capabilityRows,
  ...copyRows,
  ...credentialRows,
  ...descriptorRows,
  ...directoryRows,
  ...epollRows,
  ...eventFdRows,
  ...fcntlRows,
  ...fileTimeRows,
  ...futexRows,
  ...inotifyRows,
  ...ioctlRows,
  ...kcmpRows,
  ...linkRows,
  ...lockRows,
  ...memfdRows,
  ...memoryRows,
  ...mountRows,
  ...mqNotifyRows,
  ...mqueueRows,
  ...msgControlRows,
  ...msgRows,
  ...openRows,
  ...pipeRows,
  ...pollRows,
  ...prctlRows,
  ...processMemoryRows,
  ...processRows,
  ...readWriteRows,
  ...resourceRows,
  ...schedulingRows,
  ...seccompRows,
  ...semControlRows,
  ...semRows,
  ...shmRows,
  ...signalRows,
  ...socketRows,
  ...statRows,
  ...statfsRows,
  ...syncRows,
  ...systemRows,
  ...timeRows,
  ...xattrRows,
];
