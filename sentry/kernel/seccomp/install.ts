/**
 * How tasks get filters: by seccomp(2) and prctl(2), from their container's configuration, from their parent.
 *
 *     installFilter(task, words, flags)      // the caller has looked at privileges
 *     installStrictMode(task)
 *     makeFilter(words, flags); giveFilter(task, filter); dropFilter(filter)      // a container's, one for all its processes
 *     inheritFilter(child, parent)           // clone; execve keeps what there is
 *     releaseFilter(task)                    // its end
 *
 * Specification: seccomp(2); Linux kernel/seccomp.c seccomp_set_mode_filter, seccomp_can_sync_threads, seccomp_sync_threads.
 */
import { EBUSY, EINVAL, ESRCH } from '#sentry/abi/errno.ts';
import * as bpf from '#sentry/abi/bpf.ts';
import * as s from '#sentry/abi/seccomp.ts';
import type { Task } from '../task.ts';
import { SeccompFilter } from './filter.ts';
import { SeccompListener } from './listener.ts';
import { decodeSeccomp } from './program.ts';
import type { SeccompProgram } from './program.ts';

/**
 * Puts a program on top of the filters `task` has.
 * @param words `struct sock_filter` after `struct sock_filter`, two words each: code, jt and jf; k.
 * @param flags SECCOMP_FILTER_FLAG_TSYNC, _LOG, _SPEC_ALLOW (without effect: mitigations are the host's), _TSYNC_ESRCH, _NEW_LISTENER,
 *   _WAIT_KILLABLE_RECV.
 * @returns 0; with NEW_LISTENER a descriptor, -EBUSY when there is a listener already; with TSYNC the number of a thread that cannot take over the filters; -EINVAL for a program that is not allowed, or in strict mode;
 *   -ENOMEM; -ESRCH instead of a thread's number with TSYNC_ESRCH.
 */
export function installFilter(task: Task, words: Uint32Array, flags: number): number {
  const program = decodeSeccomp(words);
  if (program === null) return -EINVAL;
  const { seccomp } = task;
  if (seccomp !== null && seccomp.mode !== s.SECCOMP_MODE_FILTER) return -EINVAL;
  const filter = SeccompFilter.create(s.SECCOMP_MODE_FILTER, program, seccomp, (flags & s.SECCOMP_FILTER_FLAG_LOG) !== 0);
  if (typeof filter === 'number') return filter;
  if ((flags & s.SECCOMP_FILTER_FLAG_NEW_LISTENER) !== 0) return installWithListener(task, filter, flags);
  return attach(task, filter, flags);
}

/** Returns the descriptor of the filter's listener. */
function installWithListener(task: Task, filter: SeccompFilter, flags: number): number {
  if (SeccompFilter.hasListener(task.seccomp)) return -EBUSY;
  const listener = new SeccompListener(task.kernel.anonymous, flags, () => {
    filter.listener = null;
  });
  filter.listener = listener;
  const fd = task.files.install(listener, true);
  if (fd < 0) {
    listener.release();
    return fd;
  }
  const failure = attach(task, filter, flags);
  if (failure === 0) return fd;
  task.files.close(fd);
  return failure;
}

function attach(task: Task, filter: SeccompFilter, flags: number): number {
  const shallSync = (flags & s.SECCOMP_FILTER_FLAG_TSYNC) !== 0;
  const obstacle = shallSync ? findObstacle(task) : 0;
  if (obstacle !== 0) return (flags & s.SECCOMP_FILTER_FLAG_TSYNC_ESRCH) === 0 ? obstacle : -ESRCH;
  replaceFilter(task, filter);
  if (shallSync) synchronize(task, filter);
  return 0;
}

/**
 * A filter that several tasks are to have, which have none: a container's. It is the caller's until `dropFilter`.
 * @param words, flags as for `installFilter`; TSYNC means nothing.
 * @returns -EINVAL for a program that is not allowed, -ENOMEM.
 */
