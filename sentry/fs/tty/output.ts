/**
 * The way out of a terminal: what programs write and what the line discipline echoes becomes bytes for the master, after output processing
 * (c_oflag). Knows the column of the cursor, which erasing a tab and ONOCR need.
 *
 * While output is stopped (Ctrl-S) or the master does not read, writers wait; echoes are kept aside, up to a bound, and follow later.
 * Linux: do_output_char and the echo buffer in drivers/tty/n_tty.c.
 */
import { ECHOCTL, IUTF8, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, XTABS } from '#sentry/abi/termios.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { POOL_PAGE_SIZE } from '../../mm/page-pool.ts';
import type { PagePool } from '../../mm/page-pool.ts';
import type { Attributes } from './attributes.ts';
import { ByteQueue } from './byte-queue.ts';

/** Bytes the master may leave unread before writers wait: on Linux 8 KiB on the way and 4 KiB in the master's own buffer. */
const OUTPUT_MAX = 3 * POOL_PAGE_SIZE;
/** Of these, what has reached the master on Linux and is not discarded any more when output is flushed. */
const DELIVERED = POOL_PAGE_SIZE;
const ECHOES_MAX = POOL_PAGE_SIZE;
/** Echoes of one piece of typing are held back until its end, so that a signal key in it discards them; but not more than these. */
const ECHO_BATCH = 256;
const TAB_WIDTH = 8;

export const BACKSPACE = 0x08;
export const TAB = 0x09;
export const NEWLINE = 0x0a;
export const RETURN = 0x0d;
export const SPACE = 0x20;
const DELETE = 0x7f;
const CARET = 0x5e;

export function isControl(byte: number): boolean {
  return byte < SPACE || byte === DELETE;
}

/** A byte inside a UTF-8 sequence, which takes no column of its own. */
export function isContinuation(byte: number, attributes: Attributes): boolean {
  return (attributes.iflag & IUTF8) !== 0 && (byte & 0xc0) === 0x80;
}

export class Output {
  /** What the master reads. */
  readonly queue: ByteQueue;
  /** Ctrl-S was typed, or TCXONC said so. */
  stopped = false;
  column = 0;
  /** Column at which the line being typed began. */
  lineStart = 0;
  /** Column before the echoes that are held back. */
  private shownColumn = 0;
  /** Bytes that were there when the current piece of typing began. */
  private arrived = Infinity;
  private readonly echoes: ByteQueue;
  private readonly attributes: Attributes;

  constructor(pool: PagePool, attributes: Attributes) {
    this.queue = new ByteQueue(pool);
    this.echoes = new ByteQueue(pool);
    this.attributes = attributes;
  }

  /** Bytes a writer may hand over now. Processing may make them more: the bound is not sharp. */
  get room(): number {
    return this.stopped ? 0 : Math.max(0, OUTPUT_MAX - this.queue.length);
  }

  write(memory: HostMemory, offset: number, length: number): void {
    const { bytes } = memory;
    const end = offset + length;
    if ((this.attributes.oflag & OPOST) === 0) for (let i = offset; i < end; i++) this.queue.push(bytes[i]!);
    else for (let i = offset; i < end; i++) this.process(bytes[i]!, this.queue);
  }

  /** Echoes a byte as it shows: control characters as ^X with ECHOCTL. */
  echo(byte: number): void {
    if ((this.attributes.lflag & ECHOCTL) === 0 || !isControl(byte) || byte === TAB) {
      this.echoPlain(byte);
      return;
    }
    this.echoPlain(CARET);
    this.echoPlain(byte ^ 0x40);
  }

  echoPlain(byte: number): void {
    if (this.echoes.length >= ECHOES_MAX) return; // nobody reads what is typed: as on Linux it is lost
    if (this.echoes.length === 0) this.shownColumn = this.column;
    if ((this.attributes.oflag & OPOST) === 0) this.echoes.push(byte);
    else this.process(byte, this.echoes);
    if (this.echoes.length >= ECHO_BATCH) this.releaseEchoes();
  }

  /** The cursor went back over `columns` without a byte that says so. */
  moveBack(columns: number): void {
    this.column = Math.max(0, this.column - columns);
  }

  /** Lets echoes out: after each piece of typing, and when what they had to wait for is over. */
  releaseEchoes(): void {
    while (this.echoes.length > 0 && this.room > 0) this.queue.push(this.echoes.shift());
  }

  dropEchoes(): void {
    if (this.echoes.length > 0) this.column = this.shownColumn;
    this.echoes.clear();
  }

  /** Discards what is still on its way. What the current piece of typing has brought about is, as a whole. */
  flush(): void {
    this.queue.truncate(Math.min(this.arrived, DELIVERED));
  }

  /** A piece of typing begins. */
  beginTyping(): void {
    this.arrived = this.queue.length;
  }

  endTyping(): void {
    this.releaseEchoes();
    this.arrived = Infinity;
  }

  clear(): void {
    this.queue.clear();
    this.echoes.clear();
  }

  private process(byte: number, target: ByteQueue): void {
    const { oflag } = this.attributes;
    switch (byte) {
      case NEWLINE:
        if ((oflag & (ONLCR | ONLRET)) !== 0) this.column = 0;
        if ((oflag & ONLCR) !== 0) target.push(RETURN);
        this.lineStart = this.column;
        target.push(NEWLINE);
        return;
      case RETURN:
        if ((oflag & ONOCR) !== 0 && this.column === 0) return;
        if ((oflag & OCRNL) !== 0) {
          if ((oflag & ONLRET) !== 0) this.column = this.lineStart = 0;
          target.push(NEWLINE);
          return;
        }
        this.column = this.lineStart = 0;
        target.push(RETURN);
        return;
      case TAB:
        this.processTab((oflag & TABDLY) === XTABS, target);
        return;
      case BACKSPACE:
        if (this.column > 0) this.column--;
        target.push(BACKSPACE);
        return;
      default:
        this.processOther(byte, oflag, target);
    }
  }

  private processTab(expands: boolean, target: ByteQueue): void {
    const columns = TAB_WIDTH - (this.column % TAB_WIDTH);
    this.column += columns;
    if (!expands) target.push(TAB);
    else for (let i = 0; i < columns; i++) target.push(SPACE);
  }

  private processOther(byte: number, oflag: number, target: ByteQueue): void {
    if (isControl(byte)) {
      target.push(byte);
      return;
    }
    if (!isContinuation(byte, this.attributes)) this.column++;
    const lower = byte >= 0x61 && byte <= 0x7a;
    target.push(lower && (oflag & OLCUC) !== 0 ? byte - 0x20 : byte);
  }
}
