/**
 * The ptrace platform: guests run under PTRACE_SYSEMU, the sentry's main thread is their tracer.
 *
 * - Every guest address space is a process forked from the zygote or from another guest (see zygote.ts, stub/clone-flags.ts).
 * - `wait` blocks in wait4. The bell, one more traced process, polls the host's epoll descriptor and stops when there is an event,
 *   so host events end the same wait4: no signal, no second thread, no lost wake-up. While no guest runs, `wait` skips the bell and polls
 *   the descriptor itself.
 * - Processes die with the sentry by PTRACE_O_EXITKILL (and the zygote by its parent-death signal).
 *
 * See README.md for the host system calls used after start-up and for what the guest sees of all this.
 */
import { StopKind } from '../contract/platform.ts';
import type { GuestThread, Platform, PlatformLimits } from '../contract/platform.ts';
import { PlatformLost } from '../host/errors.ts';
import type { LinuxHost } from '../host/host.ts';
import { Placement, TICK_NS } from '../host/placement.ts';
import * as process from '../host/process.ts';
import { quietChildStops } from '../host/signals.ts';
import { GUEST_END, STUB_BASE } from '../stub/layout.ts';
import { assembleStub } from '../stub/stub-code.ts';
import { PtraceSpace } from './guest-space.ts';
import { PtraceThread } from './guest-thread.ts';
import * as nr from '../stub/host-syscalls.ts';
import { returnSlot } from './registers.ts';
import { isFaultSignal } from './tracee.ts';
import type { Tracee } from './tracee.ts';
import { SpareProcesses } from './spare-processes.ts';
import type { SpareProcess } from './spare-processes.ts';
import { copyExtendedState } from './xstate.ts';
import { createFirstProcesses } from './zygote.ts';
import type { Zygote } from './zygote.ts';

const EAGAIN = 11;
const EINTR = 4;
const ECHILD = 10;
const STOPPED = 0x7f;
const SYSCALL_STOP = 0x85; // SIGTRAP with the TRACESYSGOOD bit
const PTRACE_EVENT_STOP = 128;
const WAIT_OPTIONS = process.WCLONE | process.WNOTHREAD;
/** How long a wait without any running guest may take before dead processes are looked for. */
const IDLE_LOOK_NS = 10_000_000_000;
/** Host threads a process keeps for later, besides its first. */
const IDLE_THREADS_MAX = 4;

export class PtracePlatform implements Platform {
  readonly name = 'ptrace';
  readonly limits: PlatformLimits;
  readonly exchangeRoutine: number;
  readonly batchRoutine: number;
  readonly #host: LinuxHost;
  readonly #zygote: Zygote;
  readonly #bell: Tracee;
  readonly #placement: Placement;
  readonly #threads = new Map<number, PtraceThread>();
  /** Threads that were told to exit and have not been reaped. */
  readonly #dying = new Set<number>();
  readonly #spares: SpareProcesses;
  /** Stops that were collected and not yet returned by `wait`. */
  readonly #stops: PtraceThread[] = [];
  #running = 0;
  #bellWaiting = false;
  /** The bell rang while stops were collected: the next `wait` looks at host events first. */
  #rangAside = false;
  #tickStarted = false;
  #destroyed = false;

  constructor(host: LinuxHost) {
    const stub = assembleStub();
    this.#host = host;
    quietChildStops();
    this.limits = { lowestAddress: host.facts.lowestAddress, highestAddress: GUEST_END };
    this.exchangeRoutine = STUB_BASE + stub.exchange;
    this.batchRoutine = STUB_BASE + stub.batch;
    // First, so that the zygote and everything forked from it starts on the sentry's CPU.
    this.#placement = new Placement(host);
    const { zygote, bell } = createFirstProcesses(host, stub);
    this.#zygote = zygote;
    this.#spares = new SpareProcesses(zygote);
    this.#bell = bell;
    this.follow(zygote.tid);
    this.follow(bell.tid);
  }

