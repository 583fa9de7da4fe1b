/**
 * Signals: sending, masks, dispositions, waiting for them. The work is in kernel/signals.
 *
 * Specification: signal(7) and the page of each call.
 */
import { EAGAIN, EFAULT, EINTR, EINVAL, EPERM, ERESTARTNOHAND, ESRCH } from '#sentry/abi/errno.ts';
import { getU64, putI64 } from '#sentry/abi/layout.ts';
import { SIGINFO_SIZE, SignalInfo } from '#sentry/abi/siginfo.ts';
import * as s from '#sentry/abi/signal.ts';
import { getReg, Reg } from '#sentry/abi/x64/registers.ts';
import { groupToSignal } from '../kernel/pidfd.ts';
import { setAltStack } from '../kernel/signals/alt-stack.ts';
import { forceSegv } from '../kernel/signals/fault.ts';
import { popFrame } from '../kernel/signals/frame.ts';
import { checkKillPermission } from '../kernel/signals/permission.ts';
import { sendToGroup, sendToTask } from '../kernel/signals/send.ts';
import { TaskState } from '../kernel/task.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/thread-group.ts';
import { readDuration } from '../kernel/timers/clock.ts';
import { BLOCKED, REGISTERS_SET } from '../kernel/wait.ts';
import { family, fd, full, hex32, input, oneOf, out, pid, signal, size, syscall } from './row.ts';

const SIGSET_LOW = 0;
const SIGSET_HIGH = 4;

// Dispositions

/** rt_sigaction(2). */
function rtSigaction(task: Task, signo: number, action: number, oldAction: number, setSize: number): number {
  if (setSize !== s.SIGSET_SIZE) return -EINVAL;
  const { scratch, memory } = task;
  const { handlers } = task.group;
  if (action !== 0 && memory.copyIn(action, scratch, 0, s.SigactionLayout.size) < 0) return -EFAULT;
  if (!s.isValidSignal(signo) || (action !== 0 && (signo === s.SIGKILL || signo === s.SIGSTOP))) return -EINVAL;
  const { offsets, size: bytes } = s.SigactionLayout;
  const { view } = scratch;
  if (oldAction !== 0) {
    putI64(view, bytes + offsets.handler, handlers.handler[signo]!);
    putI64(view, bytes + offsets.flags, handlers.flags[signo]!);
    putI64(view, bytes + offsets.restorer, handlers.restorer[signo]!);
    view.setUint32(bytes + offsets.mask, handlers.maskLow[signo]!, true);
    view.setUint32(bytes + offsets.mask + 4, handlers.maskHigh[signo]!, true);
  }
  if (action !== 0) {
    const table = handlers.own();
    table.handler[signo] = getU64(view, offsets.handler);
    table.flags[signo] = view.getUint32(offsets.flags, true) & s.SA_KNOWN_FLAGS;
    table.restorer[signo] = getU64(view, offsets.restorer);
    table.maskLow[signo] = view.getUint32(offsets.mask, true) & ~s.UNBLOCKABLE_LOW;
    table.maskHigh[signo] = view.getUint32(offsets.mask + 4, true);
    dropIfIgnored(task.group, signo);
  }
  return oldAction === 0 ? 0 : memory.copyOut(oldAction, scratch, bytes, bytes);
}

/** POSIX: setting a disposition that ignores discards what is pending, blocked or not. */
function dropIfIgnored(group: ThreadGroup, signo: number): void {
  const handler = group.handlers.handler[signo]!;
  const action = s.defaultAction(signo);
  const ignores =
    handler === s.SIG_IGN || (handler === s.SIG_DFL && (action === s.DefaultAction.Ignore || action === s.DefaultAction.Continue));
  if (!ignores) return;
  const low = signo <= 32 ? 1 << (signo - 1) : 0;
  const high = signo > 32 ? 1 << (signo - 33) : 0;
  group.signals.pending.removeAll(low, high);
  for (const task of group.tasks) {
    task.signals.pending.removeAll(low, high);
    task.signals.recalculate();
  }
}

/** sigaltstack(2). */
function sigaltstack(task: Task, stack: number, oldStack: number): number {
  const { scratch, signals, memory } = task;
  const { offsets, size: bytes } = s.StackLayout;
  if (stack !== 0 && memory.copyIn(stack, scratch, 0, bytes) < 0) return -EFAULT;
  const stackPointer = getReg(task.thread.registers(), Reg.rsp);
  if (oldStack !== 0) {
    const state = signals.altStackState(stackPointer) | (signals.stackFlags & s.SS_AUTODISARM);
    s.StackLayout.encode(scratch.view, bytes, { address: signals.stackAddress, flags: state, size: signals.stackSize });
  }
  if (stack !== 0) {
    const { view } = scratch;
    const address = getU64(view, offsets.address);
    const result = setAltStack(task, address, view.getInt32(offsets.flags, true), getU64(view, offsets.size), stackPointer);
    if (result < 0) return result;
  }
  return oldStack === 0 ? 0 : memory.copyOut(oldStack, scratch, bytes, bytes);
}

