import { renameSync, writeFileSync } from 'node:fs';

/** `--pid-file`: never half of it, for clients look whether it is there. */
export function writePidFile(path: string, pid: number): void {
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, String(pid), { mode: 0o644 });
  renameSync(fresh, path);
}
