/**
 * The calls that `sentry-path.ts` repeats. Each workload prepares what it needs with calls of its own and names the loop: the calls of one
 * operation, and those of a partner thread if it takes two to tango.
 */
import { ENOENT } from '#sentry/abi/errno.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import { AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR } from '#sentry/abi/fs.ts';
import { SOCK_STREAM, AF_UNIX } from '#sentry/abi/socket.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import { HOST_FILE } from './path-world.ts';
import { GUEST_BASE } from './scripted-platform.ts';
import type { ScriptedSpace } from './scripted-platform.ts';

export interface Call {
  readonly nr: number;
  readonly args: readonly number[];
}

export interface Loop {
  readonly calls: readonly Call[];
  readonly partner?: readonly Call[];
  /** What the calls are meant to fail with. */
  readonly error?: number;
}

/** Prepares on the guest's main thread: yields calls, receives their results. */
export type Preparation = Generator<Call, Loop, number>;

export interface PathWorkload {
  readonly name: string;
  /** At most so many nanoseconds for an operation. */
  readonly target?: number;
  prepare(space: ScriptedSpace): Preparation;
}

const numbers = new Map(ALL_ROWS.flatMap(({ name, nr }) => (nr.x64 === undefined ? [] : [[name, nr.x64] as const])));

export function call(name: string, ...args: readonly number[]): Call {
  const nr = numbers.get(name);
  if (nr === undefined) throw new Error(`no system call is named ${name}`);
  return { nr, args };
}

// Places in guest memory.
const PATH = GUEST_BASE;
const PAIR = GUEST_BASE + 0x1000;
const STAT = GUEST_BASE + 0x2000;
const WORD = GUEST_BASE + 0x3000;
const EVENTS = GUEST_BASE + 0x4000;
const VECTOR = GUEST_BASE + 0x5000;
const MISSING = GUEST_BASE + 0x6000;
const COUNTER = GUEST_BASE + 0x7000;
const MESSAGE = GUEST_BASE + 0x9000;
const POLLED = GUEST_BASE + 0x8000;
const BUFFER = GUEST_BASE + 0x10000;

const PAGE = 4096;
const BIG = 65_536;
const FUTEX_WAKE_PRIVATE = 129;
const FUTEX_WAIT_PRIVATE = 128;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const SEEK_SET = 0;
const EFD_NONBLOCK = 0o4000;

function put(space: ScriptedSpace, text: string, address = PATH): number {
  space.memory.writeLatin1(`${text}\0`, address - GUEST_BASE);
  return address;
}

function word(space: ScriptedSpace, address: number): number {
  return space.memory.view.getInt32(address - GUEST_BASE, true);
}

function* open(space: ScriptedSpace, path: string, flags: number): Generator<Call, number, number> {
  return yield call('openat', AT_FDCWD, put(space, path), flags, 0o644);
}

function* pair(space: ScriptedSpace, name: 'pipe2' | 'socketpair'): Generator<Call, readonly [number, number], number> {
  yield name === 'pipe2' ? call('pipe2', PAIR, 0) : call('socketpair', AF_UNIX, SOCK_STREAM, 0, PAIR);
  return [word(space, PAIR), word(space, PAIR + 4)];
}

function setVector(space: ScriptedSpace, pieces: readonly (readonly [address: number, length: number])[]): void {
  const { view } = space.memory;
  pieces.forEach(([address, length], i) => {
    const at = VECTOR - GUEST_BASE + 16 * i;
    putI64(view, at, address);
    putI64(view, at + 8, length);
  });
}

/** A workload whose loop needs one descriptor of a file. */
function onFile(name: string, path: string, flags: number, loop: (fd: number) => readonly Call[], target?: number): PathWorkload {
  return {
    name,
    ...(target === undefined ? {} : { target }),
    *prepare(space) {
      const fd = yield* open(space, path, flags);
      if ((flags & O_CREAT) !== 0) yield call('pwrite64', fd, BUFFER, BIG, 0);
      return { calls: loop(fd) };
    },
  };
}

let pathsUsed = 0;
function onPath(name: string, path: string, loop: (address: number) => readonly Call[], target?: number): PathWorkload {
  // A page for each: paths must not be overwritten by the next workload.
  const address = BUFFER + 0x20000 + 0x1000 * pathsUsed++;
  return {
    name,
    ...(target === undefined ? {} : { target }),
    *prepare(space) {
      put(space, path, address);
      yield call('getpid');
      return { calls: loop(address) };
    },
  };
}

const SMALL = '/dev/shm/small';
const LARGE = '/dev/shm/large';

