/**
 * A pseudo-terminal (pty(7)): attributes, window size and line discipline between a master and the files open on the terminal itself. The
 * files are in fs/devpts; they move bytes and ask here.
 *
 *     keys:   master.write → receive → input → terminal.read
 *     screen: terminal.write → write → output.queue → master.read
 *
 * Whoever waits is told through the queues of the open files, which register here.
 */
import { POLLERR, POLLHUP, POLLPRI, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { SIGWINCH } from '#sentry/abi/signal.ts';
import {
  EXTPROC,
  ICANON,
  IXON,
  TIOCPKT_DOSTOP,
  TIOCPKT_FLUSHREAD,
  TIOCPKT_FLUSHWRITE,
  TIOCPKT_IOCTL,
  TIOCPKT_NOSTOP,
  TIOCPKT_START,
  TIOCPKT_STOP,
  VSTART,
  VSTOP,
  WINSIZE_SIZE,
} from '#sentry/abi/termios.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { WaitQueue } from '../../lib/wait-queue.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { Attributes } from './attributes.ts';
import { InputBuffer } from './input-buffer.ts';
import type { TerminalJobs } from './job-control.ts';
import { LineDiscipline } from './line-discipline.ts';
import type { DisciplineOwner } from './line-discipline.ts';
import { Output } from './output.ts';

/** An open file of either end. */
export interface TerminalEndFile {
  readonly queue: WaitQueue;
}

const START_DEFAULT = 0x11;
const STOP_DEFAULT = 0x13;
const EVERYTHING = READABLE | WRITABLE | POLLERR | POLLHUP | POLLPRI;

export class PseudoTerminal implements DisciplineOwner {
  readonly shared: AnonymousFiles;
  readonly attributes = new Attributes();
  readonly input: InputBuffer;
  readonly output: Output;
  readonly jobs: TerminalJobs;
  /** struct winsize. */
  readonly windowSize = new Uint8Array(WINSIZE_SIZE);
  /** null once it was closed: the terminal is dead then. */
  master: TerminalEndFile | null = null;
  readonly files = new Set<TerminalEndFile>();
  /** Somebody had it open at some time: without files now, the master reads an end. */
  wasOpened = false;
  /** TIOCEXCL. */
  exclusive = false;
  /** TIOCPKT, and what the master has to be told. */
  packetMode = false;
  packetStatus = 0;
  /** CLOCK_MONOTONIC of the last byte typed: VTIME counts from it. */
  lastInputNs = 0;
  private readonly discipline: LineDiscipline;

  /** `page` of the pool holds what was typed. */
  constructor(shared: AnonymousFiles, page: number, jobs: TerminalJobs) {
    this.shared = shared;
    this.jobs = jobs;
    this.input = new InputBuffer(shared.pages, page);
    this.output = new Output(shared.pages, this.attributes);
    this.discipline = new LineDiscipline(this.attributes, this.input, this.output, this);
  }

  /** Whether the master could write. */
  get acceptsInput(): boolean {
    return this.discipline.accepts;
  }

  get readsLines(): boolean {
    return (this.attributes.lflag & (ICANON | EXTPROC)) === ICANON;
  }

  /** Whether a reader would get something, as poll(2) sees it: with VMIN alone only a full measure counts. */
  get isReadable(): boolean {
    if (this.readsLines) return this.input.hasLine;
    const { minimum, timeoutNs } = this.attributes;
    return this.input.length >= (timeoutNs === 0 && minimum > 0 ? minimum : 1);
  }

  /** Takes bytes typed at the master: how many. */
  receive(memory: HostMemory, offset: number, length: number): number {
    this.output.beginTyping();
    const taken = this.discipline.receive(memory, offset, length);
    this.output.endTyping();
    this.lastInputNs = this.shared.host.monotonicNs();
    this.notifyFiles(READABLE);
    if (this.output.queue.length > 0) this.notifyMaster(READABLE);
    return taken;
  }

  /** Takes `length` bytes, at most `output.room`, that a program shows. */
  write(memory: HostMemory, offset: number, length: number): void {
    this.output.write(memory, offset, length);
    this.notifyMaster(READABLE);
  }

  /** The master took output away. */
  outputTaken(): void {
    this.output.releaseEchoes();
    if (this.output.room > 0) this.notifyFiles(WRITABLE);
  }

  /** A reader took input away. */
  inputTaken(): void {
    if (this.discipline.accepts) this.notifyMaster(WRITABLE);
  }

  // DisciplineOwner

  signalForeground(signo: number): void {
    this.jobs.signalForeground(signo);
  }

  setStopped(stopped: boolean): void {
    if (this.output.stopped === stopped) return;
    this.output.stopped = stopped;
    this.tellMaster(stopped ? TIOCPKT_STOP : TIOCPKT_START, stopped ? TIOCPKT_START : TIOCPKT_STOP);
    if (stopped) return;
    this.output.releaseEchoes();
    this.notifyMaster(READABLE);
    this.notifyFiles(WRITABLE);
  }

  flushForSignal(): void {
    this.output.dropEchoes();
    this.flushOutput();
    this.flushInput();
  }

  flushInput(): void {
    this.input.clear();
    this.tellMaster(TIOCPKT_FLUSHREAD, 0);
    this.notifyMaster(WRITABLE);
  }

  flushOutput(): void {
    this.output.flush();
    this.tellMaster(TIOCPKT_FLUSHWRITE, 0);
    this.notifyFiles(WRITABLE);
  }

  // Attributes and window size.

  /** `size`: struct termios or termios2. */
  setAttributes(memory: HostMemory, offset: number, size: number): void {
    const { attributes, input } = this;
    const before = { iflag: attributes.iflag, lflag: attributes.lflag, flow: this.usualFlow };
    attributes.decode(memory.view, offset, size);
    if (((before.lflag ^ attributes.lflag) & (ICANON | EXTPROC)) !== 0) {
      // What was typed so far can be read at once when lines begin to count, and byte by byte when they cease to.
      if (attributes.canonical) input.completeAll();
      else input.forgetLines();
      this.discipline.reset();
    }
    if ((before.iflag & IXON) !== 0 && (attributes.iflag & IXON) === 0) this.setStopped(false);
    if (before.flow !== this.usualFlow)
      this.tellMaster(this.usualFlow ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP, this.usualFlow ? TIOCPKT_NOSTOP : TIOCPKT_DOSTOP);
    if (((before.lflag | attributes.lflag) & EXTPROC) !== 0) this.tellMaster(TIOCPKT_IOCTL, 0);
    this.notifyFiles(READABLE | WRITABLE);
    this.notifyMaster(WRITABLE);
  }

  /** Ctrl-S and Ctrl-Q act as everybody expects: a remote login may then do the stopping itself. */
  private get usualFlow(): boolean {
    const { iflag, characters } = this.attributes;
    return (iflag & IXON) !== 0 && characters[VSTART] === START_DEFAULT && characters[VSTOP] === STOP_DEFAULT;
  }

  /** struct winsize at `offset`. The foreground hears of a change. */
  setWindowSize(memory: HostMemory, offset: number): void {
    const fresh = memory.bytes.subarray(offset, offset + WINSIZE_SIZE);
    if (fresh.every((byte, i) => byte === this.windowSize[i])) return;
    this.windowSize.set(fresh);
    this.jobs.signalForeground(SIGWINCH);
  }

  // Opening and closing.

  attach(file: TerminalEndFile): void {
    this.files.add(file);
    this.wasOpened = true;
  }

  /** A file of the terminal was closed. After the last one the master reads an end of file. */
  detach(file: TerminalEndFile): void {
    this.files.delete(file);
    if (this.files.size > 0) return;
    this.exclusive = false;
    this.jobs.forget();
    if (this.master === null) this.destroy();
    else this.notifyMaster(READABLE | POLLHUP);
  }

  /** The master was closed: the line is gone. Returns once nobody refers to it. */
  closeMaster(): void {
    this.master = null;
    this.jobs.hangup();
    this.output.clear();
    this.notifyFiles(EVERYTHING);
    if (this.files.size === 0) this.destroy();
  }

  /** Called once both ends are closed. */
  onDestroyed: () => void = () => {};

  private destroy(): void {
    this.output.clear();
    this.input.destroy();
    this.onDestroyed();
  }

  /** In packet mode the master reads the bits of `set` next; they undo those of `clear`. */
  private tellMaster(set: number, clear: number): void {
    if (!this.packetMode) return;
    this.packetStatus = (this.packetStatus & ~clear) | set;
    this.notifyMaster(READABLE | POLLPRI);
  }

  private notifyMaster(events: number): void {
    if (this.master !== null && !this.master.queue.isEmpty) this.master.queue.notify(events);
  }

  private notifyFiles(events: number): void {
    for (const { queue } of this.files) if (!queue.isEmpty) queue.notify(events);
  }
}
