/**
 * eventfd(2), timerfd_create(2), signalfd(2), inotify(7), pidfd_open(2): flags and layouts.
 */
import { O_CLOEXEC, O_NONBLOCK } from './fs.ts';
import { i32, struct, u16, u32, u64, u8, array } from './layout.ts';

export const EFD_SEMAPHORE = 1;
export const EFD_CLOEXEC = O_CLOEXEC;
export const EFD_NONBLOCK = O_NONBLOCK;

export const TFD_CLOEXEC = O_CLOEXEC;
export const TFD_NONBLOCK = O_NONBLOCK;
export const TFD_TIMER_ABSTIME = 1;
export const TFD_TIMER_CANCEL_ON_SET = 2;
/** TFD_IOC_SET_TICKS. */
export const TFD_IOC_SET_TICKS = 0x4008_5400;

export const SFD_CLOEXEC = O_CLOEXEC;
export const SFD_NONBLOCK = O_NONBLOCK;

export const SignalfdSiginfo = struct('signalfd_siginfo', {
  signo: u32,
  errno: i32,
  code: i32,
  pid: u32,
  uid: u32,
  fd: i32,
  tid: u32,
  band: u32,
  overrun: u32,
  trapno: u32,
  status: i32,
  int: i32,
  ptr: u64,
  utime: u64,
  stime: u64,
  addr: u64,
  addrLsb: u16,
  pad2: u16,
  syscall: i32,
  callAddr: u64,
  arch: u32,
  pad: array(u8, 28),
});

export const IN_CLOEXEC = O_CLOEXEC;
export const IN_NONBLOCK = O_NONBLOCK;
export const IN_ACCESS = 0x1;
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_CLOSE_NOWRITE = 0x10;
export const IN_OPEN = 0x20;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_ALL_EVENTS = 0xfff;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_ONLYDIR = 0x0100_0000;
export const IN_DONT_FOLLOW = 0x0200_0000;
export const IN_EXCL_UNLINK = 0x0400_0000;
export const IN_MASK_CREATE = 0x1000_0000;
export const IN_MASK_ADD = 0x2000_0000;
export const IN_ISDIR = 0x4000_0000;
export const IN_ONESHOT = 0x8000_0000;

/** Ahead of the name, which is padded to a multiple of this size. */
export const InotifyEvent = struct('inotify_event', { wd: i32, mask: u32, cookie: u32, len: u32 });
