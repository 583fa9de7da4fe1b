/**
 * Printers for structs in guest memory, by the format name of the row's argument. Each gets the address and what else the call tells (other
 * arguments, the result), and falls back to the bare address when the memory cannot be read.
 */
import { CloneArgs } from '#sentry/abi/clone.ts';
import { EpollEvent } from '#sentry/abi/epoll.ts';
import { OpenHow, UTIME_NOW, UTIME_OMIT } from '#sentry/abi/fcntl.ts';
import { S_IFBLK, S_IFCHR, S_IFMT } from '#sentry/abi/fs.ts';
import { getI64, getU64 } from '#sentry/abi/layout.ts';
import { POLL_NAMES, PollFd } from '#sentry/abi/poll.ts';
import { Rusage } from '#sentry/abi/resource.ts';
import { StackLayout } from '#sentry/abi/signal.ts';
import { deviceMajor, deviceMinor, Stat, Statfs } from '#sentry/abi/stat.ts';
import { OPEN_FLAGS } from '../open.ts';
import { iovecText, msghdrText, sockaddrText } from './message-structs.ts';
import type { CallContext, Printer } from './printer.ts';
import { sigactionText, siginfoText, sigsetText, waitStatusText } from './signal-structs.ts';
import { flagText, hex, modeText, octal, pointer, quote } from './text.ts';

/** Elements of an array shown before "...". */
const ELEMENTS_MAX = 32;

const time = (view: DataView, at: number, fraction: 'nsec' | 'usec'): string => {
  const part = getI64(view, at + 8);
  if (fraction === 'nsec' && part === UTIME_NOW) return 'UTIME_NOW';
  if (fraction === 'nsec' && part === UTIME_OMIT) return 'UTIME_OMIT';
  return `{tv_sec=${getI64(view, at)}, tv_${fraction}=${part}}`;
};

const limit = (value: number): string => {
  if (value >= 2 ** 63) return 'RLIM64_INFINITY';
  return value >= 1024 && value % 1024 === 0 ? `${value / 1024}*1024` : `${value}`;
};

/** A struct of fixed size. */
function fixed(size: number, print: (view: DataView) => string): Printer {
  return (address, { view }) => view.read(address, size, print);
}

function statText(view: DataView): string {
  const { mode, size, rdev } = Stat.decode(view, 0);
  const type = mode & S_IFMT;
  const isDevice = type === S_IFCHR || type === S_IFBLK;
  const what = isDevice ? `st_rdev=makedev(0x${deviceMajor(rdev).toString(16)}, 0x${deviceMinor(rdev).toString(16)})` : `st_size=${size}`;
  return `{st_mode=${modeText(mode)}, ${what}, ...}`;
}

function pollfds(address: number, context: CallContext): string | null {
  const count = Math.min(context.values[context.index + 1] ?? 0, ELEMENTS_MAX);
  if (count === 0) return '[]';
  return context.view.read(address, count * PollFd.size, (view) => {
    const items = Array.from({ length: count }, (_, i) => {
      const { fd, events } = PollFd.decode(view, i * PollFd.size);
      return `{fd=${fd}, events=${flagText(events & 0xffff, POLL_NAMES)}}`;
    });
    return `[${items.join(', ')}]`;
  });
}

function epollEvents(address: number, context: CallContext): string | null {
  const count = Math.min(Math.max(context.result ?? 0, 0), ELEMENTS_MAX);
  if (count === 0) return '[]';
  return context.view.read(address, count * EpollEvent.size, (view) => {
    const items = Array.from({ length: count }, (_, i) => epollEventText(view, i * EpollEvent.size));
    return `[${items.join(', ')}]`;
  });
}

const EPOLL_NAMES: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Object.entries(POLL_NAMES).map(([name, value]) => [`E${name}`, value])),
  EPOLLEXCLUSIVE: 0x1000_0000,
  EPOLLWAKEUP: 0x2000_0000,
  EPOLLONESHOT: 0x4000_0000,
  EPOLLET: 0x8000_0000,
};

function epollEventText(view: DataView, at: number): string {
  const { events, data } = EpollEvent.decode(view, at);
  return `{events=${flagText(events, EPOLL_NAMES)}, data={u32=${data[0]}, u64=${hex(data[1] * 2 ** 32 + data[0])}}}`;
}

/** NULL-terminated array of strings: argv. */
function strings(address: number, { view }: CallContext): string | null {
  const items: string[] = [];
  for (let i = 0; i < ELEMENTS_MAX; i++) {
    const item = view.u64(address + 8 * i);
    if (item === null) return null;
    if (item === 0) return `[${items.join(', ')}]`;
    const text = view.string(item);
    items.push(text === null ? pointer(item) : quote(text));
  }
  return `[${items.join(', ')}, ...]`;
}

