import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN, EBUSY, EINVAL, EIO, ENOENT, ENOSPC, ENOTTY, EPERM, EACCES } from '#sentry/abi/errno.ts';
import { O_CREAT, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, POLLHUP, POLLIN, POLLPRI, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { SIGWINCH } from '#sentry/abi/signal.ts';
import {
  TCFLSH,
  TCGETS,
  TCSETS,
  TCXONC,
  TIOCEXCL,
  TIOCGPTLCK,
  TIOCGPTN,
  TIOCGWINSZ,
  TIOCINQ,
  TIOCNXCL,
  TIOCOUTQ,
  TIOCPKT,
  TIOCPKT_FLUSHREAD,
  TIOCPKT_FLUSHWRITE,
  TIOCPKT_STOP,
  TIOCSPTLCK,
  TIOCSTI,
  TIOCSWINSZ,
  VMIN,
  VTIME,
} from '#sentry/abi/termios.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { TimerQueue } from '../../lib/timer-queue.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import { KernelIo } from '../../mm/io.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { World } from '../testing/world.ts';
import type { TestCaller } from '../testing/world.ts';
import type { TerminalJobs } from '../tty/job-control.ts';
import { DEVPTS_DEFAULTS, DevptsFileSystem, parseDevptsOptions, registerTerminals } from './devpts-file-system.ts';

/** Where a caller's "guest memory" keeps ioctl arguments. */
const ARGUMENT = 0x100;

/** A devpts on `/` with callers that have memory and a wait, and job control that writes down what it is told. */
class Bench {
  readonly host = new FakeHost();
  readonly log: string[] = [];
  readonly shared = new AnonymousFiles(this.host, new TimerQueue());
  readonly pts: DevptsFileSystem;
  readonly world: World;
  readonly wait = { first: true, timedOut: false, deadlineNs: Infinity };
  readonly guest: HostMemory = this.host.allocate(4096);
  readonly caller: TestCaller;
  /** What background checks answer. */
  refusal = 0;
  private readonly buffer = this.host.allocate(1 << 16);

  constructor(options = DEVPTS_DEFAULTS) {
    const jobs = (device: number): TerminalJobs => ({
      ioctl: () => null,
      mayRead: () => this.refusal,
      mayChange: () => this.refusal,
      isBackground: () => this.refusal !== 0,
      opened: () => this.log.push(`opened ${device & 0xff}`),
      signalForeground: (signo) => this.log.push(`signal ${signo}`),
      hangup: () => this.log.push('hangup'),
      forget: () => this.log.push('forget'),
    });
    this.pts = new DevptsFileSystem(9, this.shared, { makeJobs: jobs, openPeer: () => -EINVAL }, options);
    this.world = new World(this.host, this.pts);
    registerTerminals(this.world.vfs.special, this.pts);
    this.caller = { ...this.world.root, task: this.task() };
  }

  private task(): unknown {
    const { guest } = this;
    return {
      wait: this.wait,
      scratch: this.host.allocate(4096),
      memory: {
        copyIn: (address: number, memory: HostMemory, offset: number, length: number) => {
          memory.bytes.set(guest.bytes.subarray(address, address + length), offset);
          return 0;
        },
        copyOut: (address: number, memory: HostMemory, offset: number, length: number) => {
          guest.bytes.set(memory.bytes.subarray(offset, offset + length), address);
          return 0;
        },
        loadU32: (address: number) => guest.view.getUint32(address, true),
        storeU32: (address: number, value: number) => {
          guest.view.setUint32(address, value, true);
          return 0;
        },
      },
    };
  }

  master(flags = O_RDWR | O_NONBLOCK): FileDescription {
    return this.world.open('/ptmx', flags, 0, this.caller);
  }

  slave(index: number, flags = O_RDWR): FileDescription {
    return this.world.open(`/${index}`, flags, 0, this.caller);
  }

  /** A pair that has been unlocked and opened. */
  pair(): { master: FileDescription; slave: FileDescription } {
    const master = this.master();
    this.ioctl(master, TIOCGPTN);
    const index = this.word;
    this.word = 0;
    this.ioctl(master, TIOCSPTLCK);
    return { master, slave: this.slave(index) };
  }

  get word(): number {
    return this.guest.view.getUint32(ARGUMENT, true);
  }
  set word(value: number) {
    this.guest.view.setUint32(ARGUMENT, value, true);
  }

  ioctl(file: FileDescription, request: number, argument = ARGUMENT): number {
    return file.ioctl(request, argument, this.caller);
  }

  write(file: FileDescription, text: string): number {
    this.buffer.writeLatin1(text, 0);
    return file.write(new KernelIo(this.buffer, 0, text.length), -1, this.caller);
  }

  read(file: FileDescription, size = 4096): string | number {
    const n = file.read(new KernelIo(this.buffer, 0, size), -1, this.caller);
    return n < 0 ? n : this.buffer.latin1(0, n);
  }

  /** Raw mode with these VMIN and VTIME. */
  raw(slave: FileDescription, minimum: number, time: number): void {
    this.ioctl(slave, TCGETS);
    this.guest.view.setUint32(ARGUMENT + 12, 0, true);
    this.guest.bytes[ARGUMENT + 17 + VMIN] = minimum;
    this.guest.bytes[ARGUMENT + 17 + VTIME] = time;
    if (this.ioctl(slave, TCSETS) !== 0) throw new Error('TCSETS');
  }
}

describe('names', () => {
  test('a terminal has a node while its master lives', () => {
    const bench = new Bench();
    expect(bench.world.list('/')).toEqual(['ptmx']);
    const master = bench.master();
    const second = bench.master();
    expect(bench.world.list('/')).toEqual(['0', '1', 'ptmx']);
    const stat = bench.world.stat('/1');
    expect(stat.mode).toBe(0o020620);
    expect(stat.gid).toBe(5);
    expect(stat.rdev).toBe(136 * 256 + 1);
    expect(stat.ino).toBe(4);
    master.release();
    expect(bench.world.tryStat('/0')).toBe(-ENOENT);
    const third = bench.master();
    expect(bench.world.list('/')).toEqual(['0', '1', 'ptmx']);
    second.release();
    third.release();
    expect(bench.shared.pages.inUse).toBe(0);
  });

  test('a number is taken until the terminal is closed too', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    master.release();
    expect(bench.world.list('/')).toEqual(['ptmx']);
    const other = bench.master();
    expect(bench.ioctl(other, TIOCGPTN)).toBe(0);
    expect(bench.word).toBe(1);
    slave.release();
    const again = bench.master();
    bench.ioctl(again, TIOCGPTN);
    expect(bench.word).toBe(0);
  });

  test('nothing else can be made', () => {
    const bench = new Bench();
    expect(bench.world.tryOpen('/new', O_RDWR | O_CREAT)).toBe(-EACCES);
    expect(bench.pts.root.mkdir()).toBe(-EPERM);
  });

  test('there is a limit', () => {
    const bench = new Bench({ ...DEVPTS_DEFAULTS, max: 2 });
    bench.master();
    bench.master();
    expect(bench.world.tryOpen('/ptmx', O_RDWR, 0, bench.caller)).toBe(-ENOSPC);
  });

  test('mount options', () => {
    expect(parseDevptsOptions('newinstance,gid=5,mode=0620,ptmxmode=0666')).toEqual({ ...DEVPTS_DEFAULTS });
    expect(parseDevptsOptions('')).toMatchObject({ gid: null, mode: 0o600, ptmxMode: 0 });
    expect(parseDevptsOptions('size=1m')).toBe(-EINVAL);
    expect(parseDevptsOptions('mode=999')).toBe(-EINVAL);
    expect(new Bench().pts.optionText).toBe('gid=5,mode=620,ptmxmode=666');
  });
});

