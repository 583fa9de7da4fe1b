/** Figures of POSIX message queues: the sysctls of mq_overview(7) with their ranges (Linux ipc/mq_sysctl.c). */
/** What stat(2) tells of the size of every queue: as much as reading one yields. */
export const QUEUE_FILE_SIZE = 80;

/** /proc/sys/fs/mqueue (mq_overview(7)): bounds for those without CAP_SYS_RESOURCE, and what a queue is made with when nothing is said. */
export class MqueueLimits {
  queues_max = 256;
  msg_max = 10;
  msgsize_max = 8192;
  msg_default = 10;
  msgsize_default = 8192;
}

/** What each may be set to: [least, most]. */
export const MQUEUE_RANGES: Readonly<Record<keyof MqueueLimits, readonly [number, number]>> = {
  queues_max: [0, 0x7fff_ffff],
  msg_max: [1, 65_536],
  msgsize_max: [128, 16 * 1024 * 1024],
  msg_default: [1, 65_536],
  msgsize_default: [128, 16 * 1024 * 1024],
};
