/**
 * Signal dispositions of a process (Linux sighand_struct): for each signal a handler address or SIG_DFL/SIG_IGN, SA_* flags, restorer and
 * mask. Shared by the threads of a process and by clone(CLONE_SIGHAND), hence counted; fork copies, execve resets.
 *
 * `arrivals` is where signalfd files wait: notified with READABLE for every signal that is queued for a task of these handlers.
 *
 * Specification: sigaction(2), execve(2) "Effect on process attributes".
 */
import { SA_NOCLDWAIT, SIG_DFL, SIG_IGN, SIGCHLD, SIGNAL_MAX } from '#sentry/abi/signal.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';

const SLOTS = SIGNAL_MAX + 1;

export class SignalHandlers {
  // One slot per signal number; slot 0 is not used.
  readonly handler = new Float64Array(SLOTS);
  readonly restorer = new Float64Array(SLOTS);
  readonly flags = new Uint32Array(SLOTS);
  readonly maskLow = new Uint32Array(SLOTS);
  readonly maskHigh = new Uint32Array(SLOTS);
  readonly arrivals = new WaitQueue();
  private references = 1;

  /** A separate copy (fork, or execve of a process that shares its handlers). */
  fork(): SignalHandlers {
    const copy = new SignalHandlers();
    copy.handler.set(this.handler);
    copy.restorer.set(this.restorer);
    copy.flags.set(this.flags);
    copy.maskLow.set(this.maskLow);
    copy.maskHigh.set(this.maskHigh);
    return copy;
  }

  acquire(): this {
    this.references++;
    return this;
  }

  release(): void {
    this.references--;
  }

  get isShared(): boolean {
    return this.references > 1;
  }

  /** execve: handlers become default, ignored signals stay ignored. The caller has made the object its own (`fork` when shared). */
  resetForExec(): void {
    for (let signo = 1; signo < SLOTS; signo++) {
      if (this.handler[signo] !== SIG_IGN) this.handler[signo] = SIG_DFL;
    }
    this.flags.fill(0);
    this.restorer.fill(0);
    this.maskLow.fill(0);
    this.maskHigh.fill(0);
  }

  /** CLONE_CLEAR_SIGHAND. */
  clear(): void {
    this.handler.fill(SIG_DFL);
    this.resetForExec();
  }

  setDefault(signo: number): void {
    this.handler[signo] = SIG_DFL;
  }

  /** Children leave no zombie: SIGCHLD is ignored or SA_NOCLDWAIT set. */
  get reapsAutomatically(): boolean {
    return this.handler[SIGCHLD] === SIG_IGN || (this.flags[SIGCHLD]! & SA_NOCLDWAIT) !== 0;
  }
}
