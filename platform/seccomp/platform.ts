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
import { StopKind } from '../contract/platform.ts';
import type { GuestThread, Platform, PlatformLimits } from '../contract/platform.ts';
import { PlatformUnavailable, errnoName } from '../host/errors.ts';
import type { LinuxHost } from '../host/host.ts';
import { getauxval } from '../host/libc.ts';
import { allocateMemory } from '../host/memory.ts';
import { Ready } from '../host/notifications.ts';
import { Placement, TICK_NS } from '../host/placement.ts';
import { ptraceRefusal } from '../host/proc.ts';
import * as process from '../host/process.ts';
import { forwardSignals } from '../host/signals.ts';
import { EXIT_SIGNAL } from '../stub/clone-flags.ts';
import { SLOT_SIZE } from '../stub/context-layout.ts';
import { assembleGuestCode } from '../stub/guest-code.ts';
import { GUEST_END, STUB_BASE } from '../stub/layout.ts';
import { assembleSignalHandler } from '../stub/signal-handler.ts';
import { Contexts } from './context.ts';
import { SeccompSpace } from './guest-space.ts';
import { SeccompThread } from './guest-thread.ts';
import { PatchedCalls } from './patching/patched-calls.ts';
import type { TransferTable } from './patching/patched-calls.ts';
import * as nr from './host-syscalls.ts';
import { Reply } from '../stub/guest-code.ts';
import { SpareProcesses } from './spare-processes.ts';
import type { SpareProcess } from './spare-processes.ts';
import { State } from './stub-thread.ts';
import { Switchboard } from './switchboard.ts';
import type { SwitchboardOwner } from './switchboard.ts';
import { launchZygote, Zygote } from './zygote.ts';
import type { Launched } from './zygote.ts';

