/**
 * A terminal's attributes: struct termios in the kernel's layout (asm-generic/termbits.h), decoded once when they are set. What the line
 * discipline asks for each byte is kept ready: the special characters as a table from byte to meaning.
 */
import {
  B38400,
  BOTHER,
  CBAUD,
  CREAD,
  CS8,
  CSIZE,
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  ICANON,
  ICRNL,
  IEXTEN,
  ISIG,
  IXON,
  NCCS,
  ONLCR,
  OPOST,
  PARENB,
  TERMIOS2_SIZE,
  VEOF,
  VEOL,
  VEOL2,
  VERASE,
  VINTR,
  VKILL,
  VLNEXT,
  VMIN,
  VQUIT,
  VREPRINT,
  VSTART,
  VSTOP,
  VSUSP,
  VTIME,
  VWERASE,
} from '#sentry/abi/termios.ts';

/** Meaning of a byte that is in no place of c_cc. */
export const ORDINARY = -1;
const SPECIAL_PLACES = [VINTR, VQUIT, VERASE, VKILL, VEOF, VSTART, VSTOP, VSUSP, VEOL, VREPRINT, VWERASE, VLNEXT, VEOL2];
const DEFAULT_CHARACTERS = [3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0];
/** Line speeds by the low bits of CBAUD, and by those with CBAUDEX. */
const SPEEDS = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19_200, 38_400];
const EXTENDED_SPEEDS = [
  0, 57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000,
  3_500_000, 4_000_000,
];
const CONTROL_CHARACTERS = 17;

export class Attributes {
  iflag = ICRNL | IXON;
  oflag = OPOST | ONLCR;
  cflag = B38400 | CS8 | CREAD;
  lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  line = 0;
  readonly characters = Uint8Array.from(DEFAULT_CHARACTERS);
  inputSpeed = 38_400;
  outputSpeed = 38_400;
  /** Place in c_cc by byte, or ORDINARY. */
  private readonly meaning = new Int8Array(256);

  constructor() {
    this.update();
  }

  get canonical(): boolean {
    return (this.lflag & ICANON) !== 0;
  }
  /** VMIN. */
  get minimum(): number {
    return this.characters[VMIN]!;
  }
  /** VTIME, in nanoseconds. */
  get timeoutNs(): number {
    return this.characters[VTIME]! * 1e8;
  }

  /** Which special character `byte` is: its place in c_cc. Whether it acts depends on the flags. */
  meaningOf(byte: number): number {
    return this.meaning[byte]!;
  }

  encode(view: DataView, offset: number): void {
    view.setUint32(offset, this.iflag, true);
    view.setUint32(offset + 4, this.oflag, true);
    view.setUint32(offset + 8, this.cflag, true);
    view.setUint32(offset + 12, this.lflag, true);
    view.setUint8(offset + 16, this.line);
    for (let i = 0; i < NCCS; i++) view.setUint8(offset + CONTROL_CHARACTERS + i, this.characters[i]!);
    view.setUint32(offset + 36, this.inputSpeed, true);
    view.setUint32(offset + 40, this.outputSpeed, true);
  }

  /** `size` tells struct termios from termios2, which carries the speeds. */
  decode(view: DataView, offset: number, size: number): void {
    this.iflag = view.getUint32(offset, true);
    this.oflag = view.getUint32(offset + 4, true);
    // A pseudo-terminal has no line: eight bits, no parity (Linux pty_set_termios).
    this.cflag = (view.getUint32(offset + 8, true) & ~(CSIZE | PARENB)) | CS8 | CREAD;
    this.lflag = view.getUint32(offset + 12, true);
    this.line = view.getUint8(offset + 16);
    for (let i = 0; i < NCCS; i++) this.characters[i] = view.getUint8(offset + CONTROL_CHARACTERS + i);
    const named = speedOf(this.cflag & CBAUD);
    const inputNamed = speedOf((this.cflag >>> 16) & CBAUD);
    if (size === TERMIOS2_SIZE) {
      this.inputSpeed = view.getUint32(offset + 36, true);
      this.outputSpeed = view.getUint32(offset + 40, true);
    }
    if (named >= 0) this.outputSpeed = named;
    if (inputNamed > 0) this.inputSpeed = inputNamed;
    else if (inputNamed === 0) this.inputSpeed = this.outputSpeed;
    this.update();
  }

  private update(): void {
    this.meaning.fill(ORDINARY);
    // The null character disables: no byte has that meaning then. Where two places hold one byte, the earlier one counts.
    for (let i = SPECIAL_PLACES.length - 1; i >= 0; i--) {
      const place = SPECIAL_PLACES[i]!;
      const byte = this.characters[place]!;
      if (byte !== 0) this.meaning[byte] = place;
    }
  }
}

/** -1: BOTHER, the number stands in the struct. */
function speedOf(bits: number): number {
  if (bits === BOTHER) return -1;
  return (bits & BOTHER) === 0 ? SPEEDS[bits]! : (EXTENDED_SPEEDS[bits & 0o17] ?? -1);
}
