/** A process of the host with all its descendants, and the CPU time that they use: for what must not be busy. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** `ancestor` and everything that descends from it. */
export function processTree(ancestor: number): number[] {
  const children = new Map<number, number[]>();
  for (const pid of listing('/proc').filter((name) => /^\d+$/.test(name))) {
    const parent = Number(/^PPid:\s+(\d+)/m.exec(procFile(Number(pid), 'status'))?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
  }
  const found = [ancestor];
  // The list grows while it is walked: each entry brings its own children.
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** Milliseconds of CPU time that all threads of these processes use in one second, measured for `seconds`. */
export async function cpuMsPerSecond(pids: readonly number[], seconds: number): Promise<number> {
  const before = cpuNs(pids);
  await sleep(seconds * 1000);
  return (cpuNs(pids) - before) / 1e6 / seconds;
}

function cpuNs(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    for (const thread of listing(`/proc/${pid}/task`)) sum += Number(procFile(pid, `task/${thread}/schedstat`).split(' ')[0] ?? 0);
  }
  return sum;
}

/** A file of /proc/PID, empty when the process has ended. */
export function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

function listing(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