describe('opening and closing', () => {
  test('a terminal is locked first', () => {
    const bench = new Bench();
    const master = bench.master();
    expect(bench.world.tryOpen('/0', O_RDWR, 0, bench.caller)).toBe(-EIO);
    bench.ioctl(master, TIOCGPTLCK);
    expect(bench.word).toBe(1);
    bench.word = 0;
    bench.ioctl(master, TIOCSPTLCK);
    expect(bench.world.tryOpen('/0', O_RDWR | O_NOCTTY, 0, bench.caller)).toBe(0);
    expect(bench.log).not.toContain('opened 0');
    expect(bench.world.tryOpen('/0', O_RDONLY, 0, bench.caller)).toBe(0);
    expect(bench.log).toContain('opened 0');
  });

  test('exclusive use', () => {
    const bench = new Bench();
    const { slave } = bench.pair();
    bench.world.root.credentials = { ...bench.world.root.credentials, effective: { low: 0, high: 0 } };
    const plain = { ...bench.caller, credentials: bench.world.root.credentials };
    expect(bench.ioctl(slave, TIOCEXCL)).toBe(0);
    expect(bench.world.tryOpen('/0', O_RDWR, 0, plain)).toBe(-EBUSY);
    expect(bench.ioctl(slave, TIOCNXCL)).toBe(0);
    expect(bench.world.tryOpen('/0', O_RDWR, 0, plain)).toBe(0);
  });

  test('the master reads an end once the last file is closed, and goes on when it is opened again', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    bench.write(slave, 'last words');
    slave.release();
    expect(bench.log).toContain('forget');
    expect(master.poll() & (POLLHUP | POLLIN)).toBe(POLLHUP | POLLIN);
    expect(bench.read(master)).toBe('last words');
    expect(bench.read(master)).toBe(-EIO);
    expect(bench.write(master, 'x')).toBe(1);
    const again = bench.slave(0);
    expect(master.poll() & POLLHUP).toBe(0);
    bench.read(master);
    expect(bench.read(master)).toBe(-EAGAIN);
    expect(bench.read(again)).toBe(-EAGAIN);
  });

  test('nobody opened it yet: the master waits, and what it types is kept', () => {
    const bench = new Bench();
    const master = bench.master();
    expect(bench.read(master)).toBe(-EAGAIN);
    expect(master.poll() & POLLHUP).toBe(0);
    expect(bench.write(master, 'early\r')).toBe(6);
    bench.word = 0;
    bench.ioctl(master, TIOCSPTLCK);
    expect(bench.read(bench.slave(0))).toBe('early\n');
  });

  test('without the master the terminal is dead', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    master.release();
    expect(bench.log).toContain('hangup');
    expect(bench.read(slave)).toBe('');
    expect(bench.write(slave, 'x')).toBe(-EIO);
    expect(bench.ioctl(slave, TCGETS)).toBe(-EIO);
    expect(slave.poll() & POLLHUP).toBe(POLLHUP);
    slave.release();
    expect(bench.shared.pages.inUse).toBe(0);
  });
});

