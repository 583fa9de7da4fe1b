/**
 * Calls whose arguments mean different things depending on each other: fcntl's third by its command, ioctl's by the request, open's mode by
 * O_CREAT; and results that are not plain numbers.
 */
import {
  F_ADD_SEALS,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_GET_SEALS,
  F_GETFD,
  F_GETFL,
  F_GETLEASE,
  F_GETLK,
  F_GETOWN,
  F_GETPIPE_SZ,
  F_GETSIG,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_SETFD,
  F_SETFL,
  F_SETLK,
  F_SETLKW,
  FD_CLOEXEC,
  FIOASYNC,
  FIOCLEX,
  FIONBIO,
  FIONCLEX,
  FIONREAD,
  Flock,
} from '#sentry/abi/fcntl.ts';
import { O_CREAT, O_DIRECTORY, O_TMPFILE } from '#sentry/abi/fs.ts';
import { FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_PRIVATE_FLAG } from '#sentry/abi/futex.ts';
import * as inet from '#sentry/abi/inet.ts';
import * as mman from '#sentry/abi/mman.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_TYPE_MASK, SOCK_TYPE_NAMES } from '#sentry/abi/socket.ts';
import * as termios from '#sentry/abi/termios.ts';
import { OPEN_FLAGS } from '../open.ts';
import type { CallContext } from './printer.ts';
import { levelText, optionText, protocolText, valueText } from './socket-options.ts';
import { enumText, flagText, hex, octal, pointer } from './text.ts';

/** Text of argument `index` where the row's own display does not do; undefined: the row's does; null: the argument is not shown. */
export type Override = (context: CallContext) => string | null | undefined;

const NO_ARGUMENT: ReadonlySet<number> = new Set([F_GETFD, F_GETFL, F_GETOWN, F_GETSIG, F_GETLEASE, F_GETPIPE_SZ, F_GET_SEALS]);
const LOCK_COMMANDS: ReadonlySet<number> = new Set([F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW]);
const LOCK_TYPES = { F_RDLCK: 0, F_WRLCK: 1, F_UNLCK: 2 };
const WHENCE = { SEEK_SET: 0, SEEK_CUR: 1, SEEK_END: 2 };
const FLAG_NAMES = Object.fromEntries(Object.entries(OPEN_FLAGS).filter(([name]) => name !== 'O_TMPFILE'));

const REQUESTS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Object.entries(termios).filter(([name]) => /^T(C|IO)/.test(name))),
  FIONBIO,
  FIOCLEX,
  FIONCLEX,
  FIONREAD,
  FIOASYNC,
  ...Object.fromEntries(Object.entries(inet).filter(([name]) => name.startsWith('SIOC'))),
};

function creates(flags: number): boolean {
  return (flags & O_CREAT) !== 0 || (flags & O_TMPFILE & ~O_DIRECTORY) !== 0;
}

function fcntlArgument({ values, view }: CallContext): string | null | undefined {
  const command = values[1]!;
  const argument = values[2]!;
  if (NO_ARGUMENT.has(command)) return null;
  if (command === F_SETFD) return flagText(argument, { FD_CLOEXEC });
  if (command === F_SETFL) return flagText(argument, FLAG_NAMES);
  if (command === F_DUPFD || command === F_DUPFD_CLOEXEC || command === F_ADD_SEALS) return `${argument | 0}`;
  if (!LOCK_COMMANDS.has(command)) return undefined;
  const lock = view.read(argument, Flock.size, (data) => Flock.decode(data, 0));
  if (lock === null) return pointer(argument);
  const { type, whence, start, len } = lock;
  return `{l_type=${enumText(type, LOCK_TYPES)}, l_whence=${enumText(whence, WHENCE)}, l_start=${start}, l_len=${len}}`;
}

function ioctlArgument({ values, view, result }: CallContext): string | undefined {
  const [, request, argument] = values as [number, number, number];
  switch (request) {
    case termios.TIOCGWINSZ:
      if (result !== 0) return undefined;
      return view.read(argument, 8, (data) => `{ws_row=${data.getUint16(0, true)}, ws_col=${data.getUint16(2, true)}, ...}`) ?? undefined;
    case termios.TIOCSPGRP:
    case termios.TIOCGPGRP:
    case FIONREAD:
    case FIONBIO:
      return view.read(argument, 4, (data) => `[${data.getInt32(0, true)}]`) ?? undefined;
    default:
      return undefined;
  }
}

