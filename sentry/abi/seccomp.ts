/**
 * seccomp(2): Linux uapi/linux/seccomp.h, audit.h. Its programs (bpf.ts) read `struct seccomp_data` in words: number, architecture, instruction
 * pointer (2), six arguments of two words, little endian.
 */
import { array, i32, i64, struct, u32, u64 } from './layout.ts';

export const SECCOMP_MODE_STRICT = 1;
export const SECCOMP_MODE_FILTER = 2;

export const SECCOMP_SET_MODE_STRICT = 0;
export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_GET_ACTION_AVAIL = 2;
export const SECCOMP_GET_NOTIF_SIZES = 3;
export const SECCOMP_OPERATIONS: Readonly<Record<string, number>> = {
  SECCOMP_SET_MODE_STRICT,
  SECCOMP_SET_MODE_FILTER,
  SECCOMP_GET_ACTION_AVAIL,
  SECCOMP_GET_NOTIF_SIZES,
};

export const SECCOMP_FILTER_FLAG_TSYNC = 1 << 0;
export const SECCOMP_FILTER_FLAG_LOG = 1 << 1;
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1 << 2;
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3;
export const SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 1 << 4;
export const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5;
export const SECCOMP_FILTER_FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC,
  SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW,
  SECCOMP_FILTER_FLAG_NEW_LISTENER,
  SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
};

// What a program returns: an action in the upper half, as a signed number the more severe the smaller; data for it in the lower half.
export const SECCOMP_RET_KILL_PROCESS = 0x8000_0000 | 0;
export const SECCOMP_RET_KILL_THREAD = 0;
export const SECCOMP_RET_TRAP = 0x0003_0000;
export const SECCOMP_RET_ERRNO = 0x0005_0000;
export const SECCOMP_RET_USER_NOTIF = 0x7fc0_0000;
export const SECCOMP_RET_TRACE = 0x7ff0_0000;
export const SECCOMP_RET_LOG = 0x7ffc_0000;
export const SECCOMP_RET_ALLOW = 0x7fff_0000;
export const SECCOMP_RET_ACTION = 0xffff_0000 | 0;
export const SECCOMP_RET_DATA = 0xffff;

// User notification: the listener's ioctls (their numbers hold the sizes below) and flags.
export const SECCOMP_IOCTL_NOTIF_RECV = 0xc050_2100;
export const SECCOMP_IOCTL_NOTIF_SEND = 0xc018_2101;
export const SECCOMP_IOCTL_NOTIF_ID_VALID = 0x4008_2102;
/** As it was called before Linux 5.17. */
export const SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR = 0x8008_2102;
export const SECCOMP_IOCTL_NOTIF_ADDFD = 0x4018_2103;
export const SECCOMP_IOCTL_NOTIF_SET_FLAGS = 0x4008_2104;
export const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;
export const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 1;
export const SECCOMP_ADDFD_FLAG_SETFD = 1;
export const SECCOMP_ADDFD_FLAG_SEND = 2;

/** `data` is `struct seccomp_data`. */
export const SeccompNotif = struct('seccomp_notif', { id: u64, pid: u32, flags: u32, data: array(u64, 8) });
export const SeccompNotifResp = struct('seccomp_notif_resp', { id: u64, val: i64, error: i32, flags: u32 });
export const SeccompNotifAddfd = struct('seccomp_notif_addfd', { id: u64, flags: u32, srcfd: u32, newfd: u32, newfdFlags: u32 });

/** Bytes of `struct seccomp_data`. */
export const SECCOMP_DATA_SIZE = 64;

export const AUDIT_ARCH_X86_64 = 0xc000_003e;
export const AUDIT_ARCH_I386 = 0x4000_0003;
/** In a number of the native entry: the call is one of x32. */
export const X32_SYSCALL_BIT = 0x4000_0000;

/** `si_code` of SIGSYS from a filter. */
export const SYS_SECCOMP = 1;
