/** Removes a directory of a test, but not what a runtime may have left mounted in it: that could be anything of the machine. */
import { readFileSync, rmSync } from 'node:fs';

/** @throws when something is mounted beneath `path`: it has to be unmounted by a person who has looked at it. */
export function removeTree(path: string): void {
  const mounted = mountsBeneath(path);
  if (mounted.length > 0) throw new Error(`left mounted: ${mounted.join(', ')}`);
  rmSync(path, { recursive: true, force: true });
}

/** The mount points at and beneath `path`. */
export function mountsBeneath(path: string): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  return points.filter((point) => point === path || point.startsWith(`${path}/`));
}
