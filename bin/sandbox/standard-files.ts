/**
 * The descriptors a guest process starts with: what tsvisor inherited or was sent, looked at while names can still be opened.
 *
 * A pipe or terminal is opened once more through /proc/self/fd with O_NONBLOCK: the new description is ours alone, so the flag does not
 * change how the caller's shell sees it, and a guest that writes faster than the reader reads cannot block the sentry.
 */
import { fstatSync, openSync, readFileSync } from 'node:fs';
import type { HostFd } from '#platform/contract/host.ts';
import type { DevptsFileSystem } from '#sentry/fs/devpts/devpts-file-system.ts';
import type { HostFiles } from '#sentry/fs/host-file/host-files.ts';
import type { Task } from '#sentry/kernel/task.ts';
import type { TerminalControl } from '#sentry/kernel/terminal/terminal-control.ts';
import { adoptTerminal } from '#sentry/kernel/terminal/terminals.ts';
import type { FileDescription } from '#sentry/vfs/file-description.ts';
import { open } from '#sentry/vfs/open.ts';
import { deviceMinor } from '#sentry/vfs/special-files.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_APPEND, O_NOCTTY, O_NONBLOCK, O_RDWR } from '#sentry/abi/fs.ts';
import { UserError } from '../errors.ts';

const STANDARD_FILES = [0, 1, 2];
const NAMES = ['standard input', 'standard output', 'standard error'];

export interface Inherited {
  readonly fd: HostFd;
  /** Access mode and O_APPEND as the caller set them. */
  readonly flags: number;
}

/** The first three descriptors, in order, and as many more as are to be `preserved`; null for one that the caller closed. To be called before the sentry is isolated. */
export function inheritFiles(preserved = 0): readonly (Inherited | null)[] {
  return Array.from({ length: STANDARD_FILES.length + preserved }, (_, fd) => inheritFile(fd));
}

/** What a process was given. */
export interface InstalledFiles {
  /** Number of its terminal in /dev/pts, or null. */
  readonly terminal: number | null;
  /** Lets go of what the process does not have open itself. For one whose sandbox lives on. */
  readonly release: () => void;
}

/**
 * Gives `task` its descriptors, in their order. A terminal gets a name in `pts` and becomes the controlling terminal, so that tty(1) and job control find it.
 */
export function installFiles(
  files: HostFiles,
  task: Task,
  pts: DevptsFileSystem,
  inheritedFiles: readonly (Inherited | null)[],
): InstalledFiles {
  const hasTerminal = inheritedFiles.some((inherited) => inherited !== null && files.isTerminal(inherited.fd));
  const terminal = hasTerminal ? adoptTerminal(pts, task, (jobs) => (dentry, flags) => files.openTerminal(jobs, dentry, flags)) : null;
  if (typeof terminal === 'number') throw new UserError(`cannot pass on the terminal (${errnoName(-terminal)}).`);
  const kept: FileDescription[] = [];
  inheritedFiles.forEach((inherited, fd) => {
    if (inherited === null) return;
    const file = openInherited(files, task, inherited, terminal, kept);
    if (typeof file === 'number') throw new UserError(`cannot pass on ${NAMES[fd] ?? `descriptor ${fd}`} (${errnoName(-file)}).`);
    task.files.replace(fd, file, false);
  });
  const index = terminal === null ? null : deviceMinor(terminal.device);
  return {
    terminal: index,
    release: () => {
      for (const file of kept) file.release();
      if (index !== null) pts.release(index);
    },
  };
}

/** `kept`: descriptions that the process does not get. */
function openInherited(
  files: HostFiles,
  task: Task,
  { fd, flags }: Inherited,
  terminal: TerminalControl | null,
  kept: FileDescription[],
): FileDescription | number {
  const isTerminal = terminal !== null && files.isTerminal(fd);
  const file = files.open(fd, flags, task.credentials, terminal);
  if (typeof file === 'number' || !isTerminal || (flags & O_ACCMODE) !== O_RDWR) return file;
  // By its name, so that the guest's descriptors lead to /dev/pts; unless the tree has something else there, or nothing.
  const named = open(task, null, `/dev/pts/${deviceMinor(terminal.device)}`, flags | O_NOCTTY | O_NONBLOCK, 0, 0);
  if (typeof named === 'number') return file;
  if (named.inode.rdev !== terminal.device) {
    named.release();
    return file;
  }
  // What was opened first stays, for /dev/tty.
  kept.push(file);
  named.flags &= ~O_NONBLOCK;
  return named;
}

/** null when the caller closed it. */
function inheritFile(fd: number): Inherited | null {
  let flags: number;
  try {
    flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))![1]!, 8);
  } catch {
    return null;
  }
  // Not O_NONBLOCK: Node sets it on a pipe as soon as anything looks at process.stdout, and a guest would get EAGAIN it did not ask for.
  const visible = flags & (O_ACCMODE | O_APPEND);
  const stat = fstatSync(fd);
  if (!stat.isFIFO() && !stat.isCharacterDevice()) return { fd, flags: visible };
  try {
    return { fd: openSync(`/proc/self/fd/${fd}`, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY), flags: visible };
  } catch {
    // A terminal of another user, for example: the file is used as it is.
    return { fd, flags: visible };
  }
}
