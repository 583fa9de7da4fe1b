/** Flags of mount(2) and umount2(2) beyond those that stay with the mount (MS_RDONLY and kin, see fs.ts). Linux uapi/linux/mount.h. */
import { MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_STRICTATIME } from './fs.ts';

export const MS_REMOUNT = 0x20;
export const MS_BIND = 0x1000;
export const MS_MOVE = 0x2000;
export const MS_REC = 0x4000;
export const MS_SILENT = 0x8000;
export const MS_UNBINDABLE = 0x2_0000;
export const MS_PRIVATE = 0x4_0000;
export const MS_SLAVE = 0x8_0000;
export const MS_SHARED = 0x10_0000;
export const MS_RELATIME = 0x20_0000;
/** The old way of saying that the upper half of the flags is meant. */
export const MS_MGC_VAL = 0xc0ed_0000;
export const MS_MGC_MASK = 0xffff_0000;

/** Flags a mount keeps. */
export const MS_KEPT = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_STRICTATIME;

export const MOUNT_NAMES = {
  MS_RDONLY,
  MS_NOSUID,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOATIME,
  MS_NODIRATIME,
  MS_REMOUNT,
  MS_BIND,
  MS_MOVE,
  MS_REC,
  MS_SILENT,
  MS_UNBINDABLE,
  MS_PRIVATE,
  MS_SLAVE,
  MS_SHARED,
  MS_RELATIME,
  MS_STRICTATIME,
};
