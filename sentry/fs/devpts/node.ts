/**
 * The device nodes of a devpts: `ptmx`, and one for each terminal. A terminal's node is made with its master and disappears with it. Owner
 * and mode can be changed (grantpt(3), mesg(1), login(1) do), nothing else.
 */
import { EBUSY, EIO, ENXIO } from '#sentry/abi/errno.ts';
import { O_NOCTTY, S_IFCHR, S_IFMT } from '#sentry/abi/fs.ts';
import type { Timestamp } from '#platform/contract/host.ts';
import { CAP_SYS_ADMIN, capable } from '../../vfs/credentials.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { Inode } from '../../vfs/inode.ts';
import type { AttributeChange, Caller, Stat } from '../../vfs/inode.ts';
import { makeDevice } from '../../vfs/special-files.ts';
import type { OpenTerminal } from '../tty/job-control.ts';
import type { PseudoTerminal } from '../tty/terminal.ts';
import type { DevptsFileSystem } from './devpts-file-system.ts';
import { TerminalFile } from './terminal-file.ts';

/** Terminals have majors 136 to 143 on Linux; the first alone has numbers enough. */
export const TERMINAL_MAJOR = 136;
/** Inode numbers of terminals come after those of the root directory and ptmx. */
const FIRST_TERMINAL_INO = 3;

export class DeviceNode extends Inode {
  declare readonly fileSystem: DevptsFileSystem;
  private readonly device: number;
  private readonly changed: Timestamp = { sec: 0, nsec: 0 };
  private readonly modified: Timestamp = { sec: 0, nsec: 0 };
  private readonly accessed: Timestamp = { sec: 0, nsec: 0 };

  constructor(fileSystem: DevptsFileSystem, ino: number, permissions: number, uid: number, gid: number, device: number) {
    super(fileSystem, ino, S_IFCHR | permissions, uid, gid);
    this.device = device;
    for (const time of [this.changed, this.modified, this.accessed]) fileSystem.host.realtime(time);
  }

  override get rdev(): number {
    return this.device;
  }

  getattr(into: Stat): number {
    into.dev = this.fileSystem.device;
    into.ino = this.ino;
    into.mode = this.mode;
    into.nlink = 1;
    into.uid = this.uid;
    into.gid = this.gid;
    into.rdev = this.device;
    into.size = 0;
    into.blksize = 1024;
    into.blocks = 0;
    into.atimeSec = this.accessed.sec;
    into.atimeNsec = this.accessed.nsec;
    into.mtimeSec = this.modified.sec;
    into.mtimeNsec = this.modified.nsec;
    into.ctimeSec = this.changed.sec;
    into.ctimeNsec = this.changed.nsec;
    return 0;
  }

  override setattr(change: AttributeChange): number {
    if (change.mode !== undefined) this.mode = (this.mode & S_IFMT) | (change.mode & 0o7777);
    if (change.uid !== undefined) this.uid = change.uid;
    if (change.gid !== undefined) this.gid = change.gid;
    if (change.atimeSec !== undefined) this.accessed.sec = change.atimeSec;
    if (change.atimeNsec !== undefined) this.accessed.nsec = change.atimeNsec;
    if (change.mtimeSec !== undefined) this.modified.sec = change.mtimeSec;
    if (change.mtimeNsec !== undefined) this.modified.nsec = change.mtimeNsec;
    this.fileSystem.host.realtime(this.changed);
    return 0;
  }

  /** Devices are opened by their number (special-files.ts). */
  open(_dentry: Dentry, _flags: number, _caller: Caller): FileDescription | number {
    return -ENXIO;
  }
}

export class TerminalNode extends DeviceNode {
  readonly index: number;
  /** TIOCSPTLCK: it cannot be opened until unlockpt(3). */
  locked: boolean;
  private opener: OpenTerminal = () => -EIO;

  constructor(fileSystem: DevptsFileSystem, index: number, permissions: number, uid: number, gid: number, locked: boolean) {
    super(fileSystem, FIRST_TERMINAL_INO + index, permissions, uid, gid, makeDevice(TERMINAL_MAJOR, index));
    this.index = index;
    this.locked = locked;
  }

  /** What opening the node yields from now on. */
  serve(opener: OpenTerminal): void {
    this.opener = opener;
  }

  openTerminal(dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
    return this.locked ? -EIO : this.opener(dentry, flags, caller);
  }
}

/** Opens a pseudo-terminal, by its node or through /dev/tty. */
export function openTerminal(terminal: PseudoTerminal, dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
  if (terminal.master === null) return -EIO;
  if (terminal.exclusive && !capable(caller.credentials, CAP_SYS_ADMIN)) return -EBUSY;
  const file = new TerminalFile(terminal, dentry, flags);
  if ((flags & O_NOCTTY) === 0 && file.readable) terminal.jobs.opened(caller);
  return file;
}
