/** A helper process does not outlive the sentry. */
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
