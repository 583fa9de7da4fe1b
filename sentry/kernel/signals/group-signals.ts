/**
 * Signal state a whole process shares (part of Linux signal_struct): signals sent to the process, and job control's group stop.
 *
 * Group stop: `stopSignal` is set when a thread takes a stop signal; every thread then stops at its next way back to guest code
 * (`TaskSignals.stopPending`). When the last one has, `isStopped` is set and the parent is told. SIGCONT undoes all of it at once.
 */
import type { ProcessTimers } from '../timers/process-timers.ts';
import { PendingQueue, QueueCounter } from './pending-queue.ts';

export class GroupSignals {
  readonly queued: QueueCounter = new QueueCounter();
  /** Signals sent to the process; any thread that does not block one may take it. */
  readonly pending: PendingQueue = new PendingQueue(this.queued);
  /** Set for init: signals without a handler do not reach it, but SIGKILL and SIGSTOP from outside, and those of its own faults. */
  unkillable = false;
  /** The signal that stops or has stopped the process, 0 when it runs. */
  stopSignal = 0;
  /** All threads have stopped. */
  isStopped = false;
  /** A signal that ends the process was sent and is not taken yet: this one. 0 otherwise. */
  fatal = 0;
  /** Interval and POSIX timers; made when first used. */
  timers: ProcessTimers | null = null;
}
