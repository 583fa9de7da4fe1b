/**
 * Settings of a container that its configuration wants (the OCI `linux.sysctl`): written to /proc/sys as its runtime would from outside, before
 * the first program runs. What cannot be written there cannot be set, and is refused by name.
 */
import { ENOENT } from '#sentry/abi/errno.ts';
import { ProcFileSystem } from '../fs/proc/proc-file-system.ts';
import { TextFile } from '../fs/synthetic/synthetic.ts';
import { ALL_CAPABILITIES, initialCredentials } from '../vfs/credentials.ts';
import type { Caller, Inode } from '../vfs/inode.ts';
import type { Task } from './task.ts';

/**
 * Sets `name` ("net.ipv4.ip_local_port_range"; a slash within a component stands for a dot, as in sysctl(8)) to `value`, in the namespaces of
 * `init`. Returns null, or why not, to be put behind the name in a sentence. A value that a fixed setting has anyway is no error.
 */
export function setSysctl(init: Task, name: string, value: string): string | null {
  const caller: Caller = { credentials: initialCredentials(0, 0, [0], ALL_CAPABILITIES), task: init };
  const { host } = init.kernel;
  const file = find(new ProcFileSystem(0, host, init.kernel, init.pids).root, name, caller);
  if (file === null) return 'is not a setting of this kernel';
  const current = file.readText(caller);
  if (file.writeText === null) {
    const shown = typeof current === 'number' ? '' : sameSpaces(current);
    return shown === sameSpaces(value) ? null : `cannot be changed: it is "${shown}"`;
  }
  return file.writeText(`${value}\n`, caller) < 0 ? `cannot be "${value}"` : null;
}

function find(root: Inode, name: string, caller: Caller): TextFile | null {
  let inode: Inode | number = root;
  for (const component of ['sys', ...name.split('.')]) {
    inode = inode.isDirectory ? inode.lookup(component.replaceAll('/', '.'), caller) : -ENOENT;
    if (typeof inode === 'number') return null;
  }
  return inode instanceof TextFile ? inode : null;
}

function sameSpaces(text: string): string {
  return text.trim().replace(/\s+/g, ' ');
}