describe('reading with VMIN and VTIME', () => {
  test('a measure', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    bench.raw(slave, 3, 0);
    bench.write(master, 'ab');
    expect(bench.read(slave)).toBe(-EAGAIN);
    expect(bench.read(slave, 2)).toBe('ab');
    bench.write(master, 'cde');
    expect(bench.read(slave)).toBe('cde');
  });

  test('a time limit for the whole read', () => {
    const bench = new Bench();
    const { slave } = bench.pair();
    bench.raw(slave, 0, 5);
    expect(bench.read(slave)).toBe(-EAGAIN);
    expect(bench.wait.deadlineNs).toBe(bench.host.nowNs + 5e8);
    bench.wait.first = false;
    bench.wait.timedOut = true;
    expect(bench.read(slave)).toBe('');
  });

  test('a time limit between bytes', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    bench.raw(slave, 3, 2);
    expect(bench.read(slave)).toBe(-EAGAIN);
    expect(bench.wait.deadlineNs).toBe(Infinity);
    bench.wait.first = false;
    bench.host.advance(1e9);
    bench.write(master, 'a');
    expect(bench.read(slave)).toBe(-EAGAIN);
    expect(bench.wait.deadlineNs).toBe(bench.host.nowNs + 2e8);
    bench.wait.timedOut = true;
    expect(bench.read(slave)).toBe('a');
  });

  test('neither: what is there', () => {
    const bench = new Bench();
    const { slave } = bench.pair();
    bench.raw(slave, 0, 0);
    expect(bench.read(slave)).toBe('');
  });
});

