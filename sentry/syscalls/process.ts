/**
 * Processes: fork(2), clone(2), execve(2), exit(2), wait4(2), process groups and sessions. The work is in kernel/{clone,exit,reap,exec}.
 */
import { E2BIG, EAGAIN, ECHILD, EFAULT, EINVAL, ENOENT, ESRCH } from '#sentry/abi/errno.ts';
import * as c from '#sentry/abi/clone.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_NONBLOCK, PATH_MAX } from '#sentry/abi/fs.ts';
import { RLIMIT_STACK, Rusage } from '#sentry/abi/resource.ts';
import { SIGINFO_SIZE } from '#sentry/abi/siginfo.ts';
import { CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SIGCHLD, SIGCONT } from '#sentry/abi/signal.ts';
import { GuestWindow, WINDOW_SIZE } from '../mm/guest-window.ts';
import { clone, resumeVfork } from '../kernel/clone.ts';
import type { CloneRequest } from '../kernel/clone.ts';
import { execve } from '../kernel/exec/exec.ts';
import { openExecutable } from '../kernel/exec/open-executable.ts';
import { CHILD_CHANGED, exitGroup, exitTask } from '../kernel/exit.ts';
import { setProcessGroup, startSession } from '../kernel/job-control.ts';
import { groupOfPidFd, openPidFd, takeDescriptor } from '../kernel/pidfd.ts';
import { takeChildReport } from '../kernel/reap.ts';
import type { ChildFilter, ChildReport } from '../kernel/reap.ts';
import { childInfo } from '../kernel/signals/info.ts';
import type { Task } from '../kernel/task.ts';
import { CONTINUED } from '../kernel/thread-group.ts';
import { REGISTERS_SET } from '../kernel/wait.ts';
import { kept } from './kept-answer.ts';
import { startOf } from './path-args.ts';
import { encodeUsage } from './usage.ts';
import { addr, dirfd, family, fd, flags, full, hex32, i32, input, many, oneOf, out, partial, path, pid, size, syscall } from './row.ts';

/** Bytes of one argument or environment string with its terminator (MAX_ARG_STRLEN). */
const STRING_MAX = 131072;
/** Room for all strings and pointers: a quarter of the stack limit, at least 128 KiB, at most 6 MiB. */
const ARGUMENTS_MIN = 131072;
const ARGUMENTS_MAX = 6 << 20;

// clone

function runClone(task: Task, cloneFlags: number, stack: number, parentTid: number, childTid: number, tls: number): number {
  return clone(task, {
    flags: (cloneFlags & ~c.CSIGNAL) >>> 0,
    exitSignal: cloneFlags & c.CSIGNAL,
    stackPointer: stack,
    parentTidAddress: parentTid,
    childTidAddress: childTid,
    tls,
    // clone(2) has one slot for both; the flags exclude each other.
    pidfdAddress: parentTid,
  });
}

function checkedClone(task: Task, cloneFlags: number, stack: number, parentTid: number, childTid: number, tls: number): number {
  const both = c.CLONE_PIDFD | c.CLONE_PARENT_SETTID;
  if ((cloneFlags & both) === both) return -EINVAL;
  return runClone(task, cloneFlags, stack, parentTid, childTid, tls);
}

const FORK: CloneRequest = {
  flags: 0,
  exitSignal: SIGCHLD,
  stackPointer: 0,
  parentTidAddress: 0,
  childTidAddress: 0,
  tls: 0,
  pidfdAddress: 0,
};
const VFORK: CloneRequest = { ...FORK, flags: c.CLONE_VM | c.CLONE_VFORK };

