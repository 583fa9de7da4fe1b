/**
 * What a gofer may ask of the host, in all its threads: file calls relative to descriptors it already has, its one socket, and what Node
 * needs to stay alive. Calls that take a path are confined by the empty root, Landlock and the detached mounts; the filter's part is that
 * there is no way to anything that is not a file: no new process or thread, no socket, no mount, no ioctl, no signal.
 *
 * A call outside of the list fails with EPERM instead of killing: Node and the C library try calls whose failure they take well.
 */
import type { Filter, Rule } from './assembler.ts';
import { NODE_RULES } from './node-rules.ts';

/** In mknodat's mode: set for character and block devices, and for nothing else that can be made. */
const DEVICE = 0o020000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;

const FINDING: readonly Rule[] = [
  { nr: 437, name: 'openat2', reason: 'one component beneath a directory, never through a link' },
  { nr: 257, name: 'openat', reason: 'the same where openat2 is missing; reopening through /proc/self/fd; creating files' },
  { nr: 3, name: 'close', reason: 'fids let go, donated descriptors after they were sent' },
  { nr: 332, name: 'statx', reason: 'attributes' },
  { nr: 138, name: 'fstatfs', reason: 'statfs, and telling kernel interfaces from files' },
  { nr: 267, name: 'readlinkat', reason: 'targets of symbolic links' },
  { nr: 217, name: 'getdents64', reason: 'listing directories' },
  { nr: 8, name: 'lseek', reason: 'going on with a listing' },
  { nr: 193, name: 'fgetxattr', reason: 'extended attributes' },
  { nr: 196, name: 'flistxattr', reason: 'extended attributes' },
  { nr: 254, name: 'inotify_add_watch', reason: 'telling the sentry when a directory changes' },
];

// Harmless where every root is read-only: no descriptor this process can get there lets them succeed.
const CHANGING: readonly Rule[] = [
  { nr: 258, name: 'mkdirat', reason: 'mkdir' },
  {
    nr: 259,
    name: 'mknodat',
    reason: 'regular files, FIFOs, and sockets that nobody on the host listens on; device nodes are not made',
    when: [{ argument: 2, bitsClear: DEVICE }],
  },
  { nr: 263, name: 'unlinkat', reason: 'unlink and rmdir' },
  { nr: 264, name: 'renameat', reason: 'rename without flags, as the C library does it' },
  { nr: 316, name: 'renameat2', reason: 'rename with flags' },
  { nr: 265, name: 'linkat', reason: 'link' },
  { nr: 266, name: 'symlinkat', reason: 'symlink' },
  { nr: 268, name: 'fchmodat', reason: 'setattr: mode' },
  { nr: 260, name: 'fchownat', reason: 'setattr: owner; new files given to their owner' },
  { nr: 280, name: 'utimensat', reason: 'setattr: times' },
  { nr: 77, name: 'ftruncate', reason: 'setattr: size' },
  { nr: 74, name: 'fsync', reason: 'fsync' },
  { nr: 75, name: 'fdatasync', reason: 'fsync' },
  { nr: 190, name: 'fsetxattr', reason: 'extended attributes' },
  { nr: 199, name: 'fremovexattr', reason: 'extended attributes' },
];

const SOCKET: readonly Rule[] = [
  { nr: 45, name: 'recvfrom', reason: 'requests' },
  { nr: 46, name: 'sendmsg', reason: 'replies, with the descriptors they donate' },
  {
    nr: 54,
    name: 'setsockopt',
    reason: 'the time limit for sending',
    when: [
      { argument: 1, lowOneOf: [SOL_SOCKET] },
      { argument: 2, lowOneOf: [SO_SNDTIMEO] },
    ],
  },
];

export const GOFER_FILTER: Filter = { name: 'gofer', otherwise: 'eperm', rules: [...FINDING, ...CHANGING, ...SOCKET, ...NODE_RULES] };
