/**
 * The guest's descriptors 0, 1 and 2: what tsvisor inherited, looked at while names can still be opened.
 *
 * A pipe or terminal is opened once more through /proc/self/fd with O_NONBLOCK: the new description is ours alone, so the flag does not
 * change how the caller's shell sees it, and a guest that writes faster than the reader reads cannot block the sentry.
 */
import { fstatSync, openSync, readFileSync } from 'node:fs';
import type { HostFd } from '#platform/contract/host.ts';
import type { DevptsFileSystem } from '#sentry/fs/devpts/devpts-file-system.ts';
import { HostFiles } from '#sentry/fs/host-file/host-files.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
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
const NAMES = ['input', 'output', 'error'];

/** The three descriptors, in order; null for one that the caller closed. To be called before the sentry is isolated. */
export function inheritStandardFiles(): readonly (Inherited | null)[] {
  return STANDARD_FILES.map(inherit);
}

/**
 * Gives `init` its descriptors. A terminal gets a name in `pts` and becomes the controlling terminal, so that tty(1) and job control find it.
 */
export function installStandardFiles(
  kernel: Kernel,
  init: Task,
  pts: DevptsFileSystem,
  inheritedFiles: readonly (Inherited | null)[],
): HostFiles {
  const { credentials, fs } = init;
  const files = new HostFiles(kernel.host, kernel, credentials);
  const hasTerminal = inheritedFiles.some((inherited) => inherited !== null && files.isTerminal(inherited.fd));
  const jobs = hasTerminal ? adoptTerminal(pts, init, () => (dentry, flags) => files.openTerminal(dentry, flags)) : null;
  if (typeof jobs === 'number') throw new UserError(`cannot pass on the terminal (${errnoName(-jobs)}).`);
  for (const fd of STANDARD_FILES) {
    const inherited = inheritedFiles[fd] ?? null;
    if (inherited === null) continue;
    const file = openInherited(files, init, inherited, jobs);
    if (typeof file === 'number') throw new UserError(`cannot pass on standard ${NAMES[fd]} (${errnoName(-file)}).`);
    init.files.replace(fd, file, false);
  }
  files.registerWith(fs.namespace.vfs.special);
  return files;
}

function openInherited(files: HostFiles, init: Task, { fd, flags }: Inherited, jobs: TerminalControl | null): FileDescription | number {
  const isTerminal = jobs !== null && files.isTerminal(fd);
  const file = files.open(fd, flags, jobs);
  if (typeof file === 'number' || !isTerminal || (flags & O_ACCMODE) !== O_RDWR) return file;
  // By its name, so that the guest's descriptors lead to /dev/pts. What was opened first stays with `files`, for /dev/tty.
  return open(init, null, `/dev/pts/${deviceMinor(jobs.device)}`, flags | O_NOCTTY, 0, 0);
}

export interface Inherited {
  readonly fd: HostFd;
  /** Access mode and O_APPEND as the caller set them. */
  readonly flags: number;
}

/** null when the caller closed it. */
function inherit(fd: number): Inherited | null {
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
