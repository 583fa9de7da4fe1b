/**
 * Attributes of a file as they travel: the first 144 bytes of the host kernel's `struct statx` (statx(2)), which are laid out the same on
 * every architecture. The gofer has the kernel write them straight into the reply, field by field nothing is copied there.
 *
 * They are the gofer's word, and the gofer is trusted by the sentry only as far as files go: `read` clamps nothing, but every field comes
 * out as a finite number.
 */
import { getU64, i64, putI64 } from '#sentry/abi/layout.ts';
import { Statx } from '#sentry/abi/stat.ts';
import type { WireField } from './codec.ts';

/** What is sent ends where the mount id, which means nothing to the sentry, begins. */
export const ATTRIBUTES_SIZE: number = Statx.offsets.mntId;

/** What statx(2) stores: the host writes this much where attributes go. */
export const STATX_SIZE: number = Statx.size;

/** `mask` bits of the fields below (STATX_BASIC_STATS). */
export const BASIC_ATTRIBUTES = 0x7ff;

export interface Attributes {
  /** Which fields the host filled in. 0: only the type in `mode` and the inode number are known (a directory that can be listed but not searched). */
  mask: number;
  mode: number;
  nlink: number;
  /** UNMAPPED_ID: somebody without a number inside the container. */
  uid: number;
  gid: number;
  /** All 64 bits of the inode number count for identity: two words. */
  inoLow: number;
  inoHigh: number;
  devMajor: number;
  devMinor: number;
  rdevMajor: number;
  rdevMinor: number;
  size: number;
  blocks: number;
  blksize: number;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

const at = Statx.offsets;

export function readAttributes(view: DataView, offset: number): Attributes {
  return {
    mask: view.getUint32(offset + at.mask, true),
    mode: view.getUint16(offset + at.mode, true),
    nlink: view.getUint32(offset + at.nlink, true),
    uid: view.getUint32(offset + at.uid, true),
    gid: view.getUint32(offset + at.gid, true),
    inoLow: view.getUint32(offset + at.ino, true),
    inoHigh: view.getUint32(offset + at.ino + 4, true),
    devMajor: view.getUint32(offset + at.devMajor, true),
    devMinor: view.getUint32(offset + at.devMinor, true),
    rdevMajor: view.getUint32(offset + at.rdevMajor, true),
    rdevMinor: view.getUint32(offset + at.rdevMinor, true),
    size: getU64(view, offset + at.size),
    blocks: getU64(view, offset + at.blocks),
    blksize: view.getUint32(offset + at.blksize, true),
    atimeSec: i64.get(view, offset + at.atime),
    atimeNsec: view.getUint32(offset + at.atime + 8, true),
    mtimeSec: i64.get(view, offset + at.mtime),
    mtimeNsec: view.getUint32(offset + at.mtime + 8, true),
    ctimeSec: i64.get(view, offset + at.ctime),
    ctimeNsec: view.getUint32(offset + at.ctime + 8, true),
  };
}

export function writeAttributes(view: DataView, offset: number, value: Attributes): void {
  for (let i = 0; i < ATTRIBUTES_SIZE; i += 4) view.setUint32(offset + i, 0, true);
  view.setUint32(offset + at.mask, value.mask, true);
  view.setUint16(offset + at.mode, value.mode, true);
  view.setUint32(offset + at.nlink, value.nlink, true);
  view.setUint32(offset + at.uid, value.uid, true);
  view.setUint32(offset + at.gid, value.gid, true);
  view.setUint32(offset + at.ino, value.inoLow, true);
  view.setUint32(offset + at.ino + 4, value.inoHigh, true);
  view.setUint32(offset + at.devMajor, value.devMajor, true);
  view.setUint32(offset + at.devMinor, value.devMinor, true);
  view.setUint32(offset + at.rdevMajor, value.rdevMajor, true);
  view.setUint32(offset + at.rdevMinor, value.rdevMinor, true);
  putI64(view, offset + at.size, value.size);
  putI64(view, offset + at.blocks, value.blocks);
  view.setUint32(offset + at.blksize, value.blksize, true);
  writeTime(view, offset + at.atime, value.atimeSec, value.atimeNsec);
  writeTime(view, offset + at.mtime, value.mtimeSec, value.mtimeNsec);
  writeTime(view, offset + at.ctime, value.ctimeSec, value.ctimeNsec);
}

function writeTime(view: DataView, offset: number, sec: number, nsec: number): void {
  putI64(view, offset, sec);
  view.setUint32(offset + 8, nsec, true);
}

const NONE: Attributes = readAttributes(new DataView(new ArrayBuffer(ATTRIBUTES_SIZE)), 0);

export const attributes: WireField<Attributes> = {
  write(writer, value) {
    const start = writer.reserve(ATTRIBUTES_SIZE);
    if (start >= 0) writeAttributes(writer.memory!.view, start, value);
  },
  read(reader) {
    const start = reader.take(ATTRIBUTES_SIZE);
    return start < 0 ? { ...NONE } : readAttributes(reader.memory!.view, start);
  },
};
