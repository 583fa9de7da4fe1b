/** Processes that this one has started: for the cgroup, which all of a sandbox's are to be in. proc_pid_task_children(5). */
import { readdirSync, readFileSync } from 'node:fs';

export function ownChildren(): number[] {
  try {
    const threads = readdirSync('/proc/self/task');
    return threads.flatMap((thread) => numbers(readFileSync(`/proc/self/task/${thread}/children`, 'latin1')));
  } catch {
    // A kernel without that file: by the parent that each process names.
    return readdirSync('/proc').filter(isChild).map(Number);
  }
}

function numbers(text: string): number[] {
  return text.split(' ').filter(Boolean).map(Number);
}

function isChild(name: string): boolean {
  if (!/^\d+$/.test(name)) return false;
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === process.pid;
  } catch {
    return false;
  }
}
