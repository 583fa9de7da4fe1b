/**
 * Editing the line that is being typed: VERASE, VWERASE and VKILL, and how the screen shows it (ECHOE, ECHOK, ECHOKE, ECHOPRT).
 */
import { ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHOPRT } from '#sentry/abi/termios.ts';
import type { Attributes } from './attributes.ts';
import type { InputBuffer } from './input-buffer.ts';
import { BACKSPACE, NEWLINE, SPACE, TAB, isContinuation, isControl } from './output.ts';
import type { Output } from './output.ts';

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;
const TAB_WIDTH = 8;

export class LineEraser {
  private readonly attributes: Attributes;
  private readonly input: InputBuffer;
  private readonly output: Output;
  /** With ECHOPRT: inside the \…/ that shows what was erased. */
  private printing = false;

  constructor(attributes: Attributes, input: InputBuffer, output: Output) {
    this.attributes = attributes;
    this.input = input;
    this.output = output;
  }

  /** Something else is shown now. */
  finish(): void {
    if (!this.printing) return;
    this.printing = false;
    this.output.echoPlain(SLASH);
  }

  eraseCharacter(typed: number): void {
    if (this.input.lineIsEmpty) return;
    const at = this.startOfLast();
    if (at < 0) return;
    if (this.echoes(ECHO) && !this.echoes(ECHOPRT) && !this.echoes(ECHOE)) {
      this.input.head = at;
      this.output.echo(typed);
    } else {
      this.remove(at);
    }
    this.finishWhenEmpty();
  }

  /** Back over what is no word, then over the word. */
  eraseWord(): void {
    let inWord = false;
    while (!this.input.lineIsEmpty) {
      const at = this.startOfLast();
      if (at < 0) break;
      const isWord = isWordByte(this.input.at(at));
      if (inWord && !isWord) break;
      inWord = isWord;
      this.remove(at);
    }
    this.finishWhenEmpty();
  }

  eraseLine(typed: number): void {
    if (this.input.lineIsEmpty) return;
    if (!this.echoes(ECHO)) {
      this.input.head = this.input.complete;
      return;
    }
    if (this.echoes(ECHOK) && this.echoes(ECHOKE) && this.echoes(ECHOE)) {
      while (!this.input.lineIsEmpty) {
        const at = this.startOfLast();
        if (at < 0) break;
        this.remove(at);
      }
      this.finishWhenEmpty();
      return;
    }
    this.input.head = this.input.complete;
    this.finish();
    this.output.echo(typed);
    if (this.echoes(ECHOK)) this.output.echoPlain(NEWLINE);
  }

  /** Where the last character begins, with IUTF8 perhaps several bytes back; -1 when its beginning was read already. */
  private startOfLast(): number {
    const { input, attributes } = this;
    let at = input.head - 1;
    while (at > input.complete && isContinuation(input.at(at), attributes)) at--;
    return isContinuation(input.at(at), attributes) ? -1 : at;
  }

  /** Takes the character at `at`, the last one, off the line and off the screen. */
  private remove(at: number): void {
    const { input } = this;
    const byte = input.at(at);
    const end = input.head;
    input.head = at;
    if (!this.echoes(ECHO)) return;
    if (this.echoes(ECHOPRT)) this.print(at, end);
    else if (byte === TAB) this.eraseTab();
    else this.wipe(byte);
  }

  private print(at: number, end: number): void {
    const { output, input } = this;
    if (!this.printing) output.echoPlain(BACKSLASH);
    this.printing = true;
    output.echo(input.at(at));
    for (let i = at + 1; i < end; i++) {
      output.echoPlain(input.at(i));
      output.moveBack(1);
    }
  }

  private wipe(byte: number): void {
    if (isControl(byte) && !this.echoes(ECHOCTL)) return;
    const columns = isControl(byte) ? 2 : 1;
    for (let i = 0; i < columns; i++) {
      this.output.echoPlain(BACKSPACE);
      this.output.echoPlain(SPACE);
      this.output.echoPlain(BACKSPACE);
    }
  }

  /** Back to where the tab began: that follows from what stands before it on the line. */
  private eraseTab(): void {
    const { input, attributes, output } = this;
    let columns = 0;
    let at = input.head;
    let afterTab = false;
    while (at > input.complete && !afterTab) {
      at--;
      const byte = input.at(at);
      if (byte === TAB) afterTab = true;
      else if (isControl(byte)) columns += this.echoes(ECHOCTL) ? 2 : 0;
      else if (!isContinuation(byte, attributes)) columns++;
    }
    if (!afterTab) columns += output.lineStart;
    for (let i = TAB_WIDTH - (columns % TAB_WIDTH); i > 0; i--) output.echoPlain(BACKSPACE);
  }

  private finishWhenEmpty(): void {
    if (this.input.lineIsEmpty && this.echoes(ECHO)) this.finish();
  }

  private echoes(flag: number): boolean {
    return (this.attributes.lflag & flag) !== 0;
  }
}

/** Letters (of Latin-1 too, as the kernel's tables have them), digits, underscore. */
function isWordByte(byte: number): boolean {
  const isDigit = byte >= 0x30 && byte <= 0x39;
  const folded = byte & ~0x20;
  const isLetter = (folded >= 0x41 && folded <= 0x5a) || (byte >= 0xc0 && byte !== 0xd7 && byte !== 0xf7);
  return isDigit || isLetter || byte === UNDERSCORE;
}
