/**
 * The line discipline: what becomes of each byte that is typed. It may be a signal for the foreground, a change of flow, an edit of the line,
 * or a byte for the reader; and it may be echoed.
 *
 *     const taken = discipline.receive(memory, offset, length);      // from the master; stops where the buffer is full
 *
 * Spec: termios(3); Linux drivers/tty/n_tty.c.
 */
import { SIGINT, SIGQUIT, SIGTSTP } from '#sentry/abi/signal.ts';
import {
  ECHO,
  ECHOCTL,
  ECHONL,
  EXTPROC,
  ICRNL,
  IEXTEN,
  IGNCR,
  INLCR,
  ISIG,
  ISTRIP,
  IUCLC,
  IXANY,
  IXON,
  NOFLSH,
  PARMRK,
  VEOF,
  VEOL,
  VEOL2,
  VERASE,
  VINTR,
  VKILL,
  VLNEXT,
  VQUIT,
  VREPRINT,
  VSTART,
  VSTOP,
  VSUSP,
  VWERASE,
} from '#sentry/abi/termios.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { Attributes } from './attributes.ts';
import { ORDINARY } from './attributes.ts';
import { LineEraser } from './erase.ts';
import { EOF_MARK } from './input-buffer.ts';
import type { InputBuffer } from './input-buffer.ts';
import { BACKSPACE, NEWLINE, RETURN } from './output.ts';
import type { Output } from './output.ts';

const CARET = 0x5e;
const ALL_ONES = 0xff;

/** What the discipline asks of the terminal around it. */
export interface DisciplineOwner {
  signalForeground(signo: number): void;
  /** Output is to go on, or to stop. */
  setStopped(stopped: boolean): void;
  /** Discards input and output that a signal made obsolete. */
  flushForSignal(): void;
}

export class LineDiscipline {
  private readonly attributes: Attributes;
  private readonly input: InputBuffer;
  private readonly output: Output;
  private readonly owner: DisciplineOwner;
  private readonly eraser: LineEraser;
  /** VLNEXT was typed: the next byte is an ordinary one. */
  private literal = false;

  constructor(attributes: Attributes, input: InputBuffer, output: Output, owner: DisciplineOwner) {
    this.attributes = attributes;
    this.input = input;
    this.output = output;
    this.owner = owner;
    this.eraser = new LineEraser(attributes, input, output);
  }

  /** Attributes changed. */
  reset(): void {
    this.literal = false;
    this.eraser.finish();
  }

  /** Whether a byte would be taken now. An overlong line takes editing and its end, and loses the rest. */
  get accepts(): boolean {
    return this.input.room > 0 || (this.attributes.canonical && !this.input.hasLine);
  }

  /** Takes typed bytes: how many of `length`. */
  receive(memory: HostMemory, offset: number, length: number): number {
    const { bytes } = memory;
    for (let i = 0; i < length; i++) {
      if (!this.accepts) return i;
      this.receiveByte(bytes[offset + i]!);
    }
    return length;
  }

  private receiveByte(typed: number): void {
    const { iflag, lflag } = this.attributes;
    let byte = typed;
    if ((iflag & ISTRIP) !== 0) byte &= 0x7f;
    if ((iflag & IUCLC) !== 0 && (lflag & IEXTEN) !== 0) byte = toLower(byte);
    if ((lflag & EXTPROC) !== 0) {
      this.store(byte);
      return;
    }
    if (this.literal) {
      this.literal = false;
      this.receiveOrdinary(byte);
      return;
    }
    const meaning = this.attributes.meaningOf(byte);
    if (meaning !== ORDINARY && this.receiveControl(byte, meaning)) return;
    if (this.output.stopped && (iflag & IXANY) !== 0 && (iflag & IXON) !== 0) this.owner.setStopped(false);
    const translated = this.translateReturn(byte);
    if (translated < 0) return;
    if (this.attributes.canonical && this.receiveEditing(translated)) return;
    if (typed === RETURN && translated === NEWLINE) this.receiveNewline();
    else this.receiveOrdinary(translated);
  }