export const PATH_WORKLOADS: readonly PathWorkload[] = [
  onPath('getppid', '/', () => [call('getppid')], 60),
  onFile('fstat', HOST_FILE, O_RDONLY, (fd) => [call('fstat', fd, STAT)], 200),
  onFile('lseek', HOST_FILE, O_RDONLY, (fd) => [call('lseek', fd, 100, SEEK_SET)], 100),
  onPath('stat host file', HOST_FILE, (path) => [call('stat', path, STAT)], 350),
  {
    name: 'stat missing',
    *prepare(space) {
      yield call('getpid');
      return { calls: [call('stat', put(space, '/usr/share/missing', MISSING), STAT)], error: -ENOENT };
    },
  },
  onFile('pread 4k host file', HOST_FILE, O_RDONLY, (fd) => [call('pread64', fd, BUFFER, PAGE, 0)]),
  {
    name: 'pread 4k tmpfs, small',
    *prepare(space) {
      const fd = yield* open(space, SMALL, O_RDWR | O_CREAT);
      yield call('pwrite64', fd, BUFFER, PAGE, 0);
      return { calls: [call('pread64', fd, BUFFER, PAGE, 0)] };
    },
  },
  onFile('pwrite 4k tmpfs, small', SMALL, O_RDWR, (fd) => [call('pwrite64', fd, BUFFER, PAGE, 0)]),
  onFile('pread 4k tmpfs, memfd', LARGE, O_RDWR | O_CREAT, (fd) => [call('pread64', fd, BUFFER, PAGE, PAGE)]),
  onFile('pwrite 4k tmpfs, memfd', LARGE, O_RDWR, (fd) => [call('pwrite64', fd, BUFFER, PAGE, PAGE)]),
  // Where malloc puts a large buffer.
  onFile('pread 4k memfd to page+16', LARGE, O_RDWR, (fd) => [call('pread64', fd, BUFFER + 16, PAGE, PAGE)]),
  onFile('pwrite 4k memfd page+4080', LARGE, O_RDWR, (fd) => [call('pwrite64', fd, BUFFER + 4080, PAGE, PAGE)]),
  {
    name: 'pipe 4k from, to page+16',
    *prepare(space) {
      const [reader, writer] = yield* pair(space, 'pipe2');
      return { calls: [call('write', writer, BUFFER + 16, PAGE), call('read', reader, BUFFER + 16, PAGE)] };
    },
  },
  onFile('write /dev/null', '/dev/null', O_RDWR, (fd) => [call('write', fd, BUFFER, 1)]),
  {
    name: 'writev of 3, tmpfs',
    *prepare(space) {
      const fd = yield* open(space, SMALL, O_RDWR);
      setVector(space, [
        [BUFFER, 16],
        [BUFFER + 256, 200],
        [BUFFER + 1024, 16],
      ]);
      return { calls: [call('pwritev', fd, VECTOR, 3, 0)] };
    },
  },
  {
    name: 'pipe write+read 1 byte',
    target: 500,
    *prepare(space) {
      const [reader, writer] = yield* pair(space, 'pipe2');
      return { calls: [call('write', writer, BUFFER, 1), call('read', reader, BUFFER, 1)] };
    },
  },
  {
    name: 'socketpair write+read',
    *prepare(space) {
      const [left, right] = yield* pair(space, 'socketpair');
      return { calls: [call('write', left, BUFFER, 1), call('read', right, BUFFER, 1)] };
    },
  },
  {
    name: 'sendto+recvfrom',
    *prepare(space) {
      const [left, right] = yield* pair(space, 'socketpair');
      return { calls: [call('sendto', left, BUFFER, 1, 0, 0, 0), call('recvfrom', right, BUFFER, 1, 0, 0, 0)] };
    },
  },
  {
    name: 'eventfd write+read',
    *prepare(space) {
      const fd = yield call('eventfd2', 0, EFD_NONBLOCK);
      space.memory.view.setUint32(COUNTER - GUEST_BASE, 1, true);
      return { calls: [call('write', fd, COUNTER, 8), call('read', fd, STAT, 8)] };
    },
  },
  {
    name: 'epoll_wait(0), none ready',
    *prepare(space) {
      const [reader] = yield* pair(space, 'pipe2');
      const epoll = yield call('epoll_create1', 0);
      space.memory.view.setUint32(EVENTS - GUEST_BASE, EPOLLIN, true);
      yield call('epoll_ctl', epoll, EPOLL_CTL_ADD, reader, EVENTS);
      return { calls: [call('epoll_wait', epoll, EVENTS, 16, 0)] };
    },
  },
  {
    name: 'epoll_wait(0), one ready',
    *prepare(space) {
      const [reader, writer] = yield* pair(space, 'pipe2');
      const epoll = yield call('epoll_create1', 0);
      space.memory.view.setUint32(EVENTS - GUEST_BASE, EPOLLIN, true);
      yield call('epoll_ctl', epoll, EPOLL_CTL_ADD, reader, EVENTS);
      yield call('write', writer, BUFFER, 1);
      return { calls: [call('epoll_wait', epoll, EVENTS, 16, 0)] };
    },
  },
  {
    name: 'poll of 1, ready',
    *prepare(space) {
      const [, writer] = yield* pair(space, 'pipe2');
      space.memory.view.setInt32(POLLED - GUEST_BASE, writer, true);
      space.memory.view.setInt32(POLLED + 4 - GUEST_BASE, 4, true);
      return { calls: [call('poll', POLLED, 1, 1000)] };
    },
  },
  {
    name: 'ppoll of 1, ready',
    *prepare(space) {
      const [, writer] = yield* pair(space, 'pipe2');
      const { view } = space.memory;
      view.setInt32(POLLED + 0x100 - GUEST_BASE, writer, true);
      view.setInt32(POLLED + 0x104 - GUEST_BASE, 4, true);
      view.setInt32(POLLED + 0x200 - GUEST_BASE, 5, true);
      return { calls: [call('ppoll', POLLED + 0x100, 1, POLLED + 0x200, 0, 8)] };
    },
  },
  {
    name: 'select of 1, ready',
    *prepare(space) {
      const [, writer] = yield* pair(space, 'pipe2');
      const { view } = space.memory;
      view.setUint8(POLLED + 0x300 + (writer >> 3) - GUEST_BASE, 1 << (writer & 7));
      view.setInt32(POLLED + 0x400 - GUEST_BASE, 5, true);
      return { calls: [call('select', writer + 1, 0, POLLED + 0x300, 0, POLLED + 0x400)] };
    },
  },
  {
    name: 'sendmsg+recvmsg of 2 pieces',
    *prepare(space) {
      const [left, right] = yield* pair(space, 'socketpair');
      const { view } = space.memory;
      putI64(view, MESSAGE + 16 - GUEST_BASE, MESSAGE + 64);
      view.setUint32(MESSAGE + 24 - GUEST_BASE, 2, true);
      for (const [i, address] of [MESSAGE + 256, MESSAGE + 512].entries()) {
        putI64(view, MESSAGE + 64 + 16 * i - GUEST_BASE, address);
        view.setUint32(MESSAGE + 72 + 16 * i - GUEST_BASE, 32, true);
      }
      return { calls: [call('sendmsg', left, MESSAGE, 0), call('recvmsg', right, MESSAGE, 0)] };
    },
  },
  onPath('statx', HOST_FILE, (path) => [call('statx', AT_FDCWD, path, 0, 0x7ff, STAT)]),
  onPath('readlink', '/dev/stdin', (path) => [call('readlink', path, STAT, 256)]),
  {
    name: 'getdents64 of 100 entries',
    *prepare(space) {
      yield call('mkdir', put(space, '/dev/shm/directory'), 0o755);
      for (let i = 0; i < 98; i++) {
        const fd = yield* open(space, `/dev/shm/directory/some-name-${i}`, O_RDWR | O_CREAT);
        yield call('close', fd);
      }
      const fd = yield* open(space, '/dev/shm/directory', O_RDONLY);
      return { calls: [call('lseek', fd, 0, SEEK_SET), call('getdents64', fd, BUFFER + 16, 32_768)] };
    },
  },
  onPath('getcwd', '/', () => [call('getcwd', STAT, 256)]),
  onPath('rt_sigaction', '/', () => [call('rt_sigaction', 10, 0, STAT, 8)]),
  onPath('uname', '/', () => [call('uname', STAT)]),
  onPath('futex wake, nobody', '/', () => [call('futex', WORD, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0)]),
  onPath('clock_gettime', '/', () => [call('clock_gettime', 1, STAT)]),
  onPath('rt_sigprocmask', '/', () => [call('rt_sigprocmask', 0, 0, STAT, 8)]),
  {
    name: 'pipe ping-pong, 2 threads',
    *prepare(space) {
      const [readA, writeA] = yield* pair(space, 'pipe2');
      const [readB, writeB] = yield* pair(space, 'pipe2');
      return {
        calls: [call('write', writeA, BUFFER, 1), call('read', readB, BUFFER, 1)],
        partner: [call('read', readA, BUFFER, 1), call('write', writeB, BUFFER, 1)],
      };
    },
  },
  {
    name: 'futex wait+wake, 2 threads',
    *prepare(space) {
      // The word never changes: whoever comes second finds the other waiting and wakes it.
      space.memory.view.setUint32(WORD + 64 - GUEST_BASE, 0, true);
      yield call('getpid');
      return {
        calls: [call('futex', WORD + 64, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0), call('futex', WORD + 128, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0)],
        partner: [call('futex', WORD + 64, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0), call('futex', WORD + 128, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0)],
      };
    },
  },
  // The last: the descriptor it gets is the lowest that nobody else has.
  {
    name: 'open+close host file',
    target: 2000,
    *prepare(space) {
      const fd = yield* open(space, HOST_FILE, O_RDONLY);
      yield call('close', fd);
      return { calls: [call('openat', AT_FDCWD, put(space, HOST_FILE), O_RDONLY, 0), call('close', fd)] };
    },
  },
];
