/**
 * What stat(2), statx(2) and statfs(2) write to guest memory, in the layout of x86-64 (asm/stat.h, linux/stat.h, asm/statfs.h).
 *
 * `writeStat` and its kin are written out instead of going through the generic codec: stat is among the most frequent calls, and its
 * values lie in an object that lives as long as the sentry.
 */
import { array, i64, i32, putI64, struct, u16, u32, u64 } from './layout.ts';
import type { ValueOf } from './layout.ts';

export const Stat = struct('stat', {
  dev: u64,
  ino: u64,
  nlink: u64,
  mode: u32,
  uid: u32,
  gid: u32,
  pad: u32,
  rdev: u64,
  size: i64,
  blksize: i64,
  blocks: i64,
  atimeSec: i64,
  atimeNsec: i64,
  mtimeSec: i64,
  mtimeNsec: i64,
  ctimeSec: i64,
  ctimeNsec: i64,
  unused: array(i64, 3),
});

const StatxTime = struct('statx_timestamp', { sec: i64, nsec: u32, pad: i32 });

export const Statx = struct('statx', {
  mask: u32,
  blksize: u32,
  attributes: u64,
  nlink: u32,
  uid: u32,
  gid: u32,
  mode: u16,
  pad: u16,
  ino: u64,
  size: u64,
  blocks: u64,
  attributesMask: u64,
  atime: StatxTime,
  btime: StatxTime,
  ctime: StatxTime,
  mtime: StatxTime,
  rdevMajor: u32,
  rdevMinor: u32,
  devMajor: u32,
  devMinor: u32,
  mntId: u64,
  dioMemAlign: u32,
  dioOffsetAlign: u32,
  spare: array(u64, 12),
});

export const Statfs = struct('statfs', {
  type: i64,
  bsize: i64,
  blocks: u64,
  bfree: u64,
  bavail: u64,
  files: u64,
  ffree: u64,
  fsid: array(i32, 2),
  namelen: i64,
  frsize: i64,
  flags: i64,
  spare: array(i64, 4),
});
export type Statfs = ValueOf<typeof Statfs>;

export const STATX_TYPE = 0x001;
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;
export const STATX_MNT_ID = 0x1000;
export const STATX_RESERVED = 0x8000_0000;
export const STATX_ATTR_MOUNT_ROOT = 0x2000;

/** statfs(2) f_flags beyond MS_*: the flags field is filled in. */
export const ST_VALID = 0x20;
export const ST_RELATIME = 0x1000;

/** The attributes `writeStat` stores; the VFS's `Stat` and the host's `HostStat` have this shape. */
export interface Attributes {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blksize: number;
  blocks: number;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

export function emptyAttributes(): Attributes {
  return {
    dev: 0,
    ino: 0,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    blksize: 4096,
    blocks: 0,
    atimeSec: 0,
    atimeNsec: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    ctimeSec: 0,
    ctimeNsec: 0,
  };
}

/** Major number of a folded device number (Linux new_decode_dev). */
export function deviceMajor(device: number): number {
  return (device >>> 8) & 0xfff;
}

export function deviceMinor(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xfff00);
}

/** Folds a device number as st_dev and st_rdev hold it (Linux new_encode_dev). */
export function makeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** struct stat, 144 bytes. */
export function writeStat(view: DataView, at: number, from: Attributes): void {
  putI64(view, at, from.dev);
  putI64(view, at + 8, from.ino);
  putI64(view, at + 16, from.nlink);
  view.setUint32(at + 24, from.mode, true);
  view.setUint32(at + 28, from.uid, true);
  view.setUint32(at + 32, from.gid, true);
  view.setUint32(at + 36, 0, true);
  putI64(view, at + 40, from.rdev);
  putI64(view, at + 48, from.size);
  putI64(view, at + 56, from.blksize);
  putI64(view, at + 64, from.blocks);
  putI64(view, at + 72, from.atimeSec);
  putI64(view, at + 80, from.atimeNsec);
  putI64(view, at + 88, from.mtimeSec);
  putI64(view, at + 96, from.mtimeNsec);
  putI64(view, at + 104, from.ctimeSec);
  putI64(view, at + 112, from.ctimeNsec);
  for (let i = 120; i < 144; i += 4) view.setUint32(at + i, 0, true);
}

/** struct statx, 256 bytes. `mask` says which fields are meant; birth time is never known. */
export function writeStatx(view: DataView, at: number, from: Attributes, mask: number, mountId: number, attributes: number): void {
  for (let i = 0; i < 256; i += 4) view.setUint32(at + i, 0, true);
  view.setUint32(at, mask, true);
  view.setUint32(at + 4, from.blksize, true);
  putI64(view, at + 8, attributes);
  view.setUint32(at + 16, from.nlink, true);
  view.setUint32(at + 20, from.uid, true);
  view.setUint32(at + 24, from.gid, true);
  view.setUint16(at + 28, from.mode, true);
  putI64(view, at + 32, from.ino);
  putI64(view, at + 40, from.size);
  putI64(view, at + 48, from.blocks);
  putI64(view, at + 56, STATX_ATTR_MOUNT_ROOT);
  writeStatxTime(view, at + 64, from.atimeSec, from.atimeNsec);
  writeStatxTime(view, at + 96, from.ctimeSec, from.ctimeNsec);
  writeStatxTime(view, at + 112, from.mtimeSec, from.mtimeNsec);
  view.setUint32(at + 128, deviceMajor(from.rdev), true);
  view.setUint32(at + 132, deviceMinor(from.rdev), true);
  view.setUint32(at + 136, deviceMajor(from.dev), true);
  view.setUint32(at + 140, deviceMinor(from.dev), true);
  putI64(view, at + 144, mountId);
}

function writeStatxTime(view: DataView, at: number, sec: number, nsec: number): void {
  putI64(view, at, sec);
  view.setUint32(at + 8, nsec, true);
}

/**
 * Owner or group of a file that has no number inside a user namespace (user_namespaces(7)). No process can have it, for chown(2) and setuid(2) take it
 * as "none" (Linux INVALID_UID).
 */
export const UNMAPPED_ID = 0xffff_ffff;
/** What stat(2) shows instead (/proc/sys/kernel/overflowuid). */
export const OVERFLOW_ID = 65_534;
