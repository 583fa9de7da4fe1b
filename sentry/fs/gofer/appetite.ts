/**
 * How much to read ahead: more while what was read ahead is used, less when it is not.
 *
 *     appetite.adjust(enough); …ask for appetite.amount…; for each thing that came: appetite.offer()
 *     appetite.use();                                     // somebody came for one of them
 */
export class Appetite {
  amount: number;
  private readonly least: number;
  private readonly most: number;
  /** What was read ahead and not used so far, and what was used since the last message. */
  private waiting = 0;
  private used = 0;

  constructor(least: number, most: number) {
    this.amount = least;
    this.least = least;
    this.most = most;
  }

  /** Before a message. `enough`: so many may wait unused, for somebody who goes on will come to them. */
  adjust(enough: number): void {
    if (this.used > 0 && this.waiting <= enough) this.amount = Math.min(this.most, this.amount * 4);
    else if (this.used === 0 && this.waiting > 0) this.lessen();
    else if (this.waiting > enough) this.lessen();
    this.used = 0;
  }

  /** Whether what was read ahead has been used lately. */
  get isKeen(): boolean {
    return this.amount > this.least;
  }

  /** Somebody does not go in order. */
  lessen(): void {
    this.amount = Math.max(this.least, this.amount >> 2);
    this.waiting = 0;
  }
  offer(): void {
    this.waiting++;
  }
  use(): void {
    this.used++;
    if (this.waiting > 0) this.waiting--;
  }
}