/** rt_sigreturn(2). */
function rtSigreturn(task: Task): number {
  task.restartCall = null;
  if (popFrame(task) < 0) forceSegv(task, 0);
  return REGISTERS_SET;
}

// Masks

/** rt_sigprocmask(2). */
function rtSigprocmask(task: Task, how: number, set: number, oldSet: number, setSize: number): number {
  if (setSize !== s.SIGSET_SIZE) return -EINVAL;
  const { scratch, signals, memory } = task;
  const { view } = scratch;
  const { low, high } = signals.blocked;
  if (set !== 0) {
    if (memory.copyIn(set, scratch, 0, s.SIGSET_SIZE) < 0) return -EFAULT;
    const newLow = view.getUint32(SIGSET_LOW, true);
    const newHigh = view.getUint32(SIGSET_HIGH, true);
    if (how === s.SIG_BLOCK) signals.setBlocked(low | newLow, high | newHigh);
    else if (how === s.SIG_UNBLOCK) signals.setBlocked(low & ~newLow, high & ~newHigh);
    else if (how === s.SIG_SETMASK) signals.setBlocked(newLow, newHigh);
    else return -EINVAL;
  }
  return oldSet === 0 ? 0 : storeSet(task, oldSet, low, high, s.SIGSET_SIZE);
}

function storeSet(task: Task, address: number, low: number, high: number, bytes: number): number {
  const { view } = task.scratch;
  view.setUint32(SIGSET_LOW, low, true);
  view.setUint32(SIGSET_HIGH, high, true);
  return task.memory.copyOut(address, task.scratch, 0, bytes);
}

/** rt_sigpending(2): pending and blocked. */
function rtSigpending(task: Task, set: number, setSize: number): number {
  if (setSize > s.SIGSET_SIZE) return -EINVAL;
  const { pending, blocked } = task.signals;
  const shared = task.group.signals.pending.set;
  return storeSet(task, set, (pending.set.low | shared.low) & blocked.low, (pending.set.high | shared.high) & blocked.high, setSize);
}

/** rt_sigsuspend(2): never returns but through a handler; delivery restores the mask. */
function rtSigsuspend(task: Task, set: number, setSize: number): number {
  if (task.wait.first) {
    if (setSize !== s.SIGSET_SIZE) return -EINVAL;
    if (task.memory.copyIn(set, task.scratch, 0, s.SIGSET_SIZE) < 0) return -EFAULT;
    const { view } = task.scratch;
    task.signals.useTemporaryMask(view.getUint32(SIGSET_LOW, true), view.getUint32(SIGSET_HIGH, true));
    task.wait.interrupted = -ERESTARTNOHAND;
  }
  return BLOCKED;
}

function pause(task: Task): number {
  task.wait.interrupted = -ERESTARTNOHAND;
  return BLOCKED;
}

/** rt_sigtimedwait(2). */
function rtSigtimedwait(task: Task, set: number, infoAddress: number, timeout: number, setSize: number): number {
  const { signals, wait } = task;
  if (wait.first) {
    const prepared = prepareSigwait(task, set, timeout, setSize);
    if (prepared < 0) return prepared;
  }
  const info = signals.dequeue(signals.awaited);
  if (info === null && wait.mayWait) return BLOCKED;
  signals.awaited.clear();
  if (info === null) return -EAGAIN;
  if (infoAddress === 0) return info.signo;
  info.encode(task.scratch.view, 0);
  return task.memory.copyOut(infoAddress, task.scratch, 0, SIGINFO_SIZE) < 0 ? -EFAULT : info.signo;
}

function prepareSigwait(task: Task, set: number, timeout: number, setSize: number): number {
  const { signals, wait, scratch } = task;
  if (setSize !== s.SIGSET_SIZE) return -EINVAL;
  if (task.memory.copyIn(set, scratch, 0, s.SIGSET_SIZE) < 0) return -EFAULT;
  const low = scratch.view.getUint32(SIGSET_LOW, true) & ~s.UNBLOCKABLE_LOW;
  const high = scratch.view.getUint32(SIGSET_HIGH, true);
  if (timeout !== 0) {
    const duration = readDuration(task, timeout);
    if (duration < 0) return duration;
    wait.timeoutNs = duration; // 0 only looks
  }
  signals.awaited.set(low, high);
  wait.interrupted = -EINTR;
  wait.onFinish = signals.endAwait;
  return 0;
}

// Sending