const FUTEX_COMMAND = 0x7f;
const FUTEX_NAMES = [
  'FUTEX_WAIT',
  'FUTEX_WAKE',
  'FUTEX_FD',
  'FUTEX_REQUEUE',
  'FUTEX_CMP_REQUEUE',
  'FUTEX_WAKE_OP',
  'FUTEX_LOCK_PI',
  'FUTEX_UNLOCK_PI',
  'FUTEX_TRYLOCK_PI',
  'FUTEX_WAIT_BITSET',
  'FUTEX_WAKE_BITSET',
  'FUTEX_WAIT_REQUEUE_PI',
  'FUTEX_CMP_REQUEUE_PI',
  'FUTEX_LOCK_PI2',
];
/** Arguments beyond the third that a command does not look at. */
const FUTEX_UNUSED: Readonly<Record<number, readonly number[]>> = { 0: [4, 5], 1: [3, 4, 5], 3: [5], 9: [4], 10: [3, 4] };

function futexOperation({ values }: CallContext): string {
  const operation = values[1]!;
  const name = FUTEX_NAMES[operation & FUTEX_COMMAND] ?? hex(operation & FUTEX_COMMAND);
  return `${name}${(operation & FUTEX_PRIVATE_FLAG) === 0 ? '' : '_PRIVATE'}${(operation & FUTEX_CLOCK_REALTIME) === 0 ? '' : '|FUTEX_CLOCK_REALTIME'}`;
}

function futexArgument({ values, index }: CallContext): string | null | undefined {
  if (FUTEX_UNUSED[values[1]! & FUTEX_COMMAND]?.includes(index)) return null;
  return index === 5 && values[5]! >>> 0 === FUTEX_BITSET_MATCH_ANY ? 'FUTEX_BITSET_MATCH_ANY' : undefined;
}

function socketType({ values }: CallContext): string {
  const type = values[1]!;
  const flags = type & ~SOCK_TYPE_MASK;
  const kind = enumText(type & SOCK_TYPE_MASK, SOCK_TYPE_NAMES);
  return flags === 0 ? kind : `${kind}|${flagText(flags, { SOCK_CLOEXEC, SOCK_NONBLOCK })}`;
}

const ADVICE = Object.fromEntries(Object.entries(mman).filter(([name]) => name.startsWith('MADV_'))) as Record<string, number>;

/** An address that is only a wish. */
const hint: Override = ({ values }) => (values[0] === 0 ? 'NULL' : undefined);

/** By name of the call: overrides by argument index. */
export const OVERRIDES: Readonly<Record<string, Readonly<Record<number, Override>>>> = {
  open: { 2: ({ values }) => (creates(values[1]!) ? undefined : null) },
  openat: { 3: ({ values }) => (creates(values[2]!) ? undefined : null) },
  fcntl: { 2: fcntlArgument },
  futex: { 1: futexOperation, 3: futexArgument, 4: futexArgument, 5: futexArgument },
  madvise: { 2: ({ values }) => enumText(values[2]!, ADVICE) },
  mmap: { 0: hint },
  socket: { 1: socketType, 2: protocolText },
  setsockopt: { 1: levelText, 2: optionText, 3: valueText('in') },
  getsockopt: { 1: levelText, 2: optionText, 3: valueText('out') },
  socketpair: { 1: socketType },
  ioctl: { 1: ({ values }) => enumText(values[1]!, REQUESTS), 2: ioctlArgument },
};

const ADDRESS_RESULTS: ReadonlySet<string> = new Set(['mmap', 'brk', 'mremap', 'shmat']);

/** Text of a result ≥ 0. */
export function resultText(name: string, values: readonly number[], result: number): string {
  if (ADDRESS_RESULTS.has(name)) return hex(result);
  if (name === 'umask') return octal(result);
  if (name === 'fcntl' && values[1] === F_GETFL) return `${hex(result)} (flags ${flagText(result, FLAG_NAMES)})`;
  if (name === 'fcntl' && values[1] === F_GETFD && result === FD_CLOEXEC) return '0x1 (flags FD_CLOEXEC)';
  if ((name === 'poll' || name === 'ppoll' || name === 'select' || name === 'pselect6') && result === 0) return '0 (Timeout)';
  return `${result}`;
}
