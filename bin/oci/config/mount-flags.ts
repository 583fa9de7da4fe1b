/**
 * Mount options as mount(8) names them: which MS_* bit each sets or takes back. Numbers: Linux uapi/linux/mount.h; table: OCI config.md
 * "Linux mount options". What no table has goes to the file system.
 */
import { MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_STRICTATIME } from '#sentry/abi/fs.ts';
import { MS_BIND, MS_PRIVATE, MS_REC, MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_UNBINDABLE } from '#sentry/abi/mount.ts';

const MS_SYNCHRONOUS = 0x10;
const MS_MANDLOCK = 0x40;
const MS_DIRSYNC = 0x80;
const MS_I_VERSION = 0x80_0000;
const MS_LAZYTIME = 0x200_0000;

export interface FlagOption {
  readonly flag: number;
  readonly sets: boolean;
}

const sets = (flag: number): FlagOption => ({ flag, sets: true });
const clears = (flag: number): FlagOption => ({ flag, sets: false });

export const FLAG_OPTIONS: Readonly<Record<string, FlagOption>> = {
  async: clears(MS_SYNCHRONOUS),
  atime: clears(MS_NOATIME),
  bind: sets(MS_BIND),
  defaults: sets(0),
  dev: clears(MS_NODEV),
  diratime: clears(MS_NODIRATIME),
  dirsync: sets(MS_DIRSYNC),
  exec: clears(MS_NOEXEC),
  iversion: sets(MS_I_VERSION),
  lazytime: sets(MS_LAZYTIME),
  loud: clears(MS_SILENT),
  mand: sets(MS_MANDLOCK),
  noatime: sets(MS_NOATIME),
  nodev: sets(MS_NODEV),
  nodiratime: sets(MS_NODIRATIME),
  noexec: sets(MS_NOEXEC),
  noiversion: clears(MS_I_VERSION),
  nolazytime: clears(MS_LAZYTIME),
  nomand: clears(MS_MANDLOCK),
  norelatime: clears(MS_RELATIME),
  nostrictatime: clears(MS_STRICTATIME),
  nosuid: sets(MS_NOSUID),
  rbind: sets(MS_BIND | MS_REC),
  relatime: sets(MS_RELATIME),
  remount: sets(MS_REMOUNT),
  ro: sets(MS_RDONLY),
  rw: clears(MS_RDONLY),
  silent: sets(MS_SILENT),
  strictatime: sets(MS_STRICTATIME),
  suid: clears(MS_NOSUID),
  sync: sets(MS_SYNCHRONOUS),
  // Nothing is mounted without following links here.
  symfollow: sets(0),
};

/** For a mount and all below it, as mount_setattr(2) with AT_RECURSIVE. */
export const RECURSIVE_OPTIONS: Readonly<Record<string, FlagOption>> = {
  ratime: clears(MS_NOATIME),
  rdev: clears(MS_NODEV),
  rdiratime: clears(MS_NODIRATIME),
  rexec: clears(MS_NOEXEC),
  rnoatime: sets(MS_NOATIME),
  rnodev: sets(MS_NODEV),
  rnodiratime: sets(MS_NODIRATIME),
  rnoexec: sets(MS_NOEXEC),
  rnorelatime: clears(MS_RELATIME),
  rnostrictatime: clears(MS_STRICTATIME),
  rnosuid: sets(MS_NOSUID),
  rrelatime: sets(MS_RELATIME),
  rro: sets(MS_RDONLY),
  rrw: clears(MS_RDONLY),
  rstrictatime: sets(MS_STRICTATIME),
  rsuid: clears(MS_NOSUID),
  rsymfollow: sets(0),
};

export const PROPAGATION_OPTIONS: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  shared: MS_SHARED,
  rshared: MS_SHARED | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
  unbindable: MS_UNBINDABLE,
  runbindable: MS_UNBINDABLE | MS_REC,
};

/** Handled by the runtime itself. */
export const TMP_COPY_UP = 'tmpcopyup';

/** Known and not supported, with what to say. */
export const REFUSED_OPTIONS: Readonly<Record<string, string>> = {
  idmap: 'asks for an id-mapped mount, which is not supported',
  ridmap: 'asks for id-mapped mounts, which are not supported',
  nosymfollow: 'is not supported: symbolic links of a mount are always followed',
  rnosymfollow: 'is not supported: symbolic links of a mount are always followed',
};

/** For `tsvisor features`. */
export function knownMountOptions(): string[] {
  return [...Object.keys(FLAG_OPTIONS), ...Object.keys(RECURSIVE_OPTIONS), ...Object.keys(PROPAGATION_OPTIONS), TMP_COPY_UP].sort();
}
