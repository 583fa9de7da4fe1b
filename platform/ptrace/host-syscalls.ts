/** Numbers of the host system calls that the platform injects (x86-64), and the flags it passes. */

export const SYS_MMAP = 9;
export const SYS_MPROTECT = 10;
export const SYS_MUNMAP = 11;
export const SYS_MREMAP = 25;
export const SYS_MSYNC = 26;
export const SYS_MADVISE = 28;
export const SYS_CLONE = 56;
export const SYS_EXIT = 60;
export const SYS_SETSID = 112;
export const SYS_CAPSET = 126;
export const SYS_PRCTL = 157;
export const SYS_SECCOMP = 317;
export const SYS_RSEQ = 334;

export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
