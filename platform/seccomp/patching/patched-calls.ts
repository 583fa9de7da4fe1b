/**
 * Patched call sites, put together: when to patch, when to be hot, whose posted call is next.
 *
 *     wait():  next()          a thread that has posted a call, found by spinning; null: look at everything else, `isWatching` says for how long
 *              stopped(thread) after any other stop: counts, patches sites, goes hot or cold
 *
 * While hot, the slots of running threads are looked at one after the other; they share the CPUs that the sentry leaves them. Everything else
 * (notifications, host events) is looked at every few microseconds. Nothing spins when no guest thread runs.
 */
import type { LinuxHost } from '../../host/host.ts';
import type { Placement } from '../../host/placement.ts';
import { TRANSFER_ENTRIES, TransferWord, transferWord } from '../../stub/trampoline-layout.ts';
import type { Trampoline } from '../../stub/trampoline.ts';
import type { FrameLayout } from '../frame.ts';
import type { SeccompSpace } from '../guest-space.ts';
import type { SeccompThread } from '../guest-thread.ts';
import { State } from '../stub-thread.ts';
import { StopKind } from '../../contract/platform.ts';
import { HOT_LIMITS, HotMode } from './hot-mode.ts';
import type { HotLimits } from './hot-mode.ts';
import { Patcher } from './patcher.ts';
import { Regions } from './region.ts';
import { Frames } from './rescue.ts';

/** Rounds of looking at slots (a few nanoseconds each) between two looks at everything else. */
const ROUNDS = 1000;
/** Looks at everything else without any posted call: then it is the guest that works, and the sentry sleeps until its next stop. */
const EMPTY_LOOKS_MAX = 4;
/** Posted calls served between two looks at everything else. */
const TAKES = 64;
/** More running threads than these are not looked at: going through all their slots takes too long. */
const RUNNING_MAX = 8;
/** How long a thread spins, in pauses of some ten nanoseconds: for its call to be taken, and for a taken call. */
const POSTED_SPINS = 2000;
const TAKEN_SPINS = 20_000;

/** What the rows of the system calls tell: which arguments point to what. `kind`: 0 a string, 1 `bytes` bytes, 2 as many times `bytes` as argument `extent` says. */
export interface Transfer {
  readonly argument: number;
  readonly kind: number;
  readonly bytes: number;
  readonly extent: number;
}
export type TransferTable = ReadonlyArray<{ readonly in: readonly Transfer[]; readonly out: readonly Transfer[] } | undefined>;

export interface PatchingOptions {
  /** Which bytes travel with calls; null: no site is patched. */
  readonly transfers: (() => TransferTable) | null;
  /** Calls whose answers stay the same need not be seen by the kernel each time. */
  readonly keepsAnswers?: boolean;
  readonly limits?: HotLimits;
  /** After how many calls a site is patched. */
  readonly worthPatching?: number;
}

const WORTH_PATCHING = 8;

export class PatchedCalls {
  readonly frames: Frames;
  readonly patcher: Patcher;
  readonly #enabled: boolean;
  readonly #takesAnyCpu: boolean;
  readonly #host: LinuxHost;
  readonly #placement: Placement;
  readonly #mode: HotMode;
  readonly #now: () => number;
  /** Running threads whose slots are looked at. */
  readonly #watched: SeccompThread[] = [];
  /** Threads told that the sentry looks. */
  readonly #heated = new Set<SeccompThread>();
  #serving: SeccompThread | null = null;
  #emptyLooks = 0;
  #takes = 0;