function clone3(task: Task, address: number, bytes: number): number {
  const resumed = resumeVfork(task);
  if (resumed !== null) return resumed;
  if (bytes > 4096) return -E2BIG;
  if (bytes < c.CLONE_ARGS_SIZE_VER0) return -EINVAL;
  const { scratch } = task;
  scratch.bytes.fill(0, 0, c.CloneArgs.size);
  if (task.memory.copyIn(address, scratch, 0, bytes) < 0) return -EFAULT;
  if (scratch.bytes.subarray(c.CloneArgs.size, bytes).some((byte) => byte !== 0)) return -E2BIG;
  const args = c.CloneArgs.decode(scratch.view, 0);
  if (args.setTidSize !== 0 || args.flags >= c.CLONE_INTO_CGROUP) return -EINVAL;
  if ((args.flags & (c.CLONE_DETACHED | c.CSIGNAL)) !== 0 || args.exitSignal > 64) return -EINVAL;
  if ((args.flags & (c.CLONE_THREAD | c.CLONE_PARENT)) !== 0 && args.exitSignal !== 0) return -EINVAL;
  if ((args.stack === 0) !== (args.stackSize === 0)) return -EINVAL;
  return clone(task, {
    flags: args.flags,
    exitSignal: args.exitSignal,
    stackPointer: args.stack + args.stackSize,
    parentTidAddress: args.parentTid,
    childTidAddress: args.childTid,
    tls: args.tls,
    pidfdAddress: args.pidfd,
  });
}

// execve

/** Reads what execve is given. Pointers and strings lie together, each of its own kind, so that two windows see nearly all of them. */
class ExecArguments {
  private readonly pointers: GuestWindow;
  private readonly texts: GuestWindow;
  /** Bytes left for all strings and pointers. */
  private room: number;

  constructor({ memory, scratch, group }: Task) {
    this.pointers = new GuestWindow(memory, scratch, 0);
    this.texts = new GuestWindow(memory, scratch, WINDOW_SIZE);
    const quarter = group.limits.soft(RLIMIT_STACK) / 4;
    this.room = Math.max(ARGUMENTS_MIN, Math.min(quarter, ARGUMENTS_MAX));
  }

  path(address: number): string | number {
    return this.texts.readString(address, PATH_MAX);
  }

  /** The strings of a NULL-terminated pointer array, or -errno. */
  strings(array: number): string[] | number {
    const strings: string[] = [];
    if (array === 0) return strings;
    for (let slot = array; ; slot += 8) {
      const pointer = this.pointers.loadU64(slot);
      if (pointer < 0) return -EFAULT;
      if (pointer === 0) return strings;
      const text = this.texts.readString(pointer, STRING_MAX);
      if (typeof text === 'number') return text === -EFAULT ? text : -E2BIG;
      this.room -= text.length + 1 + 8;
      if (this.room < 0) return -E2BIG;
      strings.push(text);
    }
  }
}

function runExec(task: Task, directory: number, pathAddress: number, argv: number, envp: number, atFlags: number): number {
  const given = new ExecArguments(task);
  const name = given.path(pathAddress);
  if (typeof name === 'number') return name;
  if (name === '' && (atFlags & AT_EMPTY_PATH) === 0) return -ENOENT;
  const start = startOf(task, directory, name);
  if (typeof start === 'number') return start;
  const args = given.strings(argv);
  if (typeof args === 'number') return args;
  const environment = given.strings(envp);
  if (typeof environment === 'number') return environment;
  const file = openExecutable(task, start, name, atFlags);
  if (typeof file === 'number') return file;
  // Linux gives a program without arguments an empty argv[0].
  const result = execve(task, {
    file,
    path: start === null ? name : shownPath(directory, name),
    args: args.length === 0 ? [''] : args,
    environment,
  });
  return result < 0 ? result : REGISTERS_SET;
}

