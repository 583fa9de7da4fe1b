/**
 * What a task asked of the scheduler. Guest threads are scheduled by the host: affinity is passed on to it; policies and
 * priorities are kept and reported, and change nothing. Immutable, so clone shares the object.
 */
import { SCHED_OTHER } from '#sentry/abi/sched.ts';

export interface Scheduling {
  /** SCHED_*. */
  readonly policy: number;
  /** 1 to 99 for SCHED_FIFO and SCHED_RR, else 0. */
  readonly priority: number;
  readonly resetOnFork: boolean;
  /** CPUs the task may use, one bit each, 32 to a word; null: all. */
  readonly affinity: readonly number[] | null;
  /** ioprio_set(2). */
  readonly ioPriority: number;
  /** prctl(PR_SET_TIMERSLACK). */
  readonly timerSlackNs: number;
  /** What PR_SET_TIMERSLACK with 0 goes back to: the slack of the creating thread. */
  readonly defaultTimerSlackNs: number;
}

const TIMER_SLACK_DEFAULT_NS = 50_000;

export const DEFAULT_SCHEDULING: Scheduling = {
  policy: SCHED_OTHER,
  priority: 0,
  resetOnFork: false,
  affinity: null,
  ioPriority: 0,
  timerSlackNs: TIMER_SLACK_DEFAULT_NS,
  defaultTimerSlackNs: TIMER_SLACK_DEFAULT_NS,
};

/** What a child starts with. */
export function inheritScheduling(parent: Scheduling): Scheduling {
  const { timerSlackNs } = parent;
  if (parent.resetOnFork) return { ...parent, policy: SCHED_OTHER, priority: 0, resetOnFork: false, defaultTimerSlackNs: timerSlackNs };
  return parent.defaultTimerSlackNs === timerSlackNs ? parent : { ...parent, defaultTimerSlackNs: timerSlackNs };
}
