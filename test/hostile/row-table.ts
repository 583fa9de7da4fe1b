/**
 * The rows of the system call table as text that a guest in C can read, for row-arguments.c. A line a call:
 *
 *     NUMBER NAME ARGUMENT…        0 read f buffer:out:1:2 size
 *
 * An argument is its kind. Pointers tell the direction as the kernel sees it and the least number of bytes it touches; buffers also
 * which argument (from 0) is their length. Descriptors name which of the guest's open files suits the call. `=VALUE` is what to pass
 * where the guest's own choice would not make the call succeed.
 */
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import { Decode } from '#sentry/syscalls/row.ts';
import type { Arg, Row } from '#sentry/syscalls/row.ts';

/** The descriptor that makes a call succeed; `file` for all others. */
const DESCRIPTORS: readonly (readonly [calls: RegExp, descriptor: string])[] = [
  [/^(send|recv|bind|connect|listen|accept|shutdown|get(sock|peer)|setsockopt)/, 'socket'],
  [/^epoll_/, 'epoll'],
  [/^timerfd_/, 'timer'],
  [/^inotify_(add|rm)/, 'inotify'],
  [/^pidfd_/, 'pidfd'],
  [/^getdents|^fchdir/, 'directory'],
];

/** Values that make a call succeed, by position, where the guest's own choice does not: numbers, or the name of one of its paths. */
const GOOD: Readonly<Record<string, readonly (number | string | null)[]>> = {
  arch_prctl: [0x1003],
  chdir: ['directory'],
  chroot: ['directory'],
  epoll_create: [1],
  epoll_ctl: [null, 1, 18],
  epoll_pwait: [null, null, 4, 0, null, 8],
  epoll_pwait2: [null, null, 4, null, null, 8],
  epoll_wait: [null, null, 4],
  fgetxattr: [null, 'xattr'],
  fsetxattr: [null, 'xattr'],
  futex: [null, 1, 1],
  getcwd: [null, 4096],
  getdents: [null, null, 4096],
  getdents64: [null, null, 4096],
  getsockopt: [null, 1, 7],
  getxattr: [null, 'xattr'],
  inotify_add_watch: [null, null, 0xfff],
  lgetxattr: [null, 'xattr'],
  link: [null, 'new'],
  linkat: [null, null, null, 'new'],
  lsetxattr: [null, 'xattr'],
  mkdir: ['new'],
  mkdirat: [null, 'new'],
  mknod: ['new', 0o100644],
  mknodat: [null, 'new', 0o100644],
  mlockall: [1],
  mmap: [0, 4096, 3, 0x22, -1, 0],
  poll: [null, 1],
  ppoll: [null, 1, null, null, 8],
  preadv: [null, null, 1],
  preadv2: [null, null, 1],
  pselect6: [24],
  pwritev: [null, null, 1],
  pwritev2: [null, null, 1],
  readlink: ['link', null, 64],
  readlinkat: [null, 'link', null, 64],
  readv: [null, null, 1],
  recvmmsg: [null, null, 1],
  removexattr: [null, 'xattr'],
  rename: [null, 'new'],
  renameat: [null, null, null, 'new'],
  renameat2: [null, null, null, 'new'],
  rmdir: ['directory'],
  rt_sigaction: [10],
  sched_getaffinity: [null, 64],
  select: [24],
  sendmmsg: [null, null, 1],
  setgroups: [1],
  sethostname: [null, 3],
  setdomainname: [null, 3],
  setrlimit: [4],
  setsockopt: [null, 1, 7, null, 4],
  setxattr: [null, 'xattr'],
  signalfd: [-1, null, 8],
  signalfd4: [-1, null, 8],
  socket: [1, 1],
  socketpair: [1, 1],
  symlink: [null, 'new'],
  symlinkat: [null, null, 'new'],
  timer_create: [null, 0],
  vmsplice: [13, null, 1],
  writev: [null, null, 1],
};

function descriptorOf(name: string): string {
  return DESCRIPTORS.find(([calls]) => calls.test(name))?.[1] ?? 'file';
}

function describe(row: Row, names: readonly string[], arg: Arg): string {
  const { display, pointer, decode } = arg;
  if (display.kind === 'path') return 'path';
  if (pointer !== undefined) {
    const length = display.kind === 'buffer' ? names.indexOf(display.length) : -1;
    return `pointer:${pointer.direction}:${pointer.size}:${length}`;
  }
  switch (display.kind) {
    case 'fd':
      return descriptorOf(row.name);
    case 'dirfd':
      return 'dirfd';
    case 'pid':
      return 'pid';
    case 'signal':
      return 'signal';
    case 'addr':
      return 'addr';
    default:
      return decode === Decode.U64 || decode === Decode.I64 ? 'wide' : 'int';
  }
}

function argumentsOf(row: Row): string[] {
  const names = Object.keys(row.args);
  return Object.values(row.args).map((arg, i) => {
    const good = GOOD[row.name]?.[i] ?? null;
    return describe(row, names, arg) + (good === null ? '' : `=${good}`);
  });
}

/** Every row of x86-64, by number. */
export function rowTable(): string {
  return ALL_ROWS.filter((row) => row.nr.x64 !== undefined)
    .toSorted((a, b) => a.nr.x64! - b.nr.x64!)
    .map((row) => [row.nr.x64, row.name, ...argumentsOf(row)].join(' '))
    .join('\n')
    .concat('\n');
}
