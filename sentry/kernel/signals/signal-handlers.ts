/**
 * Signal dispositions of a process (Linux sighand_struct): for each signal a handler address or SIG_DFL/SIG_IGN, SA_* flags, restorer and
 * mask. Shared by the threads of a process and by clone(CLONE_SIGHAND), hence counted; fork copies, execve resets.
 *
 * A copy borrows the table of what it was copied from until one of the two changes something (`own`), and one without any handler borrows
 * the empty table: of the processes made, most change nothing before they execve.
 *
 * `arrivals` is where signalfd files wait: notified with READABLE for every signal that is queued for a task of these handlers.
 *
 * Specification: sigaction(2), execve(2) "Effect on process attributes".
 */
import { SA_NOCLDWAIT, SIG_DFL, SIG_IGN, SIGCHLD, SIGNAL_MAX } from '#sentry/abi/signal.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';

const SLOTS = SIGNAL_MAX + 1;

/** One slot per signal number; slot 0 is not used. */
class Dispositions {
  readonly handler = new Float64Array(SLOTS);
  readonly restorer = new Float64Array(SLOTS);
  readonly flags = new Uint32Array(SLOTS);
  readonly maskLow = new Uint32Array(SLOTS);
  readonly maskHigh = new Uint32Array(SLOTS);

  copy(): Dispositions {
    const copy = new Dispositions();
    copy.handler.set(this.handler);
    copy.restorer.set(this.restorer);
    copy.flags.set(this.flags);
    copy.maskLow.set(this.maskLow);
    copy.maskHigh.set(this.maskHigh);
    return copy;
  }

  /** What remains of it in a new program: what is ignored. */
  afterExec(): Dispositions {
    let kept: Dispositions | null = null;
    for (let signo = 1; signo < SLOTS; signo++) {
      if (this.handler[signo] !== SIG_IGN) continue;
      kept ??= new Dispositions();
      kept.handler[signo] = SIG_IGN;
    }
    return kept ?? NONE;
  }
}

/** Every signal as it is by default. Nobody's own. */
const NONE = new Dispositions();

export class SignalHandlers {
  readonly arrivals = new WaitQueue();
  private table = NONE;
  private borrowed = true;
  private references = 1;

  get handler(): ArrayLike<number> {
    return this.table.handler;
  }
  get restorer(): ArrayLike<number> {
    return this.table.restorer;
  }
  get flags(): ArrayLike<number> {
    return this.table.flags;
  }
  get maskLow(): ArrayLike<number> {
    return this.table.maskLow;
  }
  get maskHigh(): ArrayLike<number> {
    return this.table.maskHigh;
  }

  /** The table, for whoever changes it. */
  own(): Dispositions {
    if (this.borrowed) {
      this.borrowed = false;
      this.table = this.table.copy();
    }
    return this.table;
  }

  /** A separate copy (fork, or execve of a process that shares its handlers). */
  fork(): SignalHandlers {
    const copy = new SignalHandlers();
    copy.table = this.table;
    this.borrowed = true;
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
    this.table = this.table.afterExec();
    this.borrowed = this.table === NONE;
  }

  /** CLONE_CLEAR_SIGHAND. */
  clear(): void {
    this.table = NONE;
    this.borrowed = true;
  }

  setDefault(signo: number): void {
    this.own().handler[signo] = SIG_DFL;
  }

  /** Children leave no zombie: SIGCHLD is ignored or SA_NOCLDWAIT set. */
  get reapsAutomatically(): boolean {
    return this.handler[SIGCHLD] === SIG_IGN || (this.flags[SIGCHLD]! & SA_NOCLDWAIT) !== 0;
  }
}
