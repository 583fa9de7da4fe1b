/**
 * HalfSipHash: a keyed hash of 32-bit words (Aumasson and Bernstein, "SipHash: a fast short-input PRF", in its 32-bit form), for what a peer
 * must not foresee: initial sequence numbers, cookies, offsets of ports and timestamps, places in the table of connections.
 *
 *     const hash = new HalfSipHash(random);
 *     hash.begin(); hash.word(a); hash.word(b); const h = hash.finish();
 *
 * One object is scratch for any number of hashes. `rounds` 2 gives HalfSipHash-2-4, 1 the faster 1-3 for tables. The length is not
 * appended: each user always hashes the same number of words.
 */
export class HalfSipHash {
  private readonly key0: number;
  private readonly key1: number;
  private readonly rounds: number;
  private v0 = 0;
  private v1 = 0;
  private v2 = 0;
  private v3 = 0;

  /** `random` gives 32 random bits a call, as a signed integer. */
  constructor(random: () => number, rounds: 1 | 2) {
    this.key0 = random();
    this.key1 = random();
    this.rounds = rounds;
  }

  begin(): this {
    this.v0 = this.key0;
    this.v1 = this.key1;
    this.v2 = 0x6c796765 ^ this.key0;
    this.v3 = 0x74656462 ^ this.key1;
    return this;
  }

  word(value: number): this {
    this.v3 ^= value;
    this.mix(this.rounds);
    this.v0 ^= value;
    return this;
  }

  /** 32 bits, signed. */
  finish(): number {
    this.v2 ^= 0xff;
    this.mix(this.rounds + 2);
    return this.v1 ^ this.v3;
  }

  private mix(rounds: number): void {
    let { v0, v1, v2, v3 } = this;
    for (let i = 0; i < rounds; i++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    this.v0 = v0;
    this.v1 = v1;
    this.v2 = v2;
    this.v3 = v3;
  }
}
