import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import {
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  ECHONL,
  ECHOPRT,
  ICANON,
  ICRNL,
  IEXTEN,
  IGNCR,
  INLCR,
  ISIG,
  ISTRIP,
  IUCLC,
  IUTF8,
  IXANY,
  IXON,
  NOFLSH,
  OCRNL,
  ONLCR,
  ONOCR,
  OPOST,
  TERMIOS2_SIZE,
  TERMIOS_SIZE,
  XTABS,
} from '#sentry/abi/termios.ts';
import { SIGINT, SIGQUIT, SIGTSTP } from '#sentry/abi/signal.ts';
import { TimerQueue } from '../../lib/timer-queue.ts';
import { PagePool } from '../../mm/page-pool.ts';
import { KernelIo } from '../../mm/io.ts';
import { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { Attributes } from './attributes.ts';
import { ByteQueue } from './byte-queue.ts';
import type { TerminalJobs } from './job-control.ts';
import { PseudoTerminal } from './terminal.ts';

/** A terminal with nobody at it: tests type, and look at the screen and at what a program would read. */
class Bench {
  readonly host = new FakeHost();
  readonly signals: number[] = [];
  readonly terminal: PseudoTerminal;
  private readonly memory = this.host.allocate(1 << 16);

  constructor() {
    const shared = new AnonymousFiles(this.host, new TimerQueue());
    const jobs: TerminalJobs = {
      ioctl: () => null,
      mayRead: () => 0,
      mayChange: () => 0,
      isBackground: () => false,
      opened: () => {},
      hangup: () => {},
      forget: () => {},
      signalForeground: (signo) => this.signals.push(signo),
    };
    this.terminal = new PseudoTerminal(shared, shared.pages.take(), jobs);
  }

  type(text: string): number {
    this.memory.writeLatin1(text, 0);
    return this.terminal.receive(this.memory, 0, text.length);
  }

  show(text: string): void {
    this.memory.writeLatin1(text, 0);
    this.terminal.write(this.memory, 0, text.length);
  }

  screen(): string {
    const taken = this.terminal.output.queue.take(new KernelIo(this.memory, 0, 60_000));
    this.terminal.outputTaken();
    return this.memory.latin1(0, taken);
  }

  /** What a read of `size` bytes gets; null where it would wait. */
  read(size = 4096): string | null {
    const { input, readsLines } = this.terminal;
    if (readsLines ? !input.hasLine : input.length === 0) return null;
    const io = new KernelIo(this.memory, 0, size);
    return this.memory.latin1(0, readsLines ? input.takeLine(io) : input.takeBytes(io));
  }

  set(change: { iflag?: number; oflag?: number; lflag?: number; cc?: Readonly<Record<number, number>> }): void {
    const { attributes } = this.terminal;
    attributes.encode(this.memory.view, 0);
    const { view } = this.memory;
    view.setUint32(0, change.iflag ?? attributes.iflag, true);
    view.setUint32(4, change.oflag ?? attributes.oflag, true);
    view.setUint32(12, change.lflag ?? attributes.lflag, true);
    for (const [place, byte] of Object.entries(change.cc ?? {})) view.setUint8(17 + Number(place), byte);
    this.terminal.setAttributes(this.memory, 0, TERMIOS_SIZE);
  }
}

const EDITING = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;

describe('canonical input', () => {
  test('a line can be read when it is complete', () => {
    const bench = new Bench();
    bench.type('hel');
    expect(bench.read()).toBeNull();
    bench.type('lo\r');
    expect(bench.screen()).toBe('hello\r\n');
    expect(bench.read()).toBe('hello\n');
    expect(bench.read()).toBeNull();
  });

  test('one line at a time, in pieces if asked', () => {
    const bench = new Bench();
    bench.type('first\rsecond\r');
    expect(bench.read(3)).toBe('fir');
    expect(bench.read()).toBe('st\n');
    expect(bench.read(6)).toBe('second');
    expect(bench.read()).toBe('\n');
  });

  test('end of file', () => {
    const bench = new Bench();
    bench.type('\x04');
    expect(bench.read()).toBe('');
    bench.type('abc\x04');
    expect(bench.terminal.input.completeBytes).toBe(3);
    expect(bench.read()).toBe('abc');
    expect(bench.read()).toBeNull();
    bench.type('abc\x04');
    expect(bench.read(3)).toBe('abc');
    expect(bench.read()).toBeNull();
  });

  test('VEOL and VEOL2 end lines and belong to them', () => {
    const bench = new Bench();
    bench.set({ cc: { 11: 0x7c, 16: 0x26 } });
    bench.type('a|b&c');
    expect(bench.read()).toBe('a|');
    expect(bench.read()).toBe('b&');
    expect(bench.read()).toBeNull();
  });

  test('an overlong line loses its end and can still be finished', () => {
    const bench = new Bench();
    expect(bench.type('x'.repeat(5000))).toBe(5000);
    expect(bench.terminal.acceptsInput).toBe(true);
    bench.type('\r');
    expect(bench.terminal.acceptsInput).toBe(false);
    expect(bench.type('more')).toBe(0);
    expect(bench.read(8192)).toBe(`${'x'.repeat(4095)}\n`);
    expect(bench.type('more\r')).toBe(5);
    expect(bench.read()).toBe('more\n');
  });

  test('the buffer goes round', () => {
    const bench = new Bench();
    for (let i = 0; i < 50; i++) {
      const line = `${i}${'y'.repeat(900)}`;
      bench.type(`${line}\r`);
      expect(bench.read()).toBe(`${line}\n`);
      bench.screen();
    }
  });

  test('carriage returns and newlines', () => {
    const bench = new Bench();
    bench.set({ iflag: IGNCR });
    bench.type('a\rb\n');
    expect(bench.read()).toBe('ab\n');
    bench.set({ iflag: INLCR });
    bench.type('a\nb\x04');
    expect(bench.read()).toBe('a\rb');
    bench.set({ iflag: ISTRIP | ICRNL });
    bench.type('\xe1\r');
    expect(bench.read()).toBe('a\n');
  });
});

describe('editing', () => {
  test('erase, word erase, kill', () => {
    const bench = new Bench();
    bench.type('abc\x7f\x7fX\r');
    expect(bench.screen()).toBe('abc\b \b\b \bX\r\n');
    expect(bench.read()).toBe('aX\n');
    bench.type('one two, \x17three\r');
    expect(bench.screen()).toBe(`one two, ${'\b \b'.repeat(5)}three\r\n`);
    expect(bench.read()).toBe('one three\n');
    bench.type('wrong\x15right\r');
    expect(bench.screen()).toBe(`wrong${'\b \b'.repeat(5)}right\r\n`);
    expect(bench.read()).toBe('right\n');
  });

  test('nothing is erased beyond the line', () => {
    const bench = new Bench();
    bench.type('a\r\x7f\x17\x15b\r');
    expect(bench.read()).toBe('a\n');
    expect(bench.read()).toBe('b\n');
  });

  test('a control character is erased with its caret', () => {
    const bench = new Bench();
    bench.type('\x01\x7f\r');
    expect(bench.screen()).toBe('^A\b \b\b \b\r\n');
    expect(bench.read()).toBe('\n');
  });

  test('a tab goes back to where it began', () => {
    const bench = new Bench();
    bench.show('$ ');
    bench.type('abc\t\x7f');
    expect(bench.screen()).toBe('$ abc\t\b\b\b');
    bench.type('\x15\t\t\x7f');
    expect(bench.screen().endsWith('\t\t\b\b\b\b\b\b\b\b')).toBe(true);
  });

  test('a UTF-8 sequence is one character', () => {
    const bench = new Bench();
    bench.set({ iflag: ICRNL | IXON | IUTF8 });
    bench.type('x\xc3\xa4\x7f\r');
    expect(bench.screen()).toBe('x\xc3\xa4\b \b\r\n');
    expect(bench.read()).toBe('x\n');
  });

  test('without ECHOE and ECHOKE the keys themselves are shown', () => {
    const bench = new Bench();
    bench.set({ lflag: ISIG | ICANON | ECHO | ECHOK | ECHOCTL });
    bench.type('ab\x7f\x15');
    expect(bench.screen()).toBe('ab^?^U\r\n');
  });

  test('ECHOPRT shows what was erased', () => {
    const bench = new Bench();
    bench.set({ lflag: EDITING | ECHOPRT });
    bench.type('abc\x7f\x7fd\r');
    expect(bench.screen()).toBe('abc\\cb/d\r\n');
    expect(bench.read()).toBe('ad\n');
  });

  test('literal next and reprint', () => {
    const bench = new Bench();
    bench.type('a\x16\x03b\x12\r');
    expect(bench.signals).toEqual([]);
    expect(bench.screen()).toBe('a^\b^Cb^R\r\na^Cb\r\n');
    expect(bench.read()).toBe('a\x03b\n');
  });

  test('a newline that is not the end of a line shows as ^J', () => {
    const bench = new Bench();
    bench.type('\x16\n');
    expect(bench.screen()).toBe('^\b^J');
    bench.set({ lflag: ECHO | ECHOCTL });
    bench.type('\n\r');
    expect(bench.screen()).toBe('^J\r\n');
  });

  test('IUCLC makes letters small, those of Latin-1 too', () => {
    const bench = new Bench();
    bench.set({ iflag: IUCLC });
    bench.type('AZ\xc4\xd7\n');
    expect(bench.read()).toBe('az\xe4\xd7\n');
  });

  test('echo off, ECHONL', () => {
    const bench = new Bench();
    bench.set({ lflag: ICANON | ECHONL });
    bench.type('secret\r');
    expect(bench.screen()).toBe('\r\n');
    expect(bench.read()).toBe('secret\n');
  });
});

describe('signals and flow', () => {
  test('signal keys discard what was typed', () => {
    const bench = new Bench();
    bench.type('typed');
    bench.screen();
    bench.type('\x03');
    expect(bench.signals).toEqual([SIGINT]);
    expect(bench.screen()).toBe('^C');
    bench.type('\x1c\x1a\r');
    expect(bench.signals).toEqual([SIGINT, SIGQUIT, SIGTSTP]);
    expect(bench.read()).toBe('\n');
  });

  test('NOFLSH keeps it', () => {
    const bench = new Bench();
    bench.set({ lflag: EDITING | NOFLSH });
    bench.type('ab\x03c\r');
    expect(bench.read()).toBe('abc\n');
  });

  test('without ISIG they are ordinary', () => {
    const bench = new Bench();
    bench.set({ lflag: ICANON });
    bench.type('\x03\r');
    expect(bench.signals).toEqual([]);
    expect(bench.read()).toBe('\x03\n');
  });

  test('stop and start', () => {
    const bench = new Bench();
    bench.type('\x13');
    expect(bench.terminal.output.room).toBe(0);
    bench.type('ab');
    expect(bench.screen()).toBe('');
    bench.type('\x11');
    expect(bench.screen()).toBe('ab');
    expect(bench.terminal.output.room).toBeGreaterThan(0);
    bench.set({ iflag: IXON | IXANY });
    bench.type('\x13');
    bench.type('c');
    expect(bench.screen()).toBe('c');
  });

  test('echoes of one piece of typing go with it, except those before a start key', () => {
    const bench = new Bench();
    bench.type('ab\x03');
    expect(bench.screen()).toBe('^C');
    bench.type('ab\x11cd\x13');
    expect(bench.screen()).toBe('ab');
    bench.type('\x11');
    expect(bench.screen()).toBe('cd');
  });

  test('the signal of a key starts output again', () => {
    const bench = new Bench();
    bench.type('\x13\x03');
    expect(bench.terminal.output.stopped).toBe(false);
  });
});

describe('output', () => {
  test('newlines and tabs', () => {
    const bench = new Bench();
    bench.show('a\nb\tc');
    expect(bench.screen()).toBe('a\r\nb\tc');
    bench.set({ oflag: OPOST | XTABS });
    bench.show('\rab\tc\n');
    expect(bench.screen()).toBe('\rab      c\n');
    bench.set({ oflag: OPOST | OCRNL | ONOCR | ONLCR });
    bench.show('\r\n');
    bench.screen();
    bench.show('\rx\r');
    expect(bench.screen()).toBe('x\n');
    bench.set({ oflag: 0 });
    bench.show('a\nb');
    expect(bench.screen()).toBe('a\nb');
  });

  test('room is bounded, and a flush spares what has arrived', () => {
    const bench = new Bench();
    bench.show('x'.repeat(bench.terminal.output.room));
    expect(bench.terminal.output.room).toBe(0);
    bench.terminal.flushOutput();
    expect(bench.screen().length).toBe(4096);
    expect(bench.terminal.shared.pages.inUse).toBe(1);
  });
});

describe('attributes', () => {
  test('raw mode gives bytes at once, and back', () => {
    const bench = new Bench();
    bench.type('half');
    bench.set({ lflag: 0, iflag: 0 });
    expect(bench.read()).toBe('half');
    bench.type('a\r\x03');
    expect(bench.read(2)).toBe('a\r');
    bench.set({ lflag: EDITING });
    expect(bench.read()).toBe('\x03');
    expect(bench.read()).toBeNull();
  });

  test('poll wants VMIN bytes', () => {
    const bench = new Bench();
    bench.set({ lflag: 0, cc: { 6: 3 } });
    bench.type('ab');
    expect(bench.terminal.isReadable).toBe(false);
    bench.type('c');
    expect(bench.terminal.isReadable).toBe(true);
  });

  test('the struct goes out as it came in', () => {
    const host = new FakeHost();
    const memory = host.allocate(4096);
    const attributes = new Attributes();
    attributes.encode(memory.view, 0);
    expect(memory.view.getUint32(0, true)).toBe(ICRNL | IXON);
    expect(memory.view.getUint32(8, true)).toBe(0o277);
    expect(memory.view.getUint32(36, true)).toBe(38_400);
    memory.view.setUint32(8, 0o010002, true);
    attributes.decode(memory.view, 0, TERMIOS_SIZE);
    expect(attributes.outputSpeed).toBe(115_200);
    expect(attributes.cflag & 0o260).toBe(0o260);
    memory.view.setUint32(8, 0o010000, true);
    memory.view.setUint32(40, 12_345, true);
    attributes.decode(memory.view, 0, TERMIOS2_SIZE);
    expect(attributes.outputSpeed).toBe(12_345);
  });
});

test('a byte queue keeps order over pages and gives them back', () => {
  const host = new FakeHost();
  const pool = new PagePool(host, 8);
  const queue = new ByteQueue(pool);
  const memory = host.allocate(1 << 16);
  for (let i = 0; i < 10_000; i++) queue.push(i % 251);
  expect(queue.length).toBe(10_000);
  expect(pool.inUse).toBe(3);
  let next = 0;
  for (;;) {
    const taken = queue.take(new KernelIo(memory, 0, 777));
    if (taken === 0) break;
    const wrong = memory.bytes.subarray(0, taken).findIndex((byte, i) => byte !== (next + i) % 251);
    expect(wrong).toBe(-1);
    next += taken;
  }
  expect(next).toBe(10_000);
  expect(pool.inUse).toBe(0);
  for (let i = 0; i < 8 * 4096; i++) queue.push(1);
  expect(queue.push(1)).toBe(false);
  queue.truncate(4097);
  expect(pool.inUse).toBe(2);
  queue.clear();
  expect(pool.inUse).toBe(0);
});
