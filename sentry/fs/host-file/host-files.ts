/**
 * From an inherited host descriptor to a file the guest can have: looks what it is and disguises it.
 *
 *     const files = new HostFiles(host, kernel);
 *     files.registerWith(vfs.special);          // so that /dev/stdin and /proc/self/fd/0 open them again
 *     const stdin = files.open(hostFd, O_RDONLY, { uid: 0, gid: 0 }, null);
 *     task.files.install(stdin, false);
 *
 * Two descriptors of one host file (`> log 2>&1`) yield the same description when both can write, because they share a position.
 */
import { EACCES } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_RDWR, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK } from '#sentry/abi/fs.ts';
import { deviceMinor, emptyAttributes, makeDevice } from '#sentry/abi/stat.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { SpecialFiles } from '../../vfs/special-files.ts';
import type { HostEvents } from './host-events.ts';
import { HostFileSystem, HostHandle, HostInode, visibleDevice } from './host-inode.ts';
import type { Disguise } from './host-inode.ts';
import { HostRegular } from './host-regular.ts';
import { HostStream } from './host-stream.ts';
import type { HostContext } from './host-stream.ts';
import { HostTerminal, isTerminal } from './host-terminal.ts';
import type { TerminalJobs } from '../tty/job-control.ts';

const STAGING_SIZE = 1 << 16;
const TTY_GROUP = 5;

/** Whom a guest sees an inherited file belong to. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Job control of an inherited terminal, and the device number as which it appears. */
export interface AdoptedTerminal extends TerminalJobs {
  readonly device: number;
}

interface KnownFile {
  readonly dev: number;
  readonly ino: number;
  readonly file: FileDescription;
}

export class HostFiles implements HostContext {
  readonly host: Host;
  readonly events: HostEvents;
  readonly staging: HostMemory;
  private readonly fileSystem = new HostFileSystem(makeDevice(0, 0xff4));
  /** Regular files that are open, by which two descriptors of one are known. */
  private known: KnownFile[] = [];
  /** How to open a terminal once more. */
  private readonly terminals = new WeakMap<AdoptedTerminal, HostInode>();

  constructor(host: Host, events: HostEvents) {
    this.host = host;
    this.events = events;
    this.staging = host.allocate(STAGING_SIZE);
  }

  isTerminal(fd: HostFd): boolean {
    return isTerminal(this, fd);
  }

  /**
   * A description over `fd`, which it owns from now on. `flags`: access mode, O_APPEND and O_NONBLOCK as the host has them.
   * `terminal` is job control for terminals; without it a terminal is served as a plain stream. Or -errno.
   */
  open(fd: HostFd, flags: number, owner: FileOwner, terminal: AdoptedTerminal | null): FileDescription | number {
    const stat = emptyAttributes();
    const error = this.host.fstat(fd, stat);
    if (error < 0) return error;
    const type = stat.mode & S_IFMT;
    this.known = this.known.filter(({ file }) => file.referenceCount > 0);
    const twin = this.known.find(({ dev, ino, file }) => dev === stat.dev && ino === stat.ino && file.flags === flags && file.writable);
    if (twin !== undefined) {
      if (fd > 2) this.host.close(fd);
      return twin.file.acquire();
    }
    const jobs = type === S_IFCHR && terminal !== null && this.isTerminal(fd) ? terminal : null;
    const inode = new HostInode(this.fileSystem, { host: this.host, fd }, disguise(stat.mode, stat.rdev, owner, jobs));
    inode.access = flags & O_ACCMODE;
    const handle = new HostHandle(this.host, fd);
    inode.reopen = (dentry, flags) => this.describe(type, handle, dentry, flags, jobs);
    if (jobs !== null && (!this.terminals.has(jobs) || inode.access === O_RDWR)) this.terminals.set(jobs, inode);
    const dentry = new Dentry(nameOf(type, inode.ino, jobs), null, inode);
    const file = this.describe(type, handle, dentry, flags, jobs);
    if (type === S_IFREG) this.known.push({ dev: stat.dev, ino: stat.ino, file });
    return file;
  }

  private describe(type: number, handle: HostHandle, dentry: Dentry, flags: number, jobs: TerminalJobs | null): FileDescription {
    if (type === S_IFREG) return new HostRegular(this, handle, dentry, flags);
    return jobs === null ? new HostStream(this, handle, dentry, flags) : new HostTerminal(this, handle, dentry, flags, jobs);
  }

  /** Another description of a terminal, for /dev/tty and its name in /dev/pts. */
  openTerminal(terminal: AdoptedTerminal, dentry: Dentry, flags: number): FileDescription | number {
    return this.terminals.get(terminal)?.reopen(dentry, flags) ?? -EACCES;
  }

  /** Inherited FIFOs and the terminal are opened by their inodes, not by what opens FIFOs and devices otherwise. */
  registerWith(special: SpecialFiles): void {
    const { openFifo } = special;
    special.openFifo = (inode, dentry, flags, caller) =>
      inode instanceof HostInode ? inode.open(dentry, flags, caller) : openFifo(inode, dentry, flags, caller);
  }
}

function disguise(mode: number, rdev: number, { uid, gid }: FileOwner, terminal: AdoptedTerminal | null): Disguise {
  if (terminal !== null) return { mode: S_IFCHR | 0o620, uid, gid: TTY_GROUP, rdev: terminal.device };
  const type = mode & S_IFMT;
  // A socket of the host (many programs connect their children by one) is shown as what it is used as: the guest must not try socket
  // calls on it.
  if (type === S_IFIFO || type === S_IFSOCK) return { mode: S_IFIFO | 0o600, uid, gid, rdev: 0 };
  return { mode, uid, gid, rdev: visibleDevice(mode, rdev) };
}

/** What /proc/PID/fd shows. */
function nameOf(type: number, ino: number, terminal: AdoptedTerminal | null): string {
  if (terminal !== null) return `/dev/pts/${deviceMinor(terminal.device)}`;
  if (type === S_IFIFO || type === S_IFSOCK) return `pipe:[${ino}]`;
  return type === S_IFCHR ? '/dev/null' : `/host-file:[${ino}]`;
}
