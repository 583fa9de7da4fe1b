/**
 * What Node itself goes on asking of the host after start-up, in all its threads: memory for V8, waiting, the end. Shared by the filters of
 * sentry and gofer. None of it takes a path, makes a process, a thread or a socket.
 */
import type { Rule } from './assembler.ts';

export const NODE_RULES: readonly Rule[] = [
  { nr: 9, name: 'mmap', reason: 'heap and generated code of V8' },
  { nr: 10, name: 'mprotect', reason: 'V8 makes generated code executable' },
  { nr: 329, name: 'pkey_mprotect', reason: 'the same on CPUs with protection keys' },
  { nr: 11, name: 'munmap', reason: 'heap of V8' },
  { nr: 25, name: 'mremap', reason: 'large allocations of the C library' },
  { nr: 28, name: 'madvise', reason: 'V8 gives memory back' },
  { nr: 12, name: 'brk', reason: 'heap of the C library' },
  { nr: 202, name: 'futex', reason: 'threads of Node waiting for one another' },
  { nr: 24, name: 'sched_yield', reason: 'spin locks of V8' },
  { nr: 204, name: 'sched_getaffinity', reason: 'V8 counts the CPUs' },
  { nr: 39, name: 'getpid', reason: 'V8 and the C library' },
  { nr: 186, name: 'gettid', reason: 'V8 and the C library' },
  { nr: 13, name: 'rt_sigaction', reason: 'the end of the process restores signal handlers' },
  { nr: 14, name: 'rt_sigprocmask', reason: 'the end of a thread' },
  { nr: 15, name: 'rt_sigreturn', reason: 'return from signal handlers' },
  { nr: 131, name: 'sigaltstack', reason: 'the end of a thread' },
  { nr: 228, name: 'clock_gettime', reason: 'hosts whose vDSO cannot tell the time' },
  { nr: 230, name: 'clock_nanosleep', reason: 'delayed tasks of V8' },
  { nr: 318, name: 'getrandom', reason: 'hash seeds' },
  { nr: 143, name: 'sched_getparam', reason: 'the C library initialises a lock' },
  { nr: 145, name: 'sched_getscheduler', reason: 'the same' },
  { nr: 0, name: 'read', reason: "wake-ups of Node's helper threads" },
  { nr: 1, name: 'write', reason: 'the same; one line to standard error if the gofer fails' },
  { nr: 281, name: 'epoll_pwait', reason: "helper threads' event loop" },
  { nr: 233, name: 'epoll_ctl', reason: "helper threads' event loop" },
  { nr: 219, name: 'restart_syscall', reason: 'the host resumes interrupted waits with it' },
  { nr: 60, name: 'exit', reason: 'the end of a thread' },
  { nr: 231, name: 'exit_group', reason: 'the end of the process' },
];
