/**
 * The seccomp platform: guests' system calls come as notifications of a seccomp filter, faults and interruptions by a signal handler in
 * shared memory; no ptrace.
 *
 * - Every guest address space is a process forked from the zygote or from another guest (zygote.ts, stub/guest-code.ts).
 * - `wait` polls the filter's listener and the host's epoll descriptor together.
 * - Processes die with the sentry by their parent-death signal; the sentry learns of their end by a signal of its own (`EXIT_SIGNAL`),
 *   whose handler writes to the host's exit pipe.
 *
 * See README.md for what the host does in all this, and for what a hostile guest can do.
 */
import type { GuestThread, Platform, PlatformLimits } from '../contract/platform.ts';
import { PlatformUnavailable } from '../host/errors.ts';
import type { LinuxHost } from '../host/host.ts';
import { getauxval } from '../host/libc.ts';
import { allocateMemory } from '../host/memory.ts';
import { Ready } from '../host/notifications.ts';
import { Placement, TICK_NS } from '../host/placement.ts';
import { ptraceRefusal } from '../host/proc.ts';
import * as process from '../host/process.ts';
import { forwardSignals } from '../host/signals.ts';
import { EXIT_SIGNAL } from '../stub/clone-flags.ts';
import type { GuestCode } from '../stub/guest-code.ts';
import { GUEST_END, STUB_BASE } from '../stub/layout.ts';
import { guestCode } from '../stub/ready-code.ts';
import { assembleSignalHandler } from '../stub/signal-handler.ts';
import { Contexts } from './context.ts';
import type { SeccompThread } from './guest-thread.ts';
import { PatchedCalls } from './patching/patched-calls.ts';
import type { PatchingOptions } from './patching/patched-calls.ts';
import { Processes } from './processes.ts';
import { Switchboard } from './switchboard.ts';
import type { SwitchboardOwner } from './switchboard.ts';
import { launchZygote, Zygote } from './zygote.ts';
import type { Launched } from './zygote.ts';

const EPERM = 1;
const AT_HWCAP2 = 26;
const HWCAP2_FSGSBASE = 2;
export interface SeccompOptions {
  /** The memory of guests is limited: no memory call of theirs is made without the sentry's order, which costs a little. */
  readonly memoryLimited?: boolean;
  /** Without it no call site is patched. */
  readonly patching?: PatchingOptions;
  /** After so long without a stop an interrupted thread is taken for hostile. */
  readonly interruptPatienceNs?: number;
}

/** Stopped threads, idle ones included, from which on those whose call waits leave the filter. */
const WAITING_MAX = 100;
const INTERRUPT_PATIENCE_NS = 10_000_000_000;

export class SeccompPlatform implements Platform, SwitchboardOwner {
  readonly name = 'seccomp';
  readonly limits: PlatformLimits;
  /** How many threads the kernel lets run. Kept by the threads. */
  running = 0;
  readonly #host: LinuxHost;
  readonly #interruptPatienceNs: number;
  readonly #contexts: Contexts;
  readonly #board: Switchboard;
  readonly processes: Processes;
  /** Running threads that were told to stop. */
  readonly #interrupted = new Set<SeccompThread>();
  readonly #restoreSignal: () => void;
  readonly #placement: Placement;
  readonly patchedCalls: PatchedCalls;
  /** Threads may answer some calls by themselves. */
  readonly keepsAnswers: boolean;
  #tickStarted = false;
  /** What the listener was told last. */
  #syncWakeUp = true;
  /** Host events were looked at last: a notification is served first next time, so that neither starves. */
  #lookedAtEvents = false;
  #destroyed = false;