  /** Flow control and signals, in either mode. True when the byte was one. */
  private receiveControl(byte: number, meaning: number): boolean {
    const { iflag, lflag } = this.attributes;
    if ((iflag & IXON) !== 0 && (meaning === VSTART || meaning === VSTOP)) {
      this.owner.setStopped(meaning === VSTOP);
      // Whatever was held back so far, even if nothing had been stopped.
      if (meaning === VSTART) this.output.releaseEchoes();
      return true;
    }
    if ((lflag & ISIG) === 0) return false;
    const signo = meaning === VINTR ? SIGINT : meaning === VQUIT ? SIGQUIT : meaning === VSUSP ? SIGTSTP : 0;
    if (signo === 0) return false;
    if ((lflag & NOFLSH) === 0) {
      this.eraser.finish();
      this.owner.flushForSignal();
    }
    if ((iflag & IXON) !== 0) this.owner.setStopped(false);
    if ((lflag & ECHO) !== 0) this.output.echo(byte);
    this.owner.signalForeground(signo);
    return true;
  }

  /** The byte after IGNCR, ICRNL and INLCR; -1: ignored. */
  private translateReturn(byte: number): number {
    const { iflag } = this.attributes;
    if (byte === RETURN) {
      if ((iflag & IGNCR) !== 0) return -1;
      return (iflag & ICRNL) !== 0 ? NEWLINE : RETURN;
    }
    return byte === NEWLINE && (iflag & INLCR) !== 0 ? RETURN : byte;
  }

  /** Canonical mode: ends of lines and editing. True when the byte was one of them. */
  private receiveEditing(byte: number): boolean {
    const { lflag } = this.attributes;
    if (byte === NEWLINE) {
      if ((lflag & (ECHO | ECHONL)) !== 0) this.echoNewline();
      this.input.pushDelimiter(NEWLINE);
      return true;
    }
    const extended = (lflag & IEXTEN) !== 0;
    switch (this.attributes.meaningOf(byte)) {
      case VERASE:
        this.eraser.eraseCharacter(byte);
        return true;
      case VKILL:
        this.eraser.eraseLine(byte);
        return true;
      case VWERASE:
        if (extended) this.eraser.eraseWord();
        return extended;
      case VLNEXT:
        if (extended) this.beginLiteral();
        return extended;
      case VREPRINT:
        if (!extended || (lflag & ECHO) === 0) return false;
        this.reprint(byte);
        return true;
      case VEOF:
        this.input.pushDelimiter(EOF_MARK);
        return true;
      case VEOL2:
        if (extended) this.endLine(byte);
        return extended;
      case VEOL:
        this.endLine(byte);
        return true;
      default:
        return false;
    }
  }

  private endLine(byte: number): void {
    if ((this.attributes.lflag & ECHO) !== 0) {
      this.markLineStart();
      this.output.echo(byte);
    }
    this.input.pushDelimiter(byte);
  }

  private beginLiteral(): void {
    this.literal = true;
    const { lflag } = this.attributes;
    if ((lflag & ECHO) === 0) return;
    this.eraser.finish();
    if ((lflag & ECHOCTL) === 0) return;
    this.output.echoPlain(CARET);
    this.output.echoPlain(BACKSPACE);
  }

  private reprint(byte: number): void {
    this.eraser.finish();
    this.output.echo(byte);
    this.echoNewline();
    for (let i = this.input.complete; i < this.input.head; i++) this.output.echo(this.input.at(i));
  }

  private receiveOrdinary(byte: number): void {
    if ((this.attributes.lflag & ECHO) !== 0) {
      this.eraser.finish();
      this.markLineStart();
      this.output.echo(byte);
    }
    // So that a reader can tell it from a marker of parity errors.
    if ((this.attributes.iflag & PARMRK) !== 0 && byte === ALL_ONES) this.store(byte);
    this.store(byte);
  }

  /** The return key outside canonical mode. A newline that was typed as such shows as ^J instead. */
  private receiveNewline(): void {
    if ((this.attributes.lflag & ECHO) !== 0) {
      this.eraser.finish();
      this.echoNewline();
    }
    this.store(NEWLINE);
  }

  private store(byte: number): void {
    if (this.input.room > 0) this.input.push(byte);
  }

  private echoNewline(): void {
    this.output.echoPlain(NEWLINE);
  }

  private markLineStart(): void {
    if (this.input.lineIsEmpty) this.output.lineStart = this.output.column;
  }
}

/** Letters of Latin-1 too, as the kernel's tables have them. */
function toLower(byte: number): number {
  const isUpper = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0xc0 && byte <= 0xde && byte !== 0xd7);
  return isUpper ? byte + 0x20 : byte;
}
