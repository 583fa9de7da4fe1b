/** What uname(2), /proc/version and /proc/sys/kernel say this kernel is. */
export const SYSNAME = 'Linux';
export const RELEASE = '6.12.0-tsvisor';
export const VERSION = '#1 SMP tsvisor';
export const MACHINE_X64 = 'x86_64';