  constructor(
    host: LinuxHost,
    placement: Placement,
    layout: FrameLayout,
    trampoline: Trampoline,
    { transfers, limits = HOT_LIMITS, worthPatching = WORTH_PATCHING }: PatchingOptions,
  ) {
    this.#mode = new HotMode(limits);
    this.#takesAnyCpu = limits.takesAnyCpu;
    this.#enabled = transfers !== null && host.cpuCount > 1;
    // What a CPU did is told by the difference of two looks.
    if (this.#enabled) placement.hasIdleCpu();
    this.#host = host;
    this.#placement = placement;
    this.#now = () => host.events.monotonicNs();
    this.frames = new Frames(layout, trampoline);
    this.patcher = new Patcher(host, new Regions(host, () => transferWords(transfers?.() ?? [])), trampoline, worthPatching);
  }

  get isHot(): boolean {
    return this.#mode.isHot;
  }

  /** There is a reason not to sleep. */
  get isWatching(): boolean {
    return this.#watched.length > 0;
  }

  /** The thread whose posted call the kernel is serving, if it is one of `space`. */
  serving(space: SeccompSpace): SeccompThread | null {
    const thread = this.#serving;
    return thread !== null && thread.space === space && thread.state === State.Posted ? thread : null;
  }

  /** The next posted call. */
  next(): SeccompThread | null {
    this.settle();
    if (!this.#mode.isHot || this.#watched.length === 0) return null;
    if (this.#takes === 0) {
      this.#takes = TAKES;
      if (this.#mode.failsTrial(this.#now)) this.#leave();
      return null;
    }
    const thread = this.#spin();
    if (thread !== null) return thread;
    this.#emptyLooks += 1;
    if (this.#emptyLooks <= EMPTY_LOOKS_MAX) return null;
    if (this.#mode.nap()) this.#leave();
    else this.#stopWatching();
    return null;
  }

  #spin(): SeccompThread | null {
    const watched = this.#watched;
    for (let round = ROUNDS; round > 0; round -= 1) {
      for (let i = 0; i < watched.length; i += 1) {
        const thread = watched[i]!;
        if (!thread.posted.isPosted || !thread.takePosted()) continue;
        this.#takes -= 1;
        this.#emptyLooks = 0;
        this.#mode.postedCall();
        this.#serving = thread;
        return thread;
      }
    }
    return null;
  }

  /** To be called every few milliseconds. `running`: guest threads that run. Several that compute need the CPU that the sentry naps on. */
  tick(running: number): void {
    if (this.#mode.isHot && !this.isWatching && running >= this.#host.cpuCount) this.#leave();
  }

  /** The call that was being served has been left to wait, or is answered: nothing that came with it counts any more. */
  settle(): void {
    const thread = this.#serving;
    if (thread === null) return;
    this.#serving = null;
    if (thread.state !== State.Posted) return;
    thread.posted.forget();
    thread.posted.sendToSleep();
  }

  /** A thread begins or ceases to run guest code. */
  ran(thread: SeccompThread, running: boolean): void {
    const { meter } = this.#mode;
    if (meter.isOn) {
      if (running) meter.ran(this.#now());
      else meter.stopped(this.#now());
    }
    if (running) {
      if (!this.#mode.isHot || thread.affinity !== null) return;
      if (this.#watched.length >= RUNNING_MAX) return this.#cool(thread);
      if (!this.#heated.has(thread)) {
        this.#heated.add(thread);
        thread.posted.heat(POSTED_SPINS, TAKEN_SPINS);
      }
      this.#watched.push(thread);
    } else {
      const index = this.#watched.indexOf(thread);
      if (index >= 0) this.#watched.splice(index, 1);
    }
  }

  #cool(thread: SeccompThread): void {
    if (this.#heated.delete(thread)) thread.posted.cool();
  }

  /** The thread does not exist any more, or may not be where it was put. */
  drop(thread: SeccompThread): void {
    this.#cool(thread);
    this.ran(thread, false);
    if (this.#serving === thread) this.#serving = null;
  }

  /** After a stop that was no posted call. `running`: other guest threads that run. */
  stopped(thread: SeccompThread, running: number): void {
    if (!this.#enabled) return;
    const returnAddress = thread.stop === StopKind.Syscall ? this.#callAddress(thread) : 0;
    const isPatched = thread.space.patches.patched.has(returnAddress);
    if (this.#mode.isHot) {
      this.#emptyLooks = 0;
      if (this.#mode.otherStop()) this.#leave();
    } else if (
      this.#mode.coldCall(isPatched, thread.state === State.Rung, this.#now) &&
      running < RUNNING_MAX &&
      this.#mayUseAnotherCpu(running)
    ) {
      this.#mode.enter(this.#now());
      this.#emptyLooks = 0;
      this.#takes = TAKES;
      return;
    }
    if (returnAddress !== 0 && !isPatched && this.#mode.isWarm) this.patcher.consider(thread, returnAddress);
  }

  /**
   * Whoever spins takes a CPU from others: only if there are none. With other guest threads running it may be they who use it, and whether there
   * is somebody else is left to the trial.
   */
  #mayUseAnotherCpu(running: number): boolean {
    return (this.#takesAnyCpu || running > 0 || this.#placement.hasIdleCpu()) && this.#placement.separate();
  }

  /** Behind the `syscall` instruction of the call that the thread is stopped at. */
  #callAddress(thread: SeccompThread): number {
    if (thread.state === State.Parked) return thread.callAddress;
    return thread.state === State.Rung ? this.frames.instructionPointer(thread.context) : 0;
  }

  #leave(): void {
    this.#mode.leave();
    this.#stopWatching();
    this.#placement.rejoin();
  }

  /** Threads make ordinary calls again, until they run anew while hot. */
  #stopWatching(): void {
    for (const thread of this.#heated) thread.posted.cool();
    this.#heated.clear();
    // Who posted before it could see that: its call is taken after all.
    const watched = this.#watched.splice(0);
    for (const thread of watched) if (thread.posted.isPosted && thread.takePosted()) thread.board.stops.push(thread);
  }
}

function transferWords(transfers: TransferTable): Uint32Array {
  const words = new Uint32Array(2 * TRANSFER_ENTRIES);
  for (let nr = 0; nr < Math.min(transfers.length, TRANSFER_ENTRIES); nr += 1) {
    words[2 * nr] = word(transfers[nr]?.in[0]);
    words[2 * nr + 1] = word(transfers[nr]?.out[0]);
  }
  return words;
}

function word(transfer: Transfer | undefined): number {
  if (transfer === undefined) return 0;
  const { argument, kind, bytes, extent } = transfer;
  if (kind === 0) return transferWord(TransferWord.Path, argument, 0, 0);
  if (kind === 1) return transferWord(TransferWord.Fixed, argument, 0, bytes);
  return transferWord(TransferWord.Counted, argument, extent, bytes);
}
