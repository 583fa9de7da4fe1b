/**
 * Whom the host kills when a container is over its memory limit: the guest process that holds the memory, as on Linux, and not the sentry or its
 * gofer, whose end would be that of all. Guest processes are clones of the sentry and inherit its score at that moment, and once it is isolated no
 * score can be reached by name; so the sentry wears the guests' score while the first guest process (the zygote) is made:
 *
 *     const score = raiseGuestScore({ configured: config.process.oomScoreAdj, … })     names of the host can still be opened
 *     … the platform makes its first process …
 *     score.restore()
 *
 * The host counts what a process has resident, and a thousandth of the memory there is (in a cgroup: of the limit) for each point
 * (mm/oom_kill.c, oom_badness). So a small limit needs a large distance: a guest that has next to nothing must still come before the sentry, because
 * the host may look for a second victim before the memory of the first is back. With CAP_SYS_RESOURCE the sentry goes below, as container managers'
 * own processes do, and guests have what was configured. An ordinary user may only raise a score, and lower it to where it was: then guests go above.
 * With that capability a raise would also raise the floor, so it is put aside. Spec: proc_pid_oom_score_adj(5).
 */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { totalmem } from 'node:os';
import { withoutCapability } from '../../confine/credentials.ts';
import { SANDBOX_MEMORY_BYTES } from './limits.ts';
import type { Warn } from './host-cgroup.ts';

const SCORE_MAX = 1000;
/** One more than what exempts a process. */
const SENTRY_SCORE = -999;
const POINTS = 1000;
/** More than the sentry and the gofer have resident each: 70 to 120 MB, half of it the pages of the Node.js program. */
const RESIDENT_BYTES = 192 * 1024 * 1024;
const CAP_SYS_RESOURCE = 24;

export interface ScoreRequest {
  /** process.oomScoreAdj; null: as inherited. */
  readonly configured: number | null;
  /** Bytes of the container's memory limit; null: none; 0: not known yet, as for the first container of a pod. */
  readonly limitBytes: number | null;
  /** Other processes of the sandbox that must not go before the guests. */
  readonly helpers: readonly number[];
  readonly warn: Warn;
}

export interface RaisedScore {
  /** The sentry's own score again. Needs no name of the host. */
  restore(): void;
}

/** Gives this process the score its guest processes are to have, and `helpers` that of the sentry. */
export function raiseGuestScore({ configured, limitBytes, helpers, warn }: ScoreRequest): RaisedScore {
  const inherited = Number(readFileSync(scoreFile('self'), 'latin1'));
  const fd = openSync(scoreFile('self'), 'r+');
  const set = (score: number): boolean => attempt(() => writeSync(fd, String(score)));
  const own = set(SENTRY_SCORE) ? SENTRY_SCORE : inherited;
  if (own === SENTRY_SCORE) for (const pid of helpers) attempt(() => writeFileSync(scoreFile(pid), String(SENTRY_SCORE)));
  else if (configured !== null && configured < inherited)
    warn(`process.oomScoreAdj ${configured} is not applied: this user may not go below ${inherited}.`);
  const guests = Math.min(SCORE_MAX, Math.max(configured ?? inherited, own + distance(limitBytes)));
  withoutCapability(CAP_SYS_RESOURCE, () => set(guests));
  return {
    restore: () => {
      set(own);
      closeSync(fd);
    },
  };
}

/** Points that weigh more than what the sentry has resident. */
function distance(limitBytes: number | null): number {
  const thereIs = limitBytes === null ? totalmem() : limitBytes + SANDBOX_MEMORY_BYTES;
  return Math.min(POINTS, Math.ceil((RESIDENT_BYTES * POINTS) / thereIs));
}

function scoreFile(pid: number | 'self'): string {
  return `/proc/${pid}/oom_score_adj`;
}

function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
