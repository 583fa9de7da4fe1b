/**
 * The calls that one host thread was told to make and that the filter asks the sentry about: it may make these, in this order, and no others.
 * Number and all six arguments are compared.
 */

const WORDS = 13;
/** No more than a command list holds. */
const ORDERS_MAX = 64;

export class Orders {
  #words: Uint32Array | null = null;
  #count = 0;
  #next = 0;

  add(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): void {
    this.#words ??= new Uint32Array(ORDERS_MAX * WORDS);
    const words = this.#words;
    const at = this.#count * WORDS;
    this.#count += 1;
    words[at] = nr;
    set(words, at + 1, a0);
    set(words, at + 3, a1);
    set(words, at + 5, a2);
    set(words, at + 7, a3);
    set(words, at + 9, a4);
    set(words, at + 11, a5);
  }

  /** Changes the second argument of the order given last, the length of a memory call. */
  setLastLength(bytes: number): void {
    set(this.#words!, (this.#count - 1) * WORDS + 3, bytes);
  }

  /** Whether this is the next order; if so it counts as made. */
  matches(nr: number, args: Uint32Array): boolean {
    if (!this.isNext(nr, args)) return false;
    this.#next += 1;
    if (this.#next === this.#count) this.clear();
    return true;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  isNext(nr: number, args: Uint32Array): boolean {
    const words = this.#words;
    if (words === null || this.#next === this.#count) return false;
    const at = this.#next * WORDS;
    if (words[at] !== nr) return false;
    for (let i = 0; i < 12; i += 1) if (words[at + 1 + i] !== args[i]) return false;
    return true;
  }

  clear(): void {
    this.#count = 0;
    this.#next = 0;
  }
}

function set(words: Uint32Array, at: number, value: number): void {
  words[at] = value >>> 0;
  words[at + 1] = Math.floor(value / 0x1_0000_0000) >>> 0;
}
