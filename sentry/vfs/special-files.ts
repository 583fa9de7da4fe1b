/**
 * Device nodes, FIFOs and sockets: their inodes lie in any file system, but what opening one yields comes from elsewhere in the kernel.
 * The parts that implement them register here when the kernel is wired together.
 *
 *     special.registerDevice(S_IFCHR, 1, 3, (inode, dentry, flags, caller) => new NullFile(dentry, flags));
 *     special.openFifo = (inode, dentry, flags, caller) => …;      // the pipe hangs on inode.attachments
 *
 * A FIFO opened without a partner yields a description at once whose `openWait()` says what to wait for; it counts as an end of the pipe
 * from then on, as fifo(7) wants.
 */
import { ENODEV, ENXIO } from '#sentry/abi/errno.ts';
import type { Dentry } from './dentry.ts';
import type { FileDescription } from './file-description.ts';
import type { Caller, Inode } from './inode.ts';

/** Opens a special file. Permissions were checked. `inode` holds the state that all who open this node share. */
export type SpecialOpener = (inode: Inode, dentry: Dentry, flags: number, caller: Caller) => FileDescription | number;

export class SpecialFiles {
  /** Replaced by the pipe implementation. */
  openFifo: SpecialOpener = () => -ENODEV;
  /** unix(7): a socket file cannot be opened, only connected to. */
  openSocket: SpecialOpener = () => -ENXIO;
  private readonly devices = new Map<string, SpecialOpener>();

  /** `type` is S_IFCHR or S_IFBLK. `minor` -1 stands for every minor number. */
  registerDevice(type: number, major: number, minor: number, opener: SpecialOpener): void {
    this.devices.set(`${type}:${major}:${minor}`, opener);
  }

  /** Whether there is such a device. */
  knows(type: number, rdev: number): boolean {
    return this.opener(type, rdev) !== undefined;
  }

  private opener(type: number, rdev: number): SpecialOpener | undefined {
    const major = deviceMajor(rdev);
    return this.devices.get(`${type}:${major}:${deviceMinor(rdev)}`) ?? this.devices.get(`${type}:${major}:-1`);
  }

  openDevice(type: number, rdev: number, inode: Inode, dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
    const opener = this.opener(type, rdev);
    return opener === undefined ? -ENXIO : opener(inode, dentry, flags, caller);
  }
}

/** Linux's encoding of device numbers for user space (makedev(3)), below 2^32 for every number the kernel has. */
export function makeDevice(major: number, minor: number): number {
  return (minor & 0xff) + (major & 0xfff) * 0x100 + (minor >>> 8) * 0x10_0000;
}

export function deviceMajor(device: number): number {
  return Math.floor(device / 0x100) & 0xfff;
}

export function deviceMinor(device: number): number {
  return (device & 0xff) | ((Math.floor(device / 0x10_0000) & 0xfff) << 8);
}
