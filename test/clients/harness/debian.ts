/**
 * A Debian with python3 and redis as the root file system of an image, made once by debootstrap and kept beneath the directory for temporary files.
 *
 * Takes a minute and a mirror of Debian: where there is none, the tests that need it are skipped with what debootstrap said.
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainEnvironment, runNative } from '../../harness/run.ts';
import { removeTree } from '../../oci/harness/remove-tree.ts';

const SUITE = 'bookworm';
const PACKAGES = ['python3-minimal', 'redis-server', 'redis-tools'];
const LIMIT_MS = 240_000;

export interface Debian {
  /** The directory; meaningless when `missing` says something. */
  root: string;
  missing: string;
}

export async function debianRoot(): Promise<Debian> {
  const root = join(tmpdir(), `tsvisor-debian-${SUITE}`);
  if (existsSync(root)) return { root, missing: '' };
  if (!existsSync('/usr/sbin/debootstrap')) return { root, missing: 'debootstrap not installed' };
  const made = `${root}.${process.pid}`;
  mkdirSync(made);
  const command = ['debootstrap', '--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, made];
  const proxies = Object.entries(process.env).filter(([name]) => /^https?_proxy$/i.test(name)) as [string, string][];
  const outcome = await runNative(command, { env: { ...plainEnvironment, ...Object.fromEntries(proxies) }, timeoutMs: LIMIT_MS });
  if (outcome.status !== 0) {
    removeTree(made);
    return { root, missing: `debootstrap: ${outcome.stdout.trim().split('\n').at(-1)}` };
  }
  // Whole or not at all: another run may look for it.
  renameSync(made, root);
  return { root, missing: '' };
}
