/**
 * What the processes of a group are doing, from /proc: for the report on a test run that hangs.
 */
import { readFileSync, readdirSync } from 'node:fs';

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

/** The fields of /proc/PID/stat after the name, which may hold spaces and parentheses: state, parent, process group, … */
function statFields(pid: string): string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Its first thread is the one that matters: a sentry, a guest or a test runs there. */
function describe(pid: string): string {
  const [state, parent] = statFields(pid);
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim().slice(0, 200) || read(`/proc/${pid}/comm`);
  return `${pid} (parent ${parent}, ${state}) ${command}\n    in ${read(`/proc/${pid}/wchan`)}, system call ${read(`/proc/${pid}/syscall`)}`;
}

/** A paragraph for each member of `group`, and for each guest: those have sessions of their own. */
export function describeProcessGroup(group: number): string {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  const members = pids.filter((pid) => statFields(pid)[2] === String(group) || read(`/proc/${pid}/comm`) === 'tsvisor-guest');
  return members.map(describe).join('\n');
}