/** kill(2). */
function kill(task: Task, target: number, signo: number): number {
  if (target > 0) {
    const group = groupOf(task, target);
    return group === undefined ? -ESRCH : killGroup(task, group, signo);
  }
  if (target === -1) return killAll(task, signo);
  if (target === -0x8000_0000) return -ESRCH;
  const processGroup = target === 0 ? task.group.processGroup : task.pids.processGroups.get(-target);
  return processGroup === undefined ? -ESRCH : killMany(task, [...processGroup.members], signo);
}

/** A process by the id of any of its threads, as Linux's kill finds it. */
function groupOf(task: Task, id: number): ThreadGroup | undefined {
  return task.pids.groups.get(id) ?? task.pids.tasks.get(id)?.group;
}

function killGroup(task: Task, group: ThreadGroup, signo: number): number {
  if (signo !== 0 && !s.isValidSignal(signo)) return -EINVAL;
  const refusal = checkKillPermission(task, group.leader, signo);
  if (refusal < 0 || signo === 0) return refusal;
  return sendToGroup(group, userInfo(task, signo, s.SI_USER));
}

function userInfo(task: Task, signo: number, code: typeof s.SI_USER | typeof s.SI_TKILL): SignalInfo {
  return SignalInfo.user(signo, code, task.group.pid, task.credentials.uid);
}

/** Success if one could be reached; the last refusal otherwise. */
function killMany(task: Task, groups: readonly ThreadGroup[], signo: number): number {
  let result = -ESRCH;
  let reached = false;
  for (const group of groups) {
    result = killGroup(task, group, signo);
    if (result === 0) reached = true;
  }
  return reached ? 0 : result;
}

/** Everybody but init and the caller. */
function killAll(task: Task, signo: number): number {
  const others = [...task.pids.groups.values()].filter((group) => group !== task.pids.init && group !== task.group);
  if (others.length === 0) return -ESRCH;
  let result = 0;
  for (const group of others) {
    const sent = killGroup(task, group, signo);
    if (sent !== -EPERM) result = sent;
  }
  return result;
}

/** tgkill(2); `tgid` 0 stands for any (tkill). */
function tgkill(task: Task, tgid: number, tid: number, signo: number): number {
  return sendToThread(task, tgid, tid, signo, () => userInfo(task, signo, s.SI_TKILL));
}

function sendToThread(task: Task, tgid: number, tid: number, signo: number, info: () => SignalInfo): number {
  const target = task.pids.tasks.get(tid);
  if (target === undefined || (tgid > 0 && target.group.pid !== tgid)) return -ESRCH;
  if (signo !== 0 && !s.isValidSignal(signo)) return -EINVAL;
  const refusal = checkKillPermission(task, target, signo);
  if (refusal < 0 || signo === 0) return refusal;
  return sendToTask(target, info());
}

/** The siginfo_t at `address`, or -errno. Only the kernel may speak as the kernel or as kill(2), except to oneself. */
function readInfo(task: Task, address: number, signo: number, target: number): SignalInfo | number {
  if (task.memory.copyIn(address, task.scratch, 0, SIGINFO_SIZE) < 0) return -EFAULT;
  const info = SignalInfo.decode(task.scratch.view, 0, signo);
  if ((info.code >= 0 || info.code === s.SI_TKILL) && target !== task.tid) return -EPERM;
  return info;
}

function rtSigqueueinfo(task: Task, target: number, signo: number, infoAddress: number): number {
  const info = readInfo(task, infoAddress, signo, target);
  if (typeof info === 'number') return info;
  const group = target > 0 ? groupOf(task, target) : undefined;
  if (group === undefined) return -ESRCH;
  return queueToGroup(task, group, signo, info);
}

function queueToGroup(task: Task, group: ThreadGroup, signo: number, info: SignalInfo): number {
  if (signo !== 0 && !s.isValidSignal(signo)) return -EINVAL;
  const refusal = checkKillPermission(task, group.leader, signo);
  if (refusal < 0 || signo === 0) return refusal;
  return sendToGroup(group, info);
}

function rtTgsigqueueinfo(task: Task, tgid: number, tid: number, signo: number, infoAddress: number): number {
  const info = readInfo(task, infoAddress, signo, tid);
  if (typeof info === 'number') return info;
  if (tid <= 0 || tgid <= 0) return -EINVAL;
  return sendToThread(task, tgid, tid, signo, () => info);
}