function execveat(task: Task, directory: number, pathAddress: number, argv: number, envp: number, atFlags: number): number {
  if ((atFlags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL;
  return runExec(task, directory, pathAddress, argv, envp, atFlags);
}

/** What a program started from a descriptor is called (and an interpreter gets as its argument). */
function shownPath(directory: number, name: string): string {
  return name === '' ? `/dev/fd/${directory}` : `/dev/fd/${directory}/${name}`;
}

// wait

const WAIT4_OPTIONS = c.WNOHANG | c.WUNTRACED | c.WCONTINUED | c.WNOTHREAD | c.WALL | c.WCLONE;
const WAITID_OPTIONS = c.WNOHANG | c.WNOWAIT | c.WEXITED | c.WSTOPPED | c.WCONTINUED | c.WNOTHREAD | c.WALL | c.WCLONE;

/** A report, null for WNOHANG with nothing to tell, or a number: -errno or BLOCKED. */
function waitForChild(task: Task, filter: ChildFilter, options: number): ChildReport | null | number {
  const report = takeChildReport(task, filter);
  if (report !== null) return report;
  if ((options & c.WNOHANG) !== 0) return null;
  return task.wait.on(task.group.childEvents, CHILD_CHANGED);
}

function wait4(task: Task, which: number, statusAddress: number, options: number, usageAddress: number): number {
  if ((options & ~WAIT4_OPTIONS) !== 0) return -EINVAL;
  if (which === -0x8000_0000) return -ESRCH;
  const filter = {
    pid: which > 0 ? which : 0,
    pgid: which === 0 ? task.group.processGroup.pgid : which < -1 ? -which : 0,
    options: options | c.WEXITED,
  };
  const report = waitForChild(task, filter, options);
  if (report === null) return 0;
  if (typeof report === 'number') return report;
  if (statusAddress !== 0 && task.memory.storeU32(statusAddress, report.status) < 0) return -EFAULT;
  if (usageAddress !== 0 && storeUsage(task, usageAddress, report) < 0) return -EFAULT;
  return report.pid;
}

function storeUsage(task: Task, address: number, { child }: ChildReport): number {
  encodeUsage(task.scratch, child.userTimeNs + child.childrenUserTimeNs, child.systemTimeNs + child.childrenSystemTimeNs);
  return task.memory.copyOut(address, task.scratch, 0, Rusage.size);
}

function waitid(task: Task, idType: number, id: number, infoAddress: number, options: number, usageAddress: number): number {
  if ((options & ~WAITID_OPTIONS) !== 0 || (options & (c.WEXITED | c.WSTOPPED | c.WCONTINUED)) === 0) return -EINVAL;
  const filter = waitidFilter(task, idType, id, options);
  if (typeof filter === 'number') return filter;
  const waits = (options & c.WNOHANG) === 0;
  const report = waitForChild(task, filter, filter.options);
  if (typeof report === 'number') return report;
  if (report === null && waits) return -EAGAIN;
  if (report !== null && usageAddress !== 0 && storeUsage(task, usageAddress, report) < 0) return -EFAULT;
  if (infoAddress === 0) return 0;
  const { scratch } = task;
  if (report === null) scratch.bytes.fill(0, 0, SIGINFO_SIZE);
  else reportInfo(report).encode(scratch.view, 0);
  return task.memory.copyOut(infoAddress, scratch, 0, SIGINFO_SIZE);
}

function waitidFilter(task: Task, idType: number, id: number, options: number): ChildFilter | number {
  switch (idType) {
    case c.P_ALL:
      return { pid: 0, pgid: 0, options };
    case c.P_PID:
      return id <= 0 ? -EINVAL : { pid: id, pgid: 0, options };
    case c.P_PGID:
      return id < 0 ? -EINVAL : { pid: 0, pgid: id === 0 ? task.group.processGroup.pgid : id, options };
    case c.P_PIDFD: {
      if (id < 0) return -EINVAL;
      const group = groupOfPidFd(task, id);
      if (typeof group === 'number') return group;
      if (group.parent !== task.group) return -ECHILD;
      // A descriptor that does not block makes the wait look only; it then ends with EAGAIN instead of 0.
      const nonBlocking = (task.files.get(id)!.flags & O_NONBLOCK) !== 0;
      return { pid: group.pid, pgid: 0, options: nonBlocking ? options | c.WNOHANG : options };
    }
    default:
      return -EINVAL;
  }
}

function reportInfo({ child, status, pid: childPid, uid }: ChildReport): ReturnType<typeof childInfo> {
  const killer = status & 0x7f;
  const info =
    status === CONTINUED
      ? childInfo(child, CLD_CONTINUED, SIGCONT)
      : killer === 0x7f
        ? childInfo(child, CLD_STOPPED, status >> 8)
        : killer === 0
          ? childInfo(child, CLD_EXITED, status >> 8)
          : childInfo(child, (status & 0x80) !== 0 ? CLD_DUMPED : CLD_KILLED, killer);
  info.words[4] = childPid;
  info.words[5] = uid;
  return info;
}

// identity

function groupById(task: Task, which: number): Task['group'] | undefined {
  return which === 0 ? task.group : task.pids.groups.get(which);
}

function setpgid(task: Task, which: number, pgid: number): number {
  if (pgid < 0) return -EINVAL;
  const target = groupById(task, which);
  if (target === undefined || target.isZombie) return -ESRCH;
  return setProcessGroup(task.group, target, pgid);
}

function exit(task: Task, code: number): number {
  exitTask(task, code);
  return 0;
}

function exitAll(task: Task, code: number): number {
  exitGroup(task.group, (code & 0xff) << 8);
  return 0;
}

const CLONE_FLAGS = flags({
  CLONE_VM: c.CLONE_VM,
  CLONE_FS: c.CLONE_FS,
  CLONE_FILES: c.CLONE_FILES,
  CLONE_SIGHAND: c.CLONE_SIGHAND,
  CLONE_PIDFD: c.CLONE_PIDFD,
  CLONE_VFORK: c.CLONE_VFORK,
  CLONE_PARENT: c.CLONE_PARENT,
  CLONE_THREAD: c.CLONE_THREAD,
  CLONE_SYSVSEM: c.CLONE_SYSVSEM,
  CLONE_SETTLS: c.CLONE_SETTLS,
  CLONE_PARENT_SETTID: c.CLONE_PARENT_SETTID,
  CLONE_CHILD_CLEARTID: c.CLONE_CHILD_CLEARTID,
  CLONE_CHILD_SETTID: c.CLONE_CHILD_SETTID,
  SIGCHLD,
});
const NAMESPACE_NOTE = partial('of the namespaces only CLONE_NEWUTS can be made');
const WAIT_FLAGS = flags({ WNOHANG: 1, WUNTRACED: 2, WEXITED: 4, WCONTINUED: 8, WNOWAIT: c.WNOWAIT, __WALL: c.WALL, __WCLONE: c.WCLONE });

export const processRows = family(
  syscall({
    name: 'clone',
    nr: { x64: 56 },
    args: { flags: CLONE_FLAGS, stack: addr, parentTid: addr, childTid: addr, tls: addr },
    support: NAMESPACE_NOTE,
    run: checkedClone,
  }),
  syscall({
    name: 'clone',
    nr: { arm64: 220 },
    args: { flags: CLONE_FLAGS, stack: addr, parentTid: addr, tls: addr, childTid: addr },
    support: NAMESPACE_NOTE,
    run: (task, cloneFlags, stack, parentTid, tls, childTid) => checkedClone(task, cloneFlags, stack, parentTid, childTid, tls),
  }),
  syscall({
    name: 'clone3',
    nr: { x64: 435, arm64: 435 },
    args: { args: many(input(c.CLONE_ARGS_SIZE_VER0, 'clone_args'), 'size', 1), size },
    support: NAMESPACE_NOTE,
    run: clone3,
  }),
  syscall({ name: 'fork', nr: { x64: 57 }, args: {}, support: full, run: (task) => clone(task, FORK) }),
  syscall({ name: 'vfork', nr: { x64: 58 }, args: {}, support: full, run: (task) => clone(task, VFORK) }),
  syscall({
    name: 'execve',
    nr: { x64: 59, arm64: 221 },
    args: { path, argv: input(8, 'strings'), envp: addr },
    support: partial('ELF and scripts; file capabilities are not looked at'),
    run: (task, pathAddress, argv, envp) => runExec(task, AT_FDCWD, pathAddress, argv, envp, 0),
  }),
  syscall({
    name: 'execveat',
    nr: { x64: 322, arm64: 281 },
    args: { dirfd, path, argv: input(8, 'strings'), envp: addr, flags: flags({ AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW }) },
    support: partial('as execve'),
    run: execveat,
  }),
  syscall({ name: 'exit', nr: { x64: 60, arm64: 93 }, args: { status: i32 }, support: full, run: exit }),
  syscall({ name: 'exit_group', nr: { x64: 231, arm64: 94 }, args: { status: i32 }, support: full, run: exitAll }),
  syscall({
    name: 'wait4',
    nr: { x64: 61, arm64: 260 },
    args: { pid, status: out(4, 'wait_status'), options: WAIT_FLAGS, rusage: out(144) },
    support: full,
    run: wait4,
  }),
  syscall({
    name: 'waitid',
    nr: { x64: 247, arm64: 95 },
    args: {
      idtype: oneOf({ P_ALL: 0, P_PID: 1, P_PGID: 2, P_PIDFD: 3 }),
      id: pid,
      info: out(SIGINFO_SIZE, 'siginfo'),
      options: WAIT_FLAGS,
      rusage: out(144),
    },
    support: full,
    run: waitid,
  }),
  syscall({ name: 'getpid', nr: { x64: 39, arm64: 172 }, args: {}, support: full, run: (task) => kept(task, task.group.pid) }),
  syscall({ name: 'gettid', nr: { x64: 186, arm64: 178 }, args: {}, support: full, run: (task) => kept(task, task.tid) }),
  syscall({
    name: 'getppid',
    nr: { x64: 110, arm64: 173 },
    args: {},
    support: full,
    run: (task) => kept(task, task.group.parent?.pid ?? 0),
  }),
  syscall({
    name: 'set_tid_address',
    nr: { x64: 218, arm64: 96 },
    args: { tidptr: addr },
    support: full,
    run: (task, address) => {
      task.clearChildTid = address;
      return task.tid;
    },
  }),
  syscall({ name: 'setpgid', nr: { x64: 109, arm64: 154 }, args: { pid, pgid: pid }, support: full, run: setpgid }),
  syscall({
    name: 'getpgid',
    nr: { x64: 121, arm64: 155 },
    args: { pid },
    support: full,
    run: (task, which) => groupById(task, which)?.processGroup.pgid ?? -ESRCH,
  }),
  syscall({ name: 'getpgrp', nr: { x64: 111 }, args: {}, support: full, run: (task) => task.group.processGroup.pgid }),
  syscall({ name: 'setsid', nr: { x64: 112, arm64: 157 }, args: {}, support: full, run: (task) => startSession(task.group) }),
  syscall({
    name: 'getsid',
    nr: { x64: 124, arm64: 156 },
    args: { pid },
    support: full,
    run: (task, which) => groupById(task, which)?.processGroup.session.sid ?? -ESRCH,
  }),
  syscall({
    name: 'pidfd_open',
    nr: { x64: 434, arm64: 434 },
    args: { pid, flags: hex32 },
    support: full,
    run: (task, which, pidfdFlags) => {
      if ((pidfdFlags & ~0o4000) !== 0 || which <= 0) return -EINVAL;
      const group = task.pids.groups.get(which);
      if (group === undefined) return task.pids.tasks.has(which) ? -EINVAL : -ESRCH;
      return openPidFd(task, group, pidfdFlags);
    },
  }),
  syscall({
    name: 'pidfd_getfd',
    nr: { x64: 438, arm64: 438 },
    args: { pidfd: fd, targetfd: i32, flags: hex32 },
    support: full,
    run: (task, pidfd, targetFd, getFlags) => (getFlags !== 0 ? -EINVAL : takeDescriptor(task, pidfd, targetFd)),
  }),
);
