/**
 * Taking a container's cgroup down, from whatever state it was left in: processes that still live in it are killed, and because a cgroup stays
 * busy until its last process is reaped, directories are removed with patience. Everything is told by path, so any process with the rights
 * can do it, long after those who made the cgroup have gone.
 *
 * Nothing is killed but what is in the container's own directories, which were found empty when they were made (plan.ts), and never the
 * calling process.
 */
import { EBUSY, ENOENT, ENOTDIR } from '#sentry/abi/errno.ts';
import type { CgroupFiles } from './cgroup-files.ts';
import type { CgroupState } from './host-cgroup.ts';
import { REMOVE_ATTEMPTS, REMOVE_FIRST_PAUSE_MS, REMOVE_LONGEST_PAUSE_MS } from './limits.ts';
import { stopScope } from './systemd-scope.ts';

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps. */
export function pause(milliseconds: number): void {
  Atomics.wait(sleeper, 0, 0, milliseconds);
}

/** True if no directory of it is left. */
export function removeCgroup({ directories, scope, isOnlyPlanned }: CgroupState, files: CgroupFiles): boolean {
  let left = directories.map(({ path }) => path);
  let delay = REMOVE_FIRST_PAUSE_MS;
  for (let attempt = 0; attempt < REMOVE_ATTEMPTS && left.length > 0; attempt++) {
    if (attempt > 0) pause(delay);
    delay = Math.min(delay * 2, REMOVE_LONGEST_PAUSE_MS);
    left = left.filter((path) => !removeTree(path, files));
    if (isOnlyPlanned) break;
    for (const path of left) killAll(path, files);
  }
  if (scope !== null) stopScope(scope);
  // Others may have come to use them.
  for (const { madeParents } of directories) for (const path of [...madeParents].reverse()) files.removeDirectory(path);
  return left.length === 0;
}

/** Removes a directory with those below it. True if it is gone. */
function removeTree(path: string, files: CgroupFiles): boolean {
  const result = files.removeDirectory(path);
  if (result === 0 || result === -ENOENT || result === -ENOTDIR) return true;
  if (result !== -EBUSY) return false;
  for (const name of files.directories(path)) removeTree(`${path}/${name}`, files);
  const second = files.removeDirectory(path);
  return second === 0 || second === -ENOENT;
}

function killAll(path: string, files: CgroupFiles): void {
  const members = processesIn(path, files);
  // cgroup.kill (v2) also reaches what forks meanwhile.
  if (!members.includes(process.pid) && files.write(`${path}/cgroup.kill`, '1') === 0) return;
  for (const pid of members) {
    if (pid === process.pid) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself, or is not ours to kill: then the directory stays, which is told.
    }
  }
}

/** Process ids in a cgroup and those below it. */
export function processesIn(path: string, files: CgroupFiles): number[] {
  const text = files.read(`${path}/cgroup.procs`);
  const here =
    typeof text === 'number'
      ? []
      : text
          .split('\n')
          .filter((line) => line !== '')
          .map(Number);
  // 0: a process of a pid namespace we do not see.
  const below = files.directories(path).flatMap((name) => processesIn(`${path}/${name}`, files));
  return [...here.filter((pid) => pid > 0), ...below];
}
