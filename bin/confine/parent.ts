/** Whether a process outlives its parent: a helper process not the sentry, an attended sentry not its starter. */
import { parentPid, prctl } from '#platform/host/setup-calls.ts';
import type { ConfinementReport } from './report.ts';

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** Changing the user clears the parent-death signal, so this comes after it. */
export function dieWithParent(report: ConfinementReport): void {
  const parent = parentPid();
  report.step('dies with its parent', prctl(PR_SET_PDEATHSIG, SIGKILL));
  if (parentPid() !== parent) process.exit(0);
}

/** Takes back what the starter has set for a sentry that is to live on without it (bin/starter). */
export function outliveParent(): void {
  prctl(PR_SET_PDEATHSIG, 0);
}