export function makeFilter(words: Uint32Array, flags: number): SeccompFilter | number {
  const program = decodeSeccomp(words);
  if (program === null) return -EINVAL;
  const filter = SeccompFilter.create(s.SECCOMP_MODE_FILTER, program, null, (flags & s.SECCOMP_FILTER_FLAG_LOG) !== 0);
  return typeof filter === 'number' ? filter : SeccompFilter.acquire(filter);
}

export function dropFilter(filter: SeccompFilter): void {
  SeccompFilter.release(filter);
}

/** `task`, which has not run yet, has `filter`. */
export function giveFilter(task: Task, filter: SeccompFilter): void {
  replaceFilter(task, filter);
}

/** read, write, exit and rt_sigreturn, and nothing else. 0, or -EINVAL for a task with filters. */
export function installStrictMode(task: Task): number {
  const { seccomp } = task;
  if (seccomp !== null) return seccomp.mode === s.SECCOMP_MODE_STRICT ? 0 : -EINVAL;
  const filter = SeccompFilter.create(s.SECCOMP_MODE_STRICT, strictProgram(), null, false);
  if (typeof filter === 'number') return filter;
  replaceFilter(task, filter);
  return 0;
}

/** A new task has the filters of the one that made it. */
export function inheritFilter(child: Task, parent: Task): void {
  if (parent.seccomp !== null) replaceFilter(child, parent.seccomp);
}

/** The task has ended and makes no more calls; what /proc shows of it stays. */
export function releaseFilter(task: Task): void {
  if (task.seccomp !== null) SeccompFilter.release(task.seccomp);
}

function replaceFilter(task: Task, filter: SeccompFilter): void {
  SeccompFilter.acquire(filter);
  releaseFilter(task);
  task.seccomp = filter;
}

/** The number of a thread of the process that has filters which `task` has not, or 0. */
function findObstacle(task: Task): number {
  for (const other of task.group.tasks) {
    if (other === task || other.hasExited || other.seccomp === null) continue;
    if (other.seccomp.mode !== s.SECCOMP_MODE_FILTER || !other.seccomp.isAncestorOf(task.seccomp)) return other.tid;
  }
  return 0;
}

/** All threads of the process have the filters of `task`, and its promise not to gain privileges. */
function synchronize(task: Task, filter: SeccompFilter): void {
  const { noNewPrivs } = task.credentials;
  for (const other of task.group.tasks) {
    if (other === task || other.hasExited) continue;
    replaceFilter(other, filter);
    if (noNewPrivs && !other.credentials.noNewPrivs) other.credentials = { ...other.credentials, noNewPrivs };
  }
}

/** What strict mode leaves, by each entry: Linux mode1_syscalls, mode1_syscalls_32. */
const STRICT_NATIVE = [0, 1, 15, 60];
const STRICT_FOREIGN = [1, 3, 4, 119];

let strict: SeccompProgram | null = null;

function strictProgram(): SeccompProgram {
  strict ??= decodeSeccomp(strictWords());
  if (strict === null) throw new Error('the program of strict mode is malformed');
  return strict;
}

function strictWords(): Uint32Array {
  const words: number[] = [];
  const add = (code: number, k: number, yes = 0, no = 0): void => void words.push(code | (yes << 16) | (no << 24), k);
  const addList = (numbers: readonly number[]): void => {
    add(bpf.BPF_LD | bpf.BPF_ABS, 0);
    numbers.forEach((number, i) => add(bpf.BPF_JMP | bpf.BPF_JEQ, number, numbers.length - i, 0));
    add(bpf.BPF_RET, s.SECCOMP_RET_KILL_THREAD);
    add(bpf.BPF_RET, s.SECCOMP_RET_ALLOW);
  };
  add(bpf.BPF_LD | bpf.BPF_ABS, 4);
  add(bpf.BPF_JMP | bpf.BPF_JEQ, s.AUDIT_ARCH_X86_64, 0, STRICT_NATIVE.length + 3);
  addList(STRICT_NATIVE);
  addList(STRICT_FOREIGN);
  return Uint32Array.from(words);
}
