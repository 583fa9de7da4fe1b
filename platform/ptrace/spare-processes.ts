/**
 * Guest processes whose guest has ended, emptied for the next one: cheaper than a process that ends and another that is forked.
 *
 * Nothing of the old guest survives: its memory is unmapped whole, registers and extended state are replaced when the process is taken,
 * and a guest can set nothing else on the host. Emptying runs by itself; its end is one of the stops that `wait` collects:
 *
 *     offer(process) → munmap of everything, not waited for → accept(tid, status) → take()
 *
 * Few are kept, since an idle sandbox should not hold what it may never need.
 */
import * as process from '../host/process.ts';
import { GUEST_END } from '../stub/layout.ts';
import type { IdleThread } from './guest-space.ts';
import * as nr from '../stub/host-syscalls.ts';
import { returnSlot } from './registers.ts';
import { Tracee } from './tracee.ts';
import { resetExtendedState } from './xstate.ts';

const SPARES_MAX = 2;
const STOPPED = 0x7f;
const SIGTRAP = 5;

/** All threads of a process without a guest, stopped. */
export interface SpareProcess {
  readonly leader: IdleThread;
  readonly others: readonly IdleThread[];
}

export class SpareProcesses {
  readonly #template: Tracee;
  readonly #emptying = new Map<number, { readonly tracee: Tracee; readonly spare: SpareProcess }>();
  readonly #empty: SpareProcess[] = [];

  /** `template` has the registers that the first injected call starts from. */
  constructor(template: Tracee) {
    this.#template = template;
  }

  get wantsMore(): boolean {
    return this.#emptying.size + this.#empty.length < SPARES_MAX;
  }

  /** Some are being emptied: a stop is to come. */
  get isBusy(): boolean {
    return this.#emptying.size > 0;
  }

  /** Processes that would have to be killed at the end. */
  get pids(): number[] {
    return [...this.#emptying.keys(), ...this.#empty.map(({ leader }) => leader.tid)];
  }

  /** Starts emptying a process all of whose threads are stopped. */
  offer(spare: SpareProcess): void {
    const tracee = new Tracee(spare.leader.tid, this.#template.injectAddress);
    tracee.copyRegisters(this.#template);
    this.#emptying.set(tracee.tid, { tracee, spare });
    tracee.startInjection(nr.SYS_MUNMAP, 0, GUEST_END);
  }

  /** Takes a status from wait4; false when the thread is none of these. */
  accept(tid: number, status: number): boolean {
    const entry = this.#emptying.get(tid);
    if (entry === undefined) return this.#isEmpty(tid, status);
    const stopped = (status & 0xff) === STOPPED;
    // Something from outside stopped it: it goes on.
    if (stopped && status >> 8 !== SIGTRAP) {
      process.trace(process.PTRACE_CONT, tid, 0, 0);
      return true;
    }
    this.#emptying.delete(tid);
    returnSlot(entry.tracee.slot);
    if (stopped) this.#empty.push(entry.spare);
    return true;
  }

  take(): SpareProcess | undefined {
    for (;;) {
      const spare = this.#empty.pop();
      // One that somebody killed meanwhile refuses.
      if (spare === undefined || resetExtendedState(spare.leader.tid) >= 0) return spare;
    }
  }

  /** A status of a process that lies ready can only be its end. */
  #isEmpty(tid: number, status: number): boolean {
    const index = this.#empty.findIndex(({ leader }) => leader.tid === tid);
    if (index >= 0 && (status & 0xff) !== STOPPED) this.#empty.splice(index, 1);
    return index >= 0;
  }
}