  createSpace(): GuestThread | number {
    const spare = this.#spares.take();
    if (spare !== undefined) return this.#reuse(spare);
    if (!this.#zygote.alive) return -EAGAIN;
    const tid = this.#zygote.fork();
    return tid < 0 ? tid : this.adopt(this.#zygote, tid, null);
  }

  wait(): GuestThread | null {
    if (this.#rangAside) {
      this.#rangAside = false;
      if (this.#lookAtEvents()) return null;
    }
    const queued = this.#nextQueued();
    if (queued !== undefined) return queued;
    for (;;) {
      if (this.#running === 0 && this.#dying.size === 0 && !this.#spares.isBusy) {
        if (this.#waitForHost()) return null;
        continue;
      }
      this.#prepareToBlock();
      const tid = process.wait(-1, WAIT_OPTIONS);
      if (tid === this.#bell.tid) {
        if (this.#bellRang()) return null;
      } else if (tid > 0) {
        const thread = this.#accept(tid, process.waitStatus());
        if (thread !== null) {
          if (this.#running > 0) this.#collectOthers();
          return thread;
        }
      } else if (tid !== -EINTR) {
        throw new Error(`wait4 failed with errno ${-tid} while ${this.#running} guest threads run`);
      }
    }
  }

  /**
   * Keeps the main thread of another process of ours, one that the sentry waits for, on the sentry's CPU: a round trip then costs
   * two switches instead of two wake-ups of another CPU.
   */
  follow(pid: number): void {
    this.#placement.follow(pid);
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    const pids = new Set<number>([this.#zygote.tid, this.#bell.tid, ...this.#spares.pids]);
    for (const thread of this.#threads.values()) pids.add(thread.space.pid);
    for (const pid of pids) process.kill(pid, process.SIGKILL);
    this.#threads.clear();
    this.#stops.length = 0;
    this.#running = 0;
    this.#reapAll();
    this.#placement.restore();
  }

  // What follows is for threads and spaces.

  /** Makes a guest thread of the host thread that `parent` cloned a moment ago: in `space`, or in a new one. */
  adopt(parent: Tracee, tid: number, space: PtraceSpace | null): PtraceThread | number {
    const home = space ?? new PtraceSpace(this, tid, this.#zygote.vdso);
    const thread = new PtraceThread(home, tid, parent.injectAddress);
    if (!thread.awaitStop()) {
      returnSlot(thread.slot);
      return -EAGAIN;
    }
    thread.copyRegisters(parent);
    thread.affinity = parent.affinity;
    return this.#enter(thread, parent.placement); // clone inherits it
  }

  /** A guest thread like `parent` on a host thread that its process kept; null when there is none. */
  reuseIdle(parent: PtraceThread): PtraceThread | null {
    const { space } = parent;
    for (let idle = space.idle.pop(); idle !== undefined; idle = space.idle.pop()) {
      if (copyExtendedState(parent.tid, idle.tid) < 0) continue; // killed from outside
      const thread = new PtraceThread(space, idle.tid, parent.injectAddress);
      thread.copyRegisters(parent);
      thread.affinity = parent.affinity;
      return this.#enter(thread, parent.affinity === null ? idle.placement : 0);
    }
    return null;
  }

  #reuse({ leader, others }: SpareProcess): PtraceThread {
    const space = new PtraceSpace(this, leader.tid, this.#zygote.vdso);
    space.idle.push(...others);
    const thread = new PtraceThread(space, leader.tid, this.#zygote.injectAddress);
    thread.copyRegisters(this.#zygote);
    return this.#enter(thread, leader.placement);
  }

  #enter(thread: PtraceThread, placement: number): PtraceThread {
    thread.placement = placement;
    thread.space.threads.add(thread);
    this.#threads.set(thread.tid, thread);
    return thread;
  }

  setAffinity(thread: PtraceThread, words: readonly number[] | null): void {
    thread.affinity = words === null ? null : this.#placement.subset(words);
    this.#placement.place(thread);
  }

  /** Lets guest code run. The thread's registers are in place. */
  run(thread: PtraceThread): void {
    if (thread.placement !== this.#placement.epoch) this.#placement.place(thread);
    thread.running = true;
    this.#running += 1;
    if (process.trace(process.PTRACE_SYSEMU, thread.tid, 0, 0) < 0) this.#reportGone(thread);
  }

  /** A resume that cannot happen: the thread is dead, which the kernel learns from `wait`. */
  resumeLost(thread: PtraceThread): void {
    if (!thread.running && this.#threads.get(thread.tid) === thread && !this.#stops.includes(thread)) {
      thread.stop = StopKind.Gone;
      this.#stops.push(thread);
    }
  }

  releaseThread(thread: PtraceThread): void {
    const { space } = thread;
    if (space.threads.size <= 1) return this.killSpace(space);
    if (thread.running) throw new Error('a running guest thread was released');
    if (thread.alive && !this.#keep(thread)) {
      thread.startInjection(nr.SYS_EXIT, 0, 0);
      this.#dying.add(thread.tid);
    }
    this.#forget(thread);
  }

  /** Keeps the host thread for the next guest thread. Always the first one, so that the process never is a zombie with living threads. */
  #keep({ tid, placement, affinity, space }: PtraceThread): boolean {
    if (tid !== space.pid && space.idle.length >= IDLE_THREADS_MAX) return false;
    space.idle.push({ tid, placement: affinity === null ? placement : 0 });
    return true;
  }

  killSpace(space: PtraceSpace): void {
    if (space.ended) return;
    space.ended = true;
    const threads = [...space.threads];
    const spare = this.#asSpare(space);
    // The pid is ours to kill only while at least one thread has not been reaped.
    if (spare === null && threads.some((thread) => thread.alive)) process.kill(space.pid, process.SIGKILL);
    for (const thread of threads) {
      if (spare === null && thread.alive) this.#dying.add(thread.tid);
      this.#forget(thread);
    }
    if (spare !== null) this.#spares.offer(spare);
    else for (const { tid } of space.idle) this.#dying.add(tid);
  }

  /** What would remain of the process without its guest, if it is worth keeping. */
  #asSpare({ pid, idle, threads }: PtraceSpace): SpareProcess | null {
    if (!this.#spares.wantsMore || threads.size + idle.length > IDLE_THREADS_MAX + 1 || !this.#mayEmpty) return null;
    const all = [...idle];
    for (const { tid, placement, affinity, alive, running } of threads) {
      if (!alive || running) return null;
      all.push({ tid, placement: affinity === null ? placement : 0 });
    }
    const leader = all.find(({ tid }) => tid === pid);
    return leader === undefined ? null : { leader, others: all.filter((other) => other !== leader) };
  }

  /** Not where the host seals the vDSO and it lies in the way. */
  get #mayEmpty(): boolean {
    const { vdso } = this.#zygote;
    return vdso === null || vdso.vvar.start >= GUEST_END;
  }

  #nextQueued(): PtraceThread | undefined {
    return this.#stops.length === 0 ? undefined : this.#stops.shift();
  }

  /** The bell must be polling, the alarm set and the tick started before wait4 may block. */
  #prepareToBlock(): void {
    if (!this.#bellWaiting) {
      this.#bellWaiting = true;
      process.trace(process.PTRACE_CONT, this.#bell.tid, 0, 0);
    }
    this.#host.events.programAlarm();
    if (!this.#tickStarted && this.#placement.stops > 0) this.#startTick();
  }

  #startTick(): void {
    this.#tickStarted = true;
    this.#placement.restart();
    this.#host.events.startTick(TICK_NS);
  }

  /** True when the kernel loop should look at host events. */
  #bellRang(): boolean {
    if ((process.waitStatus() & 0xff) !== STOPPED) throw new PlatformLost('the process that watches host events');
    this.#bellWaiting = false;
    return this.#lookAtEvents();
  }

  #lookAtEvents(): boolean {
    const { events } = this.#host;
    const wanted = events.collect();
    if (events.takeTick()) this.#tick();
    return wanted;
  }

  #tick(): void {
    this.#tickStarted = false;
    const running: PtraceThread[] = [];
    for (const thread of this.#threads.values()) if (thread.running) running.push(thread);
    if (this.#placement.tick(running)) {
      this.#tickStarted = true;
      this.#host.events.startTick(TICK_NS);
    }
  }

  /** Waits without any guest running. True when the kernel loop should look. */
  #waitForHost(): boolean {
    const { events } = this.#host;
    const start = events.monotonicNs();
    events.waitDirectly(IDLE_LOOK_NS);
    this.#placement.idled(events.monotonicNs() - start);
    const wanted = this.#lookAtEvents();
    if (!wanted) this.#reapIdle();
    return wanted || this.#stops.length > 0;
  }

  /** Looks for stopped threads that somebody outside killed. */
  #reapIdle(): void {
    for (;;) {
      const tid = process.wait(-1, WAIT_OPTIONS | process.WNOHANG);
      if (tid <= 0) return;
      const thread = this.#accept(tid, process.waitStatus());
      if (thread !== null) this.#stops.push(thread);
    }
  }

  /** Other threads may have stopped meanwhile: serve them in the order found, or a busy one at the head of the list would starve the rest. */
  #collectOthers(): void {
    for (let i = this.#running; i > 0; i -= 1) {
      const tid = process.wait(-1, WAIT_OPTIONS | process.WNOHANG);
      if (tid <= 0) return;
      if (tid === this.#bell.tid) {
        this.#bellWaiting = false;
        this.#rangAside = true;
        continue;
      }
      const thread = this.#accept(tid, process.waitStatus());
      if (thread !== null) this.#stops.push(thread);
    }
  }

  /** Makes a stop of a status from wait4; null when it is nothing for the kernel. */
  #accept(tid: number, status: number): PtraceThread | null {
    const thread = this.#threads.get(tid);
    if (thread === undefined && this.#spares.accept(tid, status)) return null;
    if ((status & 0xff) !== STOPPED) return this.#ended(tid, thread);
    if (thread === undefined) {
      // A thread on its way out, stopped once more by something: let it go on dying.
      process.trace(process.PTRACE_CONT, tid, 0, 0);
      return null;
    }
    const signal = (status >> 8) & 0xff;
    const event = status >> 16;
    if (signal === SYSCALL_STOP) {
      thread.stoppedAtSyscall();
    } else if (event === PTRACE_EVENT_STOP) {
      if (!thread.interruptWanted) return this.#continue(thread);
      thread.stopped(StopKind.Interrupted);
    } else if (!isFaultSignal(signal) || !thread.stoppedAtSignal(signal)) {
      return this.#continue(thread);
    }
    this.#running -= 1;
    this.#placement.stops += 1;
    return thread;
  }

  /** Goes on as if nothing had happened: the signal, if any, is dropped. */
  #continue(thread: PtraceThread): null {
    process.trace(process.PTRACE_SYSEMU, thread.tid, 0, 0);
    return null;
  }

  #ended(tid: number, thread: PtraceThread | undefined): PtraceThread | null {
    if (this.#dying.delete(tid)) return null;
    if (thread === undefined) {
      this.#forgetIdle(tid);
      if (tid !== this.#zygote.tid) return null;
      this.#zygote.alive = false;
      throw new PlatformLost('the process that guest processes are made from');
    }
    if (thread.running) this.#running -= 1;
    thread.lost(StopKind.Gone);
    return thread;
  }

  /** Somebody outside killed a process that keeps the thread: it must not be expected to end once more. */
  #forgetIdle(tid: number): void {
    for (const { space } of this.#threads.values()) {
      const index = space.idle.findIndex((idle) => idle.tid === tid);
      if (index >= 0) space.idle.splice(index, 1);
    }
  }

  /** The thread died just when it was resumed; its exit status is reaped here or by wait4, whichever comes first. */
  #reportGone(thread: PtraceThread): void {
    thread.running = false;
    this.#running -= 1;
    thread.lost(StopKind.Gone);
    this.#dying.add(thread.tid);
    this.#stops.push(thread);
  }

  #forget(thread: PtraceThread): void {
    if (thread.running) this.#running -= 1;
    thread.running = false;
    thread.alive = false;
    thread.space.threads.delete(thread);
    this.#threads.delete(thread.tid);
    const queued = this.#stops.indexOf(thread);
    if (queued >= 0) this.#stops.splice(queued, 1);
    returnSlot(thread.slot);
  }

  #reapAll(): void {
    for (;;) {
      const tid = process.wait(-1, WAIT_OPTIONS);
      if (tid === -ECHILD || (tid < 0 && tid !== -EINTR)) return;
      if (tid > 0 && (process.waitStatus() & 0xff) === STOPPED) process.trace(process.PTRACE_CONT, tid, 0, 0);
    }
  }
}

/** Throws PlatformUnavailable when the host forbids ptrace. */
export function createPtracePlatform(host: LinuxHost): PtracePlatform {
  return new PtracePlatform(host);
}