  constructor(
    host: LinuxHost,
    { interruptPatienceNs = INTERRUPT_PATIENCE_NS, patching = { transfers: null }, memoryLimited = false }: SeccompOptions,
  ) {
    this.#host = host;
    this.#interruptPatienceNs = interruptPatienceNs;
    this.limits = { lowestAddress: host.facts.lowestAddress, highestAddress: GUEST_END };
    const code = guestCode((getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) !== 0);
    // First, so that the zygote and everything forked from it starts on the sentry's CPU.
    this.#placement = new Placement(host);
    this.#contexts = new Contexts(host);
    this.#restoreSignal = forwardSignals(assembleSignalHandler(host.events.exitWriteFd), [EXIT_SIGNAL]);
    const launched = this.#launch(code, memoryLimited);
    const { listener, layout } = launched;
    this.#board = new Switchboard(this, host.events, {
      listener,
      layout,
      contextsFd: this.#contexts.fd,
      exchangeAddress: STUB_BASE + code.exchange,
      doorbellAddress: STUB_BASE + code.doorbell,
      memoryLimited,
    });
    this.keepsAnswers = patching.keepsAnswers === true;
    this.patchedCalls = new PatchedCalls(host, this.#placement, layout, code.trampoline, patching);
    this.processes = new Processes(this, this.#board, this.#contexts, new Zygote(this.#board, launched), launched.vdso);
    this.#checkMemoryAccess(launched.pid);
  }

  /** Leaves nothing behind when it throws: another platform may be tried next. */
  #launch(code: GuestCode, memoryLimited: boolean): Launched {
    try {
      return launchZygote({ host: this.#host, contexts: this.#contexts, stub: code, memoryLimited });
    } catch (error) {
      this.#host.close(this.#contexts.fd);
      this.#restoreSignal();
      this.#placement.restore();
      throw error;
    }
  }

  createSpace(): GuestThread | number {
    return this.processes.create();
  }

  wait(): GuestThread | null {
    const { events } = this.#host;
    const { listener, stops } = this.#board;
    for (;;) {
      if (stops.length > 0) return stops.shift() as SeccompThread;
      const posted = this.patchedCalls.next();
      if (posted !== null) return posted;
      if (stops.length > 0) continue;
      events.programAlarm();
      if (!this.#tickStarted && this.#placement.stops > 0) this.#startTick();
      const ready = this.running > 0 ? listener.poll(events.epollFd, this.#patience()) : this.#pollIdle();
      if ((ready & Ready.HungUp) !== 0) this.#listenerHungUp();
      const eventsFirst = (ready & Ready.Call) === 0 || !this.#lookedAtEvents;
      if ((ready & Ready.Events) !== 0 && eventsFirst) {
        this.#lookedAtEvents = true;
        if (this.#lookAtEvents()) return null;
      } else if ((ready & Ready.Call) !== 0) {
        this.#lookedAtEvents = false;
        const stopped = this.#board.take();
        this.#placement.stops += 1;
        if (stopped !== null) {
          this.patchedCalls.stopped(stopped as SeccompThread, this.running);
          return stopped as SeccompThread;
        }
      }
      if (this.#interrupted.size > 0) this.#checkInterrupted();
    }
  }

  #patience(): number {
    if (this.patchedCalls.isWatching) return 0;
    return this.#interrupted.size > 0 ? this.#interruptPatienceNs : Infinity;
  }

  /** No guest runs: the time says nothing about whether guests compute or call. */
  #pollIdle(): number {
    const { events } = this.#host;
    const start = events.monotonicNs();
    const ready = this.#board.listener.poll(events.epollFd, this.#patience());
    this.#placement.idled(events.monotonicNs() - start);
    return ready;
  }

  /** So many threads wait in the filter that the host's going through them is felt. */
  get isCrowded(): boolean {
    return this.#board.threads.size - this.running > WAITING_MAX;
  }

  /** Keeps the main thread of another process of ours, one that the sentry waits for, on the sentry's CPU. */
  follow(pid: number): void {
    this.#placement.follow(pid);
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.processes.destroy();
    this.#board.stops.length = 0;
    this.#host.close(this.#board.listener.fd);
    this.#host.close(this.#contexts.fd);
    this.#restoreSignal();
    this.#placement.restore();
  }

  // What follows is for threads, spaces and the switchboard.

  log(line: string): void {
    this.#host.log(line);
  }

  /** The kernel needs `thread` no more. */
  dropped(thread: SeccompThread): void {
    this.#interrupted.delete(thread);
    this.patchedCalls.drop(thread);
  }

  /** A resume that cannot happen: the thread is dead, which the kernel learns from `wait`. */
  resumeLost(thread: SeccompThread): void {
    if (!thread.running && thread.space.threads.has(thread) && !this.#board.stops.includes(thread)) {
      thread.lost();
      this.#board.stops.push(thread);
    }
  }

  /** Before the thread runs: brings it to where it belongs now. */
  place(thread: SeccompThread): void {
    if (thread.placement !== this.#placement.epoch) this.#placement.place(thread);
  }

  setAffinity(thread: SeccompThread, words: readonly number[] | null): void {
    thread.affinity = words === null ? null : this.#placement.subset(words);
    // It may now be on the sentry's CPU, where neither may spin.
    if (words !== null) this.patchedCalls.drop(thread);
    this.#placement.place(thread);
  }

  /** The kernel interrupts a running thread. */
  interrupting(thread: SeccompThread): void {
    thread.interruptedAtNs = this.#host.events.monotonicNs();
    this.#interrupted.add(thread);
  }

  sweep(): void {
    this.#host.events.drainExits();
    this.processes.reap();
  }

  #lookAtEvents(): boolean {
    const { events } = this.#host;
    const wanted = events.collect();
    if (events.takeExit()) this.processes.reap();
    if (events.takeTick()) this.#tick();
    return wanted;
  }

  #startTick(): void {
    this.#tickStarted = true;
    this.#placement.restart();
    this.#host.events.startTick(TICK_NS);
  }

  #tick(): void {
    this.#tickStarted = false;
    const running: SeccompThread[] = [];
    for (const { threads } of this.processes.spaces) for (const thread of threads) if (thread.running) running.push(thread);
    this.patchedCalls.tick(running.length);
    if (this.#placement.tick(running)) {
      this.#tickStarted = true;
      this.#host.events.startTick(TICK_NS);
    }
    // Several guests that compute: a wake-up must not pull them to the sentry's CPU.
    const { together } = this.#placement;
    if (together === this.#syncWakeUp) return;
    this.#syncWakeUp = together;
    this.#board.listener.setSyncWakeUp(together);
  }

  /** The last process that had the filter is gone, the zygote with it. */
  #listenerHungUp(): void {
    this.#board.listener.ignoreCalls();
    this.sweep();
  }

  /** Kills processes that ignore an interruption: their guest has blocked our signal. */
  #checkInterrupted(): void {
    const now = this.#host.events.monotonicNs();
    for (const thread of this.#interrupted) {
      if (!thread.interruptWanted) this.#interrupted.delete(thread);
      else if (now - thread.interruptedAtNs >= this.#interruptPatienceNs) {
        this.#interrupted.delete(thread);
        this.#board.condemn(thread, 'ignores an interruption');
      }
    }
  }

  /** Guest memory is reached by process_vm_readv, which a host may forbid as it forbids ptrace. */
  #checkMemoryAccess(zygote: number): void {
    const result = process.readRemote(zygote, STUB_BASE, allocateMemory(8), 0, 8);
    if (result === 8) return;
    this.destroy();
    const errno = result < 0 ? -result : EPERM;
    throw new PlatformUnavailable(`reading guest memory: ${ptraceRefusal(errno, this.#host.facts.ptraceScope)}`, errno);
  }
}

/** Throws PlatformUnavailable when the host lacks or forbids what is needed. */
export function createSeccompPlatform(host: LinuxHost, options: SeccompOptions = {}): SeccompPlatform {
  return new SeccompPlatform(host, options);
}
