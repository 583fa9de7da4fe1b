/**
 * What the client tests have in common: the runtime binary by its full path, which clients want, and a scratch directory for each file.
 *
 * TSVISOR_OCI_RUNTIME names the binary; bin/tsvisor when it is not set. As with test/oci, `TSVISOR_OCI_RUNTIME=runc` shows what the machine and the
 * client allow.
 */
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tsvisor } from '../../harness/run.ts';

export const runtimePath = absolute(process.env.TSVISOR_OCI_RUNTIME);

function absolute(name: string | undefined): string {
  if (name === undefined || name === '') return tsvisor;
  if (name.includes('/')) return name;
  const found = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin'].map((directory) => join(directory, name)).find(existsSync);
  if (found === undefined) throw new Error(`TSVISOR_OCI_RUNTIME: ${name} is not in PATH`);
  return found;
}

/** A directory for a client's storage and sockets; short, because a socket's path may not be long. */
export function scratchDirectory(name: string): string {
  return mkdtempSync(join(tmpdir(), `tsv-${name}-`));
}
