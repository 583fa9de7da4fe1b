/**
 * Whom the host kills when a container is over its memory limit: the guest process that holds the memory, as on Linux, and not the sentry, whose
 * end would be that of all. Guest processes are clones of the sentry and inherit its score at that moment, and once it is isolated no score can
 * be reached by name; so the sentry wears the guests' score while the first guest process (the zygote) is made:
 *
 *     const score = raiseGuestScore(config.process.oomScoreAdj, warn)     names of the host can still be opened
 *     … the platform makes its first process …
 *     score.restore()
 *
 * The host adds a thousandth of the memory limit for each point (mm/oom_kill.c, oom_badness). An ordinary user may raise a score, and lower it to
 * where it was; lowering it further needs CAP_SYS_RESOURCE. With that capability the raise would also raise the floor, so it is put aside.
 * Spec: proc_pid_oom_score_adj(5).
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { withoutCapability } from '../../confine/credentials.ts';

const SCORE_FILE = '/proc/self/oom_score_adj';
const SCORE_MAX = 1000;
const SCORE_MIN = -1000;
/** Half of the memory limit: above what the sentry can hold besides guests' memory, see SANDBOX_MEMORY_BYTES. */
const GUESTS_ABOVE_SENTRY = 500;
const CAP_SYS_RESOURCE = 24;

export interface RaisedScore {
  /** The sentry's own score again. Needs no name of the host. */
  restore(): void;
}

/**
 * Gives this process the score its guest processes are to have: `configured` (process.oomScoreAdj, or null for what was inherited) and a distance
 * above the sentry's.
 */
export function raiseGuestScore(configured: number | null, warn: (sentence: string) => void): RaisedScore {
  const inherited = Number(readFileSync(SCORE_FILE, 'latin1'));
  const own = sentryScore(configured ?? inherited);
  const fd = openSync(SCORE_FILE, 'r+');
  const set = (score: number): boolean => attempt(() => writeSync(fd, String(score)));
  // Not permitted to lower: then the sentry keeps what it has, and the guests are above that.
  const base = set(own) ? own : inherited;
  if (base > own && configured !== null) warn(`process.oomScoreAdj ${configured} is not applied: this user may not go below ${base}.`);
  withoutCapability(CAP_SYS_RESOURCE, () => set(Math.min(SCORE_MAX, base + GUESTS_ABOVE_SENTRY)));
  return {
    restore: () => {
      set(base);
      closeSync(fd);
    },
  };
}

/** As configured, but with room above it for the guests. */
function sentryScore(configured: number): number {
  return Math.max(SCORE_MIN, Math.min(configured, SCORE_MAX - GUESTS_ABOVE_SENTRY));
}

function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