describe('requests', () => {
  test('window size', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    bench.guest.view.setUint16(ARGUMENT, 50, true);
    bench.guest.view.setUint16(ARGUMENT + 2, 120, true);
    expect(bench.ioctl(master, TIOCSWINSZ)).toBe(0);
    expect(bench.ioctl(master, TIOCSWINSZ)).toBe(0);
    expect(bench.log.filter((line) => line === `signal ${SIGWINCH}`).length).toBe(1);
    bench.guest.bytes.fill(0);
    expect(bench.ioctl(slave, TIOCGWINSZ)).toBe(0);
    expect(bench.guest.view.getUint16(ARGUMENT + 2, true)).toBe(120);
  });

  test('sizes of queues, flushing, flow', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    bench.write(master, 'line\rpart');
    bench.ioctl(slave, TIOCINQ);
    expect(bench.word).toBe(5);
    bench.ioctl(master, TIOCINQ);
    expect(bench.word).toBe(10);
    expect(bench.ioctl(slave, TIOCOUTQ)).toBe(0);
    expect(bench.word).toBe(0);
    expect(bench.ioctl(slave, TCFLSH, 0)).toBe(0);
    expect(bench.read(slave)).toBe(-EAGAIN);
    expect(bench.ioctl(slave, TCFLSH, 7)).toBe(-EINVAL);
    expect(bench.ioctl(slave, TCXONC, 0)).toBe(0);
    expect(bench.write(slave, 'x')).toBe(-EAGAIN);
    expect(slave.poll() & WRITABLE).toBe(0);
    expect(bench.ioctl(slave, TCXONC, 1)).toBe(0);
    expect(bench.write(slave, 'x')).toBe(1);
    expect(bench.ioctl(slave, TIOCSTI)).toBe(-EIO);
    expect(bench.ioctl(slave, 0x5499)).toBe(-ENOTTY);
    expect(bench.ioctl(slave, TIOCGPTN)).toBe(-ENOTTY);
  });

  test('packet mode', () => {
    const bench = new Bench();
    const { master, slave } = bench.pair();
    bench.word = 1;
    expect(bench.ioctl(master, TIOCPKT)).toBe(0);
    bench.write(slave, 'data');
    expect(bench.read(master)).toBe('\0data');
    bench.write(master, '\x13');
    expect(master.poll() & POLLPRI).toBe(POLLPRI);
    expect(bench.read(master)).toBe(String.fromCharCode(TIOCPKT_STOP));
    bench.ioctl(slave, TCFLSH, 2);
    expect(bench.read(master)).toBe(String.fromCharCode(TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE));
    expect(bench.read(master)).toBe(-EAGAIN);
  });

  test('the background is refused', () => {
    const bench = new Bench();
    const { slave } = bench.pair();
    bench.refusal = -EIO;
    expect(bench.read(slave)).toBe(-EIO);
    expect(bench.ioctl(slave, TCSETS)).toBe(-EIO);
    expect(bench.ioctl(slave, TCGETS)).toBe(0);
    expect(bench.write(slave, 'without TOSTOP')).toBe(14);
  });
});

test('whoever waits is told', () => {
  const bench = new Bench();
  const { master, slave } = bench.pair();
  const seen: string[] = [];
  const watch = (file: FileDescription, name: string): void => {
    const entry = new WaitEntry({
      wake: (_entry, events) => {
        seen.push(`${name} ${(events & READABLE) !== 0 ? 'r' : ''}${(events & WRITABLE) !== 0 ? 'w' : ''}`);
      },
    });
    file.queue.add(entry, READABLE | WRITABLE | POLLHUP);
  };
  watch(master, 'master');
  watch(slave, 'slave');
  bench.write(slave, 'out');
  expect(seen).toEqual(['master r']);
  bench.write(master, '\r');
  expect(seen).toContain('slave r');
  seen.length = 0;
  while (bench.write(slave, 'x'.repeat(1000)) !== -EAGAIN);
  seen.length = 0;
  bench.read(master);
  expect(seen).toEqual(['slave w']);
});
