/**
 * Wires terminals to the process table: /dev/tty, pseudo-terminals, and the terminal that the sandbox was started from.
 *
 *     const pts = installTerminals(kernel, vfs);       // then mount it on /dev/pts
 *     adoptTerminal(pts, init, open);                  // when standard input is a terminal: init's controlling terminal
 */
import { EMFILE, ENXIO } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, S_IFCHR } from '#sentry/abi/fs.ts';
import { TTY_AUXILIARY_MAJOR, TTY_MINOR } from '../../fs/dev/dev-file-system.ts';
import { DEVPTS_DEFAULTS, DevptsFileSystem, registerTerminals } from '../../fs/devpts/devpts-file-system.ts';
import type { DevptsOptions, TerminalServices } from '../../fs/devpts/devpts-file-system.ts';
import type { MasterFile } from '../../fs/devpts/master-file.ts';
import { TERMINAL_MAJOR } from '../../fs/devpts/node.ts';
import type { OpenTerminal } from '../../fs/tty/job-control.ts';
import type { Caller } from '../../vfs/inode.ts';
import { open } from '../../vfs/open.ts';
import { makeDevice } from '../../vfs/special-files.ts';
import type { SpecialOpener } from '../../vfs/special-files.ts';
import type { Vfs } from '../../vfs/vfs.ts';
import type { Kernel } from '../kernel.ts';
import type { Task } from '../task.ts';
import { TerminalControl } from './terminal-control.ts';

export const TERMINAL_SERVICES: TerminalServices = {
  makeJobs: (device, open) => new TerminalControl(device, open),
  openPeer,
};

/** Registers what opens terminals. Returns the devpts of the tree, to be mounted on /dev/pts. */
export function installTerminals(kernel: Kernel, vfs: Vfs, options: DevptsOptions = DEVPTS_DEFAULTS): DevptsFileSystem {
  const pts = new DevptsFileSystem(vfs.allocateDevice(), kernel.anonymous, TERMINAL_SERVICES, options);
  registerTerminals(vfs.special, pts);
  vfs.special.registerDevice(S_IFCHR, TTY_AUXILIARY_MAJOR, TTY_MINOR, openControllingTerminal);
  return pts;
}

/**
 * Gives a terminal from outside a name in /dev/pts and makes it the controlling terminal of `init`'s session. `open` is told its job control.
 * Returns its number, or -errno.
 */
export function adoptTerminal(pts: DevptsFileSystem, init: Task, open: (jobs: TerminalControl) => OpenTerminal): TerminalControl | number {
  let opener: OpenTerminal = () => -ENXIO;
  const index = pts.adopt((dentry, flags, caller) => opener(dentry, flags, caller), init.credentials.fsuid);
  if (index < 0) return index;
  const control = new TerminalControl(makeDevice(TERMINAL_MAJOR, index), (dentry, flags, caller) => opener(dentry, flags, caller));
  opener = open(control);
  control.attach(init.group);
  return control;
}

/** /dev/tty. */
const openControllingTerminal: SpecialOpener = (_inode, dentry, flags, caller) => {
  const task = caller.task as Task;
  const { terminal } = task.group.processGroup.session;
  if (!(terminal instanceof TerminalControl) || !terminal.controls(task)) return -ENXIO;
  return terminal.open(dentry, flags | O_NOCTTY, caller);
};

/** TIOCGPTPEER: the terminal by way of its master, whatever the caller sees at /dev/pts. */
function openPeer(master: MasterFile, flags: number, caller: Caller): number {
  const task = caller.task as Task;
  const { mount, node } = master;
  const root = mount?.fileSystem === node.fileSystem ? mount : mountOf(task, node.fileSystem);
  if (root === null) return -ENXIO;
  const file = open(task, { mount: root, dentry: root.root }, String(node.index), flags & (O_ACCMODE | O_NOCTTY | O_NONBLOCK), 0, 0);
  if (typeof file === 'number') return file;
  const fd = task.files.install(file, (flags & O_CLOEXEC) !== 0);
  if (fd === -EMFILE) file.release();
  return fd;
}

function mountOf(task: Task, fileSystem: DevptsFileSystem): Task['fs']['namespace']['mounts'][number] | null {
  return task.fs.namespace.mounts.find((mount) => mount.fileSystem === fileSystem) ?? null;
}
