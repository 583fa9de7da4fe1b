/**
 * The rows of the system call table as text that a guest in C can read, for row-arguments.c. A line a call:
 *
 *     NUMBER NAME ARGUMENT…        0 read f buffer:out:1:2 size
 *
 * An argument is its kind. Pointers tell the direction as the kernel sees it and the least number of bytes it touches; buffers also
 * which argument (from 0) is their length. Descriptors name which of the guest's open files suits the call.
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

/** Every row of x86-64, by number. */
export function rowTable(): string {
  return ALL_ROWS.filter((row) => row.nr.x64 !== undefined)
    .toSorted((a, b) => a.nr.x64! - b.nr.x64!)
    .map((row) => [row.nr.x64, row.name, ...Object.values(row.args).map((arg) => describe(row, Object.keys(row.args), arg))].join(' '))
    .join('\n')
    .concat('\n');
}
