/**
 * Chance for tests: a small generator (xorshift32) whose seed tests print, so that every run can be repeated.
 */
export class SeededRandom {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 0x2545f491;
  }

  /** An int32, as `Random` wants it. */
  readonly word = (): number => {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x;
  };

  /** A number in [0, 1). */
  fraction(): number {
    return (this.word() >>> 0) / 0x1_0000_0000;
  }

  /** An integer in [0, `bound`). */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }
}
