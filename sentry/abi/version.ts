/** What uname(2) and /proc/version say: the Linux version whose behaviour the sentry follows. */
export const KERNEL_NAME = 'Linux';
export const KERNEL_RELEASE = '6.12.0-tsvisor';
export const KERNEL_VERSION = '#1 SMP tsvisor';
export const MACHINE = 'x86_64';
