/** Numbers of the host system calls that stubs make or have injected (x86-64), and the flags they pass. */

export const SYS_MMAP = 9;
export const SYS_MPROTECT = 10;
export const SYS_MUNMAP = 11;
export const SYS_RT_SIGACTION = 13;
export const SYS_RT_SIGPROCMASK = 14;
export const SYS_MREMAP = 25;
export const SYS_MSYNC = 26;
export const SYS_MADVISE = 28;
export const SYS_CLONE = 56;
export const SYS_EXIT = 60;
export const SYS_SETSID = 112;
export const SYS_CAPSET = 126;
export const SYS_SIGALTSTACK = 131;
export const SYS_PRCTL = 157;
export const SYS_SECCOMP = 317;
export const SYS_RSEQ = 334;

export const PROT_READ_WRITE = 3;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
/** MAP_SHARED | MAP_FIXED | MAP_POPULATE: how a slot is mapped. */
export const MAP_SLOT = 0x8011;
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MADV_DONTFORK = 10;
