/**
 * Signal state of one task: its mask, the signals sent to it alone, its alternate stack.
 *
 * `work` has a bit for each reason why the task cannot simply go back to guest code; it is the one word that every call looks at when it ends.
 * `needsAttention` says that a signal, a stop or the end of the process waits for this task; it ends an interruptible wait, and the kernel
 * loop looks at it (through `needsDelivery` of deliver.ts) on each way back to guest code. It may be true for nothing (another thread took
 * the signal), never false for something. Whoever changes mask or queues calls `recalculate`.
 *
 * A temporary mask (sigsuspend, ppoll, pselect, epoll_pwait) is set by `useTemporaryMask` at the call's first run; delivery restores the
 * old one when the call is over, with the handler's frame holding the old mask if a handler runs. The call itself does nothing more.
 */
import { SIGKILL, SignalSet, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, UNBLOCKABLE_LOW } from '#sentry/abi/signal.ts';
import type { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { Task } from '../task.ts';
import { PendingQueue } from './pending-queue.ts';
import { retargetBlocked } from './send.ts';

/** Bits of `TaskSignals.work`. */
const Work = { Attention: 1, SavedMask: 2, HeldResult: 4, Stopped: 8, Ended: 16, Frozen: 32, HeldWake: 64, HeldStop: 128 } as const;

export class TaskSignals {
  /** 0: nothing keeps the task from going on. */
  work = 0;

  /** Signals this task does not take now. Change it through `setBlocked`. */
  readonly blocked = new SignalSet();
  readonly pending: PendingQueue;
  /** The mask to go back to, valid while `hasSavedMask`. */
  readonly savedMask = new SignalSet();
  /** A group stop is on and this task has not stopped yet. */
  stopPending = false;
  /** What sigtimedwait waits for; empty otherwise. Such signals wake the task although they are blocked. */
  readonly awaited = new SignalSet();
  /** For `CallWait.onFinish` of sigtimedwait. */
  readonly endAwait = (): void => this.awaited.clear();

  // Alternate stack, sigaltstack(2).
  stackAddress = 0;
  stackSize = 0;
  stackFlags = SS_DISABLE;

  // Result of the call that a stop cut short, to be dealt with after SIGCONT.
  heldResult = 0;

  // The last CPU exception, for the signal frame (Linux thread_struct trap_nr, error_code, cr2).
  trapNumber = 0;
  errorCode = 0;
  faultLow = 0;
  faultHigh = 0;

  private readonly task: Task;
  private readonly inverse = new SignalSet();

  get needsAttention(): boolean {
    return (this.work & Work.Attention) !== 0;
  }
  set needsAttention(value: boolean) {
    this.setWork(Work.Attention, value);
  }
  get hasSavedMask(): boolean {
    return (this.work & Work.SavedMask) !== 0;
  }
  set hasSavedMask(value: boolean) {
    this.setWork(Work.SavedMask, value);
  }
  get hasHeldResult(): boolean {
    return (this.work & Work.HeldResult) !== 0;
  }
  set hasHeldResult(value: boolean) {
    this.setWork(Work.HeldResult, value);
  }
  /** The task is in a group stop: its state says so, too. */
  set isStopped(value: boolean) {
    this.setWork(Work.Stopped, value);
  }
  /** Its container is paused: it neither goes back to guest code nor goes on with a call. */
  get isFrozen(): boolean {
    return (this.work & Work.Frozen) !== 0;
  }
  set isFrozen(value: boolean) {
    this.setWork(Work.Frozen, value);
  }
  /** It was woken while it was frozen. */
  get hasHeldWake(): boolean {
    return (this.work & Work.HeldWake) !== 0;
  }
  set hasHeldWake(value: boolean) {
    this.setWork(Work.HeldWake, value);
  }
  /** Its thread stopped while it was frozen, and the stop is yet to be served. */
  get hasHeldStop(): boolean {
    return (this.work & Work.HeldStop) !== 0;
  }
  set hasHeldStop(value: boolean) {
    this.setWork(Work.HeldStop, value);
  }
  /** The task has no way back. */
  set hasEnded(value: true) {
    this.setWork(Work.Ended, value);
  }

  private setWork(bit: number, value: boolean): void {
    if (value) this.work |= bit;
    else this.work &= ~bit;
  }

  constructor(task: Task) {
    this.task = task;
    this.pending = new PendingQueue(task.group.signals.queued);
    this.stopPending = task.group.signals.stopSignal !== 0;
    this.needsAttention = this.stopPending;
  }

  /** clone: the mask is inherited, the alternate stack only by a copy of the address space (or vfork, which borrows it). */
  inherit(from: TaskSignals, altStack: 'keep' | 'drop'): void {
    this.blocked.assign(from.hasSavedMask ? from.savedMask : from.blocked);
    if (altStack === 'drop') return;
    this.stackAddress = from.stackAddress;
    this.stackSize = from.stackSize;
    this.stackFlags = from.stackFlags;
  }

  /** execve: mask and pending signals stay, the alternate stack and POSIX timers go. */
  resetForExec(): void {
    this.resetAltStack();
    this.task.group.signals.timers?.deletePosixTimers();
  }

  resetAltStack(): void {
    this.stackAddress = 0;
    this.stackSize = 0;
    this.stackFlags = SS_DISABLE;
  }

  /** Sees anew whether anything waits for this task. */
  recalculate(): void {
    const { group } = this.task;
    const doomed = group.exiting || group.signals.fatal !== 0;
    this.needsAttention =
      this.stopPending || doomed || this.pending.set.hasOutside(this.blocked) || group.signals.pending.set.hasOutside(this.blocked);
  }

  /** Replaces the mask; SIGKILL and SIGSTOP stay out of it. */
  setBlocked(low: number, high: number): void {
    const newLow = (low & ~UNBLOCKABLE_LOW) >>> 0;
    const newHigh = high >>> 0;
    const addedLow = newLow & ~this.blocked.low;
    const addedHigh = newHigh & ~this.blocked.high;
    this.blocked.set(newLow, newHigh);
    // Signals for the process that were meant for us may now be somebody else's.
    if (addedLow !== 0 || addedHigh !== 0) retargetBlocked(this.task, addedLow, addedHigh);
    this.recalculate();
  }

  /** For the duration of the current call. Further calls while it lasts change nothing. */
  useTemporaryMask(low: number, high: number): void {
    if (this.hasSavedMask) return;
    this.savedMask.assign(this.blocked);
    this.hasSavedMask = true;
    this.setBlocked(low, high);
  }

  /** Ends the temporary mask, if there is one. */
  restoreMask(): void {
    if (!this.hasSavedMask) return;
    this.hasSavedMask = false;
    this.setBlocked(this.savedMask.low, this.savedMask.high);
  }

  /** Whether a signal of `set` can be taken by `dequeue` (signalfd's readiness, sigtimedwait). */
  hasPending(set: SignalSet): boolean {
    return this.pending.set.intersects(set) || this.task.group.signals.pending.set.intersects(set);
  }

  /** Takes the next pending signal of `set`, this task's own before the process's; null when there is none. */
  dequeue(set: SignalSet): SignalInfo | null {
    this.inverse.set(~set.low, ~set.high);
    return this.takeUnblocked(this.inverse);
  }

  /** Takes the next pending signal outside `mask`. */
  takeUnblocked(mask: SignalSet): SignalInfo | null {
    for (;;) {
      let info = this.pending.takeUnblocked(mask);
      if (info === null) info = this.takeShared(mask);
      if (info === null || info.source === null || info.source.taken(info)) {
        this.recalculate();
        return info;
      }
    }
  }

  private takeShared(mask: SignalSet): SignalInfo | null {
    const info = this.task.group.signals.pending.takeUnblocked(mask);
    if (info !== null) this.task.group.signals.timers?.signalTaken(info);
    return info;
  }

  /** Only SIGKILL counts (uninterruptible waits). */
  get isKilled(): boolean {
    const { group } = this.task;
    return (
      group.exiting ||
      group.signals.fatal !== 0 ||
      (this.pending.set.low & KILL_BIT) !== 0 ||
      (group.signals.pending.set.low & KILL_BIT) !== 0
    );
  }

  /** Whether `stackPointer` lies on the alternate stack. */
  isOnAltStack(stackPointer: number): boolean {
    if ((this.stackFlags & SS_AUTODISARM) !== 0) return false;
    return this.covers(stackPointer);
  }

  /** The same, whatever SS_AUTODISARM says. */
  covers(stackPointer: number): boolean {
    return this.stackSize !== 0 && stackPointer > this.stackAddress && stackPointer - this.stackAddress <= this.stackSize;
  }

  /** What sigaltstack(2) reports as ss_flags. */
  altStackState(stackPointer: number): number {
    if (this.stackSize === 0) return SS_DISABLE;
    return this.isOnAltStack(stackPointer) ? SS_ONSTACK : 0;
  }
}

const KILL_BIT = 1 << (SIGKILL - 1);
