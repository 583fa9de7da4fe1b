/** Processes of the host, as far as the tests look at them. */
import { readFileSync } from 'node:fs';

/** Whether a process runs or sleeps: one that nobody has waited for yet does not count. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const state = stat.slice(stat.lastIndexOf(')') + 2)[0];
    return state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}
