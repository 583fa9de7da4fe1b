/** A root file system that is busybox alone, made in a moment. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Debian's busybox-static. */
const BUSYBOX = '/bin/busybox';

let applets: string[] = [];

/**
 * Makes a tree with busybox under each of its names, the usual empty directories, and root and nobody in /etc. The program is a copy, or linked
 * to `copy`: a test that changes it does not reach the machine's own.
 */
export function makeRootfs(path: string, copy?: string): void {
  for (const name of ['bin', 'dev', 'etc', 'home', 'mnt', 'proc', 'root', 'sys', 'tmp', 'var'])
    mkdirSync(join(path, name), { recursive: true });
  if (copy === undefined) copyBusybox(join(path, 'bin/busybox'));
  else linkSync(copy, join(path, 'bin/busybox'));
  if (applets.length === 0)
    applets = spawnSync(BUSYBOX, ['--list'], { encoding: 'utf8' })
      .stdout.split('\n')
      .filter((name) => !['', 'busybox'].includes(name));
  for (const applet of applets) symlinkSync('busybox', join(path, 'bin', applet));
  writeFileSync(join(path, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/sh\n');
  writeFileSync(join(path, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
}

export function copyBusybox(to: string): void {
  copyFileSync(BUSYBOX, to);
}