function fdSet(address: number, { view, values }: CallContext): string | null {
  const bits = Math.min(Math.max(values[0] ?? 0, 0), 1024);
  return view.read(address, Math.ceil(bits / 64) * 8, (data) => {
    const members: number[] = [];
    for (let fd = 0; fd < bits; fd++) if ((data.getUint8(fd >> 3) & (1 << (fd & 7))) !== 0) members.push(fd);
    return `[${members.join(' ')}]`;
  });
}

function utsname(view: DataView): string {
  const field = (index: number): string => {
    let text = '';
    for (let i = 65 * index; view.getUint8(i) !== 0 && i < 65 * (index + 1) - 1; i++) text += String.fromCharCode(view.getUint8(i));
    return quote(text);
  };
  return `{sysname=${field(0)}, nodename=${field(1)}, ...}`;
}

function rusageText(view: DataView): string {
  const { utimeSec, utimeUsec, stimeSec, stimeUsec } = Rusage.decode(view, 0);
  return `{ru_utime={tv_sec=${utimeSec}, tv_usec=${utimeUsec}}, ru_stime={tv_sec=${stimeSec}, tv_usec=${stimeUsec}}, ...}`;
}

export const STRUCT_PRINTERS: Readonly<Record<string, Printer>> = {
  clone_args: fixed(64, (view) => {
    const { flags, exitSignal, stack, stackSize } = CloneArgs.decode(view, 0) as Record<string, number>;
    return `{flags=${hex(flags ?? 0)}, exit_signal=${exitSignal ?? 0}, stack=${pointer(stack ?? 0)}, stack_size=${hex(stackSize ?? 0)}}`;
  }),
  cwd: (address, { view, result }) => (result === null || result <= 0 ? null : quoteOrNull(view.string(address))),
  epoll_event: fixed(EpollEvent.size, (view) => epollEventText(view, 0)),
  epoll_events: epollEvents,
  fd_pair: fixed(8, (view) => `[${view.getInt32(0, true)}, ${view.getInt32(4, true)}]`),
  fd_set: fdSet,
  int: fixed(4, (view) => `[${view.getInt32(0, true)}]`),
  iovec_in: (address, context) => iovecText(address, context, 'in'),
  iovec_out: (address, context) => iovecText(address, context, 'out'),
  itimerspec: fixed(32, (view) => `{it_interval=${time(view, 0, 'nsec')}, it_value=${time(view, 16, 'nsec')}}`),
  itimerval: fixed(32, (view) => `{it_interval=${time(view, 0, 'usec')}, it_value=${time(view, 16, 'usec')}}`),
  msghdr: msghdrText,
  offset: fixed(8, (view) => `[${getI64(view, 0)}]`),
  open_how: fixed(OpenHow.size, (view) => {
    const { flags, mode, resolve } = OpenHow.decode(view, 0);
    return `{flags=${flagText(flags, OPEN_FLAGS)}, mode=${octal(mode)}, resolve=${hex(resolve)}}`;
  }),
  pollfds,
  rlimit: fixed(16, (view) => `{rlim_cur=${limit(getU64(view, 0))}, rlim_max=${limit(getU64(view, 8))}}`),
  rusage: fixed(Rusage.size, rusageText),
  sigaction: fixed(32, sigactionText),
  siginfo: fixed(128, siginfoText),
  sigset: fixed(8, (view) => sigsetText(view.getUint32(0, true), view.getUint32(4, true))),
  sockaddr: sockaddrText,
  stack_t: fixed(StackLayout.size, (view) => {
    const { address, flags, size } = StackLayout.decode(view, 0);
    return `{ss_sp=${pointer(address)}, ss_flags=${flagText(flags, { SS_ONSTACK: 1, SS_DISABLE: 2 })}, ss_size=${size}}`;
  }),
  stat: fixed(Stat.size, statText),
  statfs: fixed(Statfs.size, (view) => {
    const { type, bsize, blocks, bfree } = Statfs.decode(view, 0);
    return `{f_type=${hex(type)}, f_bsize=${bsize}, f_blocks=${blocks}, f_bfree=${bfree}, ...}`;
  }),
  statx: fixed(64, (view) => {
    const size = getU64(view, 40);
    return `{stx_mask=${hex(view.getUint32(0, true))}, stx_attributes=${hex(getU64(view, 8))}, stx_mode=${modeText(view.getUint16(28, true))}, stx_size=${size}, ...}`;
  }),
  strings,
  timespec: fixed(16, (view) => time(view, 0, 'nsec')),
  timespec2: fixed(32, (view) => `[${time(view, 0, 'nsec')}, ${time(view, 16, 'nsec')}]`),
  timeval: fixed(16, (view) => time(view, 0, 'usec')),
  timeval2: fixed(32, (view) => `[${time(view, 0, 'usec')}, ${time(view, 16, 'usec')}]`),
  utsname: fixed(65 * 6, utsname),
  wait_status: fixed(4, (view) => `[${waitStatusText(view.getInt32(0, true))}]`),
};

function quoteOrNull(text: string | null): string | null {
  return text === null ? null : quote(text);
}