const EAGAIN = 11;
const ESRCH = 3;
const EPERM = 1;
const AT_HWCAP2 = 26;
const HWCAP2_FSGSBASE = 2;
const WAIT_OPTIONS = process.WCLONE | process.WNOTHREAD | process.WNOHANG;
/** Host threads a process keeps for later, besides its first. */
const IDLE_THREADS_MAX = 4;
export interface SeccompOptions {
  /** Patches call sites, and lets these bytes travel with calls; without it no site is patched. */
  readonly patching?: (() => TransferTable) | null;
  /** After so long without a stop an interrupted thread is taken for hostile. */
  readonly interruptPatienceNs?: number;
}

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
  readonly #zygote: Zygote;
  readonly #vdso: Launched['vdso'];
  /** By host process, until the process has been reaped. */
  readonly #spaces = new Map<number, SeccompSpace>();
  readonly #spares = new SpareProcesses();
  /** Running threads that were told to stop. */
  readonly #interrupted = new Set<SeccompThread>();
  readonly #restoreSignal: () => void;
  readonly #placement: Placement;
  readonly patchedCalls: PatchedCalls;
  #tickStarted = false;
  /** What the listener was told last. */
  #syncWakeUp = true;
  /** Host events were looked at last: a notification is served first next time, so that neither starves. */
  #lookedAtEvents = false;
  #hungUp = false;
  #destroyed = false;

  constructor(host: LinuxHost, { interruptPatienceNs = INTERRUPT_PATIENCE_NS, patching = null }: SeccompOptions) {
    this.#host = host;
    this.#interruptPatienceNs = interruptPatienceNs;
    this.limits = { lowestAddress: host.facts.lowestAddress, highestAddress: GUEST_END };
    const code = assembleGuestCode((getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) !== 0);
    // First, so that the zygote and everything forked from it starts on the sentry's CPU.
    this.#placement = new Placement(host);
    this.#contexts = new Contexts(host);
    this.#restoreSignal = forwardSignals(assembleSignalHandler(host.events.exitWriteFd), [EXIT_SIGNAL]);
    const launched = launchZygote(host, this.#contexts, code);
    this.#vdso = launched.vdso;
    const { listener, layout } = launched;
    this.#board = new Switchboard(this, host.events, {
      listener,
      layout,
      contextsFd: this.#contexts.fd,
      exchangeAddress: STUB_BASE + code.exchange,
    });
    this.patchedCalls = new PatchedCalls(host, this.#placement, layout, code.trampoline, patching);
    this.#zygote = new Zygote(this.#board, launched);
    this.#checkMemoryAccess();
  }

  createSpace(): GuestThread | number {
    const spare = this.#spares.take();
    if (spare !== null) return this.#adoptSpare(spare);
    if (!this.#zygote.alive) return -EAGAIN;
    return this.#cloneProcess(this.#zygote);
  }

  wait(): GuestThread | null {
    const { events } = this.#host;
    const { listener, stops } = this.#board;
    for (;;) {
      if (stops.length > 0) return stops.shift() as SeccompThread;
      const posted = this.patchedCalls.next(this.running);
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

  /** Keeps the main thread of another process of ours, one that the sentry waits for, on the sentry's CPU. */
  follow(pid: number): void {
    this.#placement.follow(pid);
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const pid of this.#spaces.keys()) process.kill(pid, process.SIGKILL);
    if (this.#zygote.alive) process.kill(this.#zygote.pid, process.SIGKILL);
    while (process.wait(-1, process.WCLONE | process.WNOTHREAD) > 0);
    this.#spaces.clear();
    this.#board.threads.clear();
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

  fork(parent: SeccompThread): SeccompThread | number {
    const child = this.#cloneProcess(parent);
    if (typeof child === 'number') return child;
    child.affinity = parent.affinity;
    child.placement = parent.placement; // clone inherits it
    return child;
  }

  #cloneProcess(parent: SeccompThread | Zygote): SeccompThread | number {
    const context = this.#contexts.take();
    if (typeof context === 'number') return context;
    const space = new SeccompSpace(this, this.#vdso, parent.slotAddress, parent instanceof SeccompThread ? parent.space.patches : null);
    space.contexts.push(context);
    const thread = new SeccompThread(this.#board, space, context, parent.slotAddress);
    parent.copyFrameTo(thread);
    const result = parent.cloneProcess(thread);
    if (result < 0) {
      // A child that appears after all is refused everything, its slot first.
      if (thread.tid === 0) this.#contexts.give(context);
      return result;
    }
    space.pid = thread.tid;
    if (parent instanceof SeccompThread) space.memoryCalls = parent.space.memoryCalls;
    this.#spaces.set(space.pid, space);
    space.threads.add(thread);
    return thread;
  }

  spawn(parent: SeccompThread): SeccompThread | number {
    const { space } = parent;
    const kept = this.#reuseIdle(parent);
    if (kept !== null) return kept;
    const place = space.freeSlots.pop() ?? this.#mapSlot(parent);
    if (typeof place === 'number') return place;
    const thread = new SeccompThread(this.#board, space, place.context, place.address);
    parent.copyFrameTo(thread);
    const result = parent.cloneThread(thread);
    if (result < 0) return result;
    thread.affinity = parent.affinity;
    thread.placement = parent.placement; // clone inherits it
    space.threads.add(thread);
    return thread;
  }

  /** Maps a slot for another thread. */
  #mapSlot(parent: SeccompThread): { context: SeccompThread['context']; address: number } | number {
    const { space } = parent;
    const address = space.nextSlotAddress();
    if (address === 0) return -EAGAIN;
    const context = this.#contexts.take();
    if (typeof context === 'number') return context;
    space.contexts.push(context);
    const { fd } = this.#contexts;
    parent.context.addCommand(nr.SYS_MMAP, address, SLOT_SIZE, nr.PROT_READ_WRITE, nr.MAP_SLOT, fd, context.fileOffset);
    parent.orders.add(nr.SYS_MMAP, address, SLOT_SIZE, nr.PROT_READ_WRITE, nr.MAP_SLOT, fd, context.fileOffset);
    parent.context.addCommand(nr.SYS_MADVISE, address, SLOT_SIZE, nr.MADV_DONTFORK, 0, 0, 0);
    const result = parent.performCommands();
    parent.orders.clear();
    return result < 0 ? result : { context, address };
  }

  /** A guest thread like `parent` on a host thread that its process kept; null when there is none. */
  #reuseIdle(parent: SeccompThread): SeccompThread | null {
    const { space } = parent;
    const idle = space.idle.pop();
    if (idle === undefined || !idle.alive) return null;
    const thread = idle.moveTo(space);
    this.#board.threads.set(thread.tid, thread);
    parent.copyFrameTo(thread);
    if (parent.affinity !== null) thread.placement = 0;
    thread.affinity = parent.affinity;
    space.threads.add(thread);
    return thread;
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
    this.#placement.place(thread);
  }

  /** The kernel interrupts a running thread. */
  interrupting(thread: SeccompThread): void {
    thread.interruptedAtNs = this.#host.events.monotonicNs();
    this.#interrupted.add(thread);
  }

  releaseThread(thread: SeccompThread): void {
    const { space } = thread;
    if (space.threads.size <= 1) return this.killSpace(space);
    if (thread.running) throw new Error('a running guest thread was released');
    this.#forget(thread);
    if (!thread.alive) return;
    const isFirst = thread.tid === space.pid;
    if ((isFirst || space.idle.length < IDLE_THREADS_MAX) && thread.enterHandler()) space.idle.push(thread);
    else this.#end(thread);
  }

  /** Ends a host thread; the host tells nobody of it. */
  #end(thread: SeccompThread): void {
    if (!thread.enterHandler()) return;
    thread.context.addCommand(nr.SYS_EXIT, 0, 0, 0, 0, 0, 0);
    thread.context.endCommands();
    thread.orders.add(nr.SYS_EXIT, 0, 0, 0, 0, 0, 0);
    thread.reply(Reply.Commands);
    this.#board.awaitExit(thread);
    thread.space.freeSlots.push({ context: thread.context, address: thread.slotAddress });
  }

  killSpace(space: SeccompSpace): void {
    if (space.ended) return;
    space.ended = true;
    const spare = this.#asSpare(space);
    // Once reaped the pid may be another's.
    if (spare === null && this.#spaces.get(space.pid) === space) process.kill(space.pid, process.SIGKILL);
    for (const thread of space.threads) this.#forget(thread);
    if (spare === null) for (const thread of space.idle) this.#board.threads.delete(thread.tid);
    space.idle.length = 0;
    if (spare === null) return;
    this.patchedCalls.patcher.release(space.patches);
    this.#spaces.set(spare.space.pid, spare.space);
    for (const thread of spare.space.idle) this.#board.threads.set(thread.tid, thread);
    this.#spares.offer(spare);
  }

  /** What would remain of the process without its guest, if it is worth keeping: its threads are `idle` in a space of their own. */
  #asSpare(space: SeccompSpace): SpareProcess | null {
    const threads = [...space.threads, ...space.idle];
    if (!this.#spares.wantsMore || space.holdsForeign || threads.length > IDLE_THREADS_MAX + 1) return null;
    if (this.#spaces.get(space.pid) !== space || !threads.every((thread) => thread.alive && thread.state === State.Rung)) return null;
    const leader = threads.find(({ tid }) => tid === space.pid);
    if (leader === undefined) return null;
    const next = new SeccompSpace(this, this.#vdso, leader.slotAddress, null);
    next.takeOver(space);
    const waiting = threads.map((thread) => thread.moveTo(next));
    next.idle.push(...waiting);
    return { space: next, leader: waiting[threads.indexOf(leader)]! };
  }

  #adoptSpare({ space, leader }: SpareProcess): SeccompThread {
    space.idle.splice(space.idle.indexOf(leader), 1);
    for (const context of space.contexts) context.clear();
    this.#zygote.copyFrameTo(leader);
    space.threads.add(leader);
    return leader;
  }

  #forget(thread: SeccompThread): void {
    const { board } = thread;
    thread.running = false;
    this.patchedCalls.gone(thread);
    thread.space.threads.delete(thread);
    this.#interrupted.delete(thread);
    if (thread.space.ended) {
      thread.alive = false;
      board.threads.delete(thread.tid);
    }
    const queued = board.stops.indexOf(thread);
    if (queued >= 0) board.stops.splice(queued, 1);
  }

  /** Reaps processes that ended. */
  sweep(): void {
    this.#host.events.drainExits();
    for (;;) {
      const pid = process.wait(-1, WAIT_OPTIONS);
      if (pid <= 0) return;
      this.#ended(pid);
    }
  }

  #ended(pid: number): void {
    if (pid === this.#zygote.pid) {
      this.#zygote.alive = false;
      this.#board.threads.delete(pid);
      return;
    }
    const space = this.#spaces.get(pid);
    if (space === undefined) return this.#board.strangerEnded();
    this.#spaces.delete(pid);
    for (const thread of [...space.threads, ...space.idle]) this.#board.threads.delete(thread.tid);
    for (const thread of space.threads) {
      const wasRunning = thread.running;
      thread.alive = false;
      if (!wasRunning) continue; // the kernel learns of it when it resumes the thread
      thread.lost();
      this.#board.stops.push(thread);
    }
    for (const thread of space.idle) thread.alive = false;
    space.idle.length = 0;
    this.patchedCalls.patcher.release(space.patches);
    for (const context of space.contexts) this.#contexts.give(context);
  }

  #lookAtEvents(): boolean {
    const { events } = this.#host;
    const wanted = events.collect();
    if (events.takeExit()) this.sweep();
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
    for (const { threads } of this.#spaces.values()) for (const thread of threads) if (thread.running) running.push(thread);
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
    this.#hungUp = true;
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
  #checkMemoryAccess(): void {
    const result = process.readRemote(this.#zygote.pid, STUB_BASE, allocateMemory(8), 0, 8);
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
