/**
 * The message a detached or attended sentry writes to its starter, once: a byte, and what is to be removed when the sandbox has ended.
 *
 *     0             it is up; a detached starter exits with 0, an attended one goes on waiting
 *     1             it is not, and the reason was told
 *
 *     then for an attended starter, in order: `u` PATH NUL (unlink), `r` PATH NUL (rmdir, tried again while it is busy)
 *
 * What cannot be removed that way, and hooks that have to run, is the business of the verb, started once more with `Aftermath.Ended`: with
 * `more`, or when a removal fails.
 *
 * Machine code reads it (code.ts), so the whole is small and plain.
 */

/** What a pipe takes in one piece. */
export const OUTCOME_MAX = 4096;

export const OUTCOME_UP = 0;
export const OUTCOME_FAILED = 1;

export const REMOVE_FILE = 'u';
export const REMOVE_DIRECTORY = 'r';
export const MORE_TO_DO = 'm';

export interface Removal {
  readonly kind: 'file' | 'directory';
  /** Absolute path on the host, a byte string. */
  readonly path: string;
}

/** The bytes of a success. */
export function encodeOutcome(removals: readonly Removal[], more: boolean): Uint8Array {
  const steps = removals.map(({ kind, path }) => `${kind === 'file' ? REMOVE_FILE : REMOVE_DIRECTORY}${path}\0`);
  const text = `${String.fromCharCode(OUTCOME_UP)}${steps.join('')}`;
  // One NUL ends the list: the starter's memory behind it is zero.
  if (more || text.length >= OUTCOME_MAX) return Buffer.from(`${String.fromCharCode(OUTCOME_UP)}${MORE_TO_DO}`, 'latin1');
  return Buffer.from(text, 'latin1');
}
