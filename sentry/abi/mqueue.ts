/** POSIX message queues, mq_overview(7): constants and structs (include/uapi/linux/mqueue.h, ipc/mqueue.c). */
import { i64, struct, u64 } from './layout.ts';

/** Priorities are below. */
export const MQ_PRIO_MAX = 32_768;
export const MQUEUE_MAGIC = 0x1980_0202;
/** Bytes of the message that a SIGEV_THREAD notification sends to its netlink socket; the last byte says what happened. */
export const NOTIFY_COOKIE_LEN = 32;
export const NOTIFY_WOKENUP = 1;
export const NOTIFY_REMOVED = 2;

export const MqAttr = struct('mq_attr', {
  flags: i64,
  maxmsg: i64,
  msgsize: i64,
  curmsgs: i64,
  reserved1: u64,
  reserved2: u64,
  reserved3: u64,
  reserved4: u64,
});