/** pidfd_send_signal(2). */
function pidfdSendSignal(task: Task, pidfd: number, signo: number, infoAddress: number, sendFlags: number): number {
  if (sendFlags !== 0) return -EINVAL;
  const group = groupToSignal(task, pidfd);
  if (typeof group === 'number') return group;
  if (group.leader.state === TaskState.Dead) return -ESRCH;
  // Somebody of another container, by a descriptor that was handed over (Linux access_pidfd_pidns).
  if (group.container.pids !== task.pids) return -EINVAL;
  if (infoAddress === 0) return killGroup(task, group, signo);
  const info = readInfo(task, infoAddress, signo, group.pid);
  if (typeof info === 'number') return info;
  if (task.scratch.view.getInt32(0, true) !== signo) return -EINVAL;
  return queueToGroup(task, group, signo, info);
}

/** restart_syscall(2): what delivery makes a thread call to go on with an interrupted sleep. */
function restartSyscall(task: Task): number {
  return task.restartCall === null ? -EINTR : task.restartCall(task);
}

const HOW = oneOf({ SIG_BLOCK: s.SIG_BLOCK, SIG_UNBLOCK: s.SIG_UNBLOCK, SIG_SETMASK: s.SIG_SETMASK });

export const signalRows = family(
  syscall({
    name: 'rt_sigaction',
    nr: { x64: 13, arm64: 134 },
    args: {
      signum: signal,
      act: input(s.SigactionLayout.size, 'sigaction'),
      oldact: out(s.SigactionLayout.size, 'sigaction'),
      sigsetsize: size,
    },
    support: full,
    run: rtSigaction,
  }),
  syscall({
    name: 'rt_sigprocmask',
    nr: { x64: 14, arm64: 135 },
    args: { how: HOW, set: input(s.SIGSET_SIZE, 'sigset'), oldset: out(s.SIGSET_SIZE, 'sigset'), sigsetsize: size },
    support: full,
    run: rtSigprocmask,
  }),
  syscall({ name: 'rt_sigreturn', nr: { x64: 15, arm64: 139 }, args: {}, support: full, run: rtSigreturn }),
  syscall({
    name: 'rt_sigpending',
    nr: { x64: 127, arm64: 136 },
    args: { set: out(s.SIGSET_SIZE, 'sigset'), sigsetsize: size },
    support: full,
    run: rtSigpending,
  }),
  syscall({
    name: 'rt_sigtimedwait',
    nr: { x64: 128, arm64: 137 },
    args: { set: input(s.SIGSET_SIZE, 'sigset'), info: out(SIGINFO_SIZE, 'siginfo'), timeout: input(16, 'timespec'), sigsetsize: size },
    support: full,
    run: rtSigtimedwait,
  }),
  syscall({
    name: 'rt_sigqueueinfo',
    nr: { x64: 129, arm64: 138 },
    args: { tgid: pid, sig: signal, info: input(SIGINFO_SIZE, 'siginfo') },
    support: full,
    run: rtSigqueueinfo,
  }),
  syscall({
    name: 'rt_tgsigqueueinfo',
    nr: { x64: 297, arm64: 240 },
    args: { tgid: pid, tid: pid, sig: signal, info: input(SIGINFO_SIZE, 'siginfo') },
    support: full,
    run: rtTgsigqueueinfo,
  }),
  syscall({
    name: 'rt_sigsuspend',
    nr: { x64: 130, arm64: 133 },
    args: { mask: input(s.SIGSET_SIZE, 'sigset'), sigsetsize: size },
    support: full,
    run: rtSigsuspend,
  }),
  syscall({
    name: 'sigaltstack',
    nr: { x64: 131, arm64: 132 },
    args: { ss: input(s.StackLayout.size, 'stack_t'), oldss: out(s.StackLayout.size, 'stack_t') },
    support: full,
    run: sigaltstack,
  }),
  syscall({ name: 'kill', nr: { x64: 62, arm64: 129 }, args: { pid, sig: signal }, support: full, run: kill }),
  syscall({
    name: 'tkill',
    nr: { x64: 200, arm64: 130 },
    args: { tid: pid, sig: signal },
    support: full,
    run: (task, tid, signo) => (tid <= 0 ? -EINVAL : tgkill(task, 0, tid, signo)),
  }),
  syscall({
    name: 'tgkill',
    nr: { x64: 234, arm64: 131 },
    args: { tgid: pid, tid: pid, sig: signal },
    support: full,
    run: (task, tgid, tid, signo) => (tid <= 0 || tgid <= 0 ? -EINVAL : tgkill(task, tgid, tid, signo)),
  }),
  syscall({ name: 'pause', nr: { x64: 34 }, args: {}, support: full, run: pause }),
  syscall({ name: 'restart_syscall', nr: { x64: 219, arm64: 128 }, args: {}, support: full, run: restartSyscall }),
  syscall({
    name: 'pidfd_send_signal',
    nr: { x64: 424, arm64: 424 },
    args: { pidfd: fd, sig: signal, info: input(SIGINFO_SIZE, 'siginfo'), flags: hex32 },
    support: full,
    run: pidfdSendSignal,
  }),
);
