/**
 * What was done to confine a process, and what this host would not allow: shown by `--debug` and sent in the gofer's hello.
 */
import { errnoName } from '#platform/host/errors.ts';

export class ConfinementReport {
  readonly applied: string[] = [];
  readonly missing: string[] = [];

  done(what: string): void {
    this.applied.push(what);
  }

  lacks(what: string, reason: string): void {
    this.missing.push(`${what}: ${reason}`);
  }

  /** Notes how a step went, by its result (negative: -errno). Returns whether it was taken. */
  step(what: string, result: number): boolean {
    if (result >= 0) this.done(what);
    else this.lacks(what, errnoName(-result));
    return result >= 0;
  }

  lines(): string[] {
    return [...this.applied.map((what) => `applied: ${what}`), ...this.missing.map((what) => `not applied: ${what}`)];
  }
}
