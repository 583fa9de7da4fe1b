/** Root file systems for containers: busybox alone, made in a moment and different for each container. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stateRoot } from './runtime.ts';

/** Debian's busybox-static. */
const BUSYBOX = '/bin/busybox';

let original: string | undefined;
let applets: string[] = [];

/** Why no container can be made here; empty when one can. */
export function whyNoBusybox(): string {
  if (!existsSync(BUSYBOX)) return 'busybox-static not installed';
  const linked = spawnSync('ldd', [BUSYBOX], { encoding: 'utf8' });
  return linked.status === 0 && linked.stdout.includes('=>') ? 'busybox is not static (package busybox-static)' : '';
}

/** One copy of the program, to which the trees are linked: a test that changes it cannot reach the machine's own. */
function busybox(): string {
  if (original === undefined) {
    original = join(stateRoot, '.busybox');
    copyFileSync(BUSYBOX, original);
    applets = spawnSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).stdout.split('\n');
  }
  return original;
}

/** Makes a tree with busybox under each of its names, the usual empty directories, and root and nobody in /etc. */
export function makeRootfs(path: string): void {
  const program = busybox();
  for (const name of ['bin', 'dev', 'etc', 'home', 'mnt', 'proc', 'root', 'sys', 'tmp', 'var'])
    mkdirSync(join(path, name), { recursive: true });
  linkSync(program, join(path, 'bin/busybox'));
  for (const applet of applets) if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', join(path, 'bin', applet));
  writeFileSync(join(path, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/sh\n');
  writeFileSync(join(path, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
}
