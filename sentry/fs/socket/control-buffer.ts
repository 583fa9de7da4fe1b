/**
 * Control messages on their way to a guest, cmsg(3): what a receiving socket tells besides the bytes, in the order in which it tells it.
 *
 *     const at = control.add(SOL_IP, IP_TTL, 4);
 *     if (at >= 0) control.view.setInt32(at, ttl, true);
 *
 * One object serves all calls. Descriptors and credentials do not go this way: they become real only when they are stored.
 */
const MESSAGES_MAX = 16;
const BYTES = 1024;

export class ControlBuffer {
  readonly view = new DataView(new ArrayBuffer(BYTES));
  count = 0;
  readonly levels = new Int32Array(MESSAGES_MAX);
  readonly types = new Int32Array(MESSAGES_MAX);
  readonly offsets = new Int32Array(MESSAGES_MAX);
  readonly lengths = new Int32Array(MESSAGES_MAX);
  private used = 0;

  clear(): void {
    this.count = 0;
    this.used = 0;
  }

  /** Begins a message of `length` bytes, which are zero: where they lie in `view`, or -1 when there is no room. */
  add(level: number, type: number, length: number): number {
    const at = this.used;
    if (this.count === MESSAGES_MAX || at + length > BYTES) return -1;
    this.levels[this.count] = level;
    this.types[this.count] = type;
    this.offsets[this.count] = at;
    this.lengths[this.count] = length;
    this.count++;
    this.used = at + ((length + 7) & ~7);
    for (let i = at; i < this.used; i++) this.view.setUint8(i, 0);
    return at;
  }

  /** A message of one int. */
  addInt(level: number, type: number, value: number): void {
    const at = this.add(level, type, 4);
    if (at >= 0) this.view.setInt32(at, value, true);
  }
}
