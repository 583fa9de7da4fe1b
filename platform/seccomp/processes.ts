/**
 * Guest processes and their threads: how they are made, kept for later use, ended and reaped.
 *
 * - A process is a clone of the zygote or of a guest, or a spare one; a thread is a clone within its process, or one that waited there.
 * - What ends is kept if it may serve again (`idle`, spare-processes.ts), else killed or told to exit.
 * - A process stays in `spaces` until it was reaped; only then its slots go back to the pool and its number may be anybody's.
 */
import * as process from '../host/process.ts';
import { SLOT_SIZE } from '../stub/context-layout.ts';
import { Reply } from '../stub/guest-code.ts';
import type { Contexts } from './context.ts';
import { SeccompSpace } from './guest-space.ts';
import type { FreeSlot } from './guest-space.ts';
import { SeccompThread } from './guest-thread.ts';
import * as nr from '../stub/host-syscalls.ts';
import type { VdsoPlace } from '../stub/layout.ts';
import type { SeccompPlatform } from './platform.ts';
import { SpareProcesses } from './spare-processes.ts';
import type { SpareProcess } from './spare-processes.ts';
import { State } from './stub-thread.ts';
import type { Switchboard } from './switchboard.ts';
import { PlatformLost } from '../host/errors.ts';
import type { Zygote } from './zygote.ts';

const EAGAIN = 11;
const EINTR = 4;
const WAIT_OPTIONS = process.WCLONE | process.WNOTHREAD;
/** Host threads a process keeps for later, besides its first. */
const IDLE_THREADS_MAX = 4;

export class Processes {
  readonly #platform: SeccompPlatform;
  readonly #board: Switchboard;
  readonly #contexts: Contexts;
  readonly #zygote: Zygote;
  readonly #vdso: VdsoPlace | null;
  /** By host process, until the process has been reaped. */
  readonly #spaces = new Map<number, SeccompSpace>();
  readonly #spares = new SpareProcesses();

  constructor(platform: SeccompPlatform, board: Switchboard, contexts: Contexts, zygote: Zygote, vdso: VdsoPlace | null) {
    this.#platform = platform;
    this.#board = board;
    this.#contexts = contexts;
    this.#zygote = zygote;
    this.#vdso = vdso;
  }

  get spaces(): Iterable<SeccompSpace> {
    return this.#spaces.values();
  }

  /** A clean space, with one thread. */
  create(): SeccompThread | number {
    const spare = this.#spares.take();
    if (spare !== null) return this.#adoptSpare(spare);
    if (!this.#zygote.alive) return -EAGAIN;
    return this.#cloneProcess(this.#zygote);
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
    const space = new SeccompSpace(
      this.#platform,
      this.#vdso,
      parent.slotAddress,
      parent instanceof SeccompThread ? parent.space.patches : null,
    );
    space.contexts.push(context);
    const thread = new SeccompThread(this.#board, space, context, parent.slotAddress);
    parent.copyFrameTo(thread);
    const result = parent.cloneProcess(thread);
    if (thread.tid === 0) {
      // A child that appears after all is refused everything, its slot first.
      this.#contexts.give(context);
      return result;
    }
    space.pid = thread.tid;
    this.#spaces.set(space.pid, space);
    space.threads.add(thread);
    if (result === 0) return thread;
    this.kill(space); // the parent died meanwhile
    return result;
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
    if (result < 0) {
      // Where the newcomer did appear its process is dying.
      if (thread.tid === 0) space.freeSlots.push(place);
      return result;
    }
    thread.affinity = parent.affinity;
    thread.placement = parent.placement; // clone inherits it
    space.threads.add(thread);
    return thread;
  }

  /** Maps a slot for another thread. */
  #mapSlot(parent: SeccompThread): FreeSlot | number {
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

  release(thread: SeccompThread): void {
    const { space } = thread;
    if (space.threads.size <= 1) return this.kill(space);
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

  kill(space: SeccompSpace): void {
    if (space.ended) return;
    space.ended = true;
    const spare = this.#asSpare(space);
    // Once reaped the pid may be another's.
    if (spare === null && this.#spaces.get(space.pid) === space) process.kill(space.pid, process.SIGKILL);
    for (const thread of space.threads) this.#forget(thread);
    if (spare === null) for (const thread of space.idle) this.#board.threads.delete(thread.tid);
    space.idle.length = 0;
    if (spare === null) return;
    this.#platform.patchedCalls.patcher.release(space.patches);
    this.#spaces.set(spare.space.pid, spare.space);
    for (const thread of spare.space.idle) this.#board.threads.set(thread.tid, thread);
    this.#spares.offer(spare);
  }

  /** What would remain of the process without its guest, if it is worth keeping: its threads are `idle` in a space of their own. */
  #asSpare(space: SeccompSpace): SpareProcess | null {
    const threads = [...space.threads, ...space.idle];
    if (!this.#spares.wantsMore || space.holdsForeign || threads.length > IDLE_THREADS_MAX + 1) return null;
    if (this.#spaces.get(space.pid) !== space || !threads.every(waitsInFilter)) return null;
    const leader = threads.find(({ tid }) => tid === space.pid);
    if (leader === undefined) return null;
    const next = new SeccompSpace(this.#platform, this.#vdso, leader.slotAddress, null);
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
    thread.space.threads.delete(thread);
    this.#platform.dropped(thread);
    if (thread.space.ended) {
      thread.alive = false;
      board.threads.delete(thread.tid);
    }
    const queued = board.stops.indexOf(thread);
    if (queued >= 0) board.stops.splice(queued, 1);
  }

  /** Reaps processes that ended. */
  reap(): void {
    for (;;) {
      const pid = process.waitWithUsage(-1, WAIT_OPTIONS | process.WNOHANG);
      if (pid <= 0) return;
      this.#ended(pid);
    }
  }

  #ended(pid: number): void {
    if (pid === this.#zygote.pid) {
      this.#zygote.alive = false;
      throw new PlatformLost('the process that guest processes are made from');
    }
    const space = this.#spaces.get(pid);
    if (space === undefined) return this.#board.strangerEnded();
    this.#spaces.delete(pid);
    space.reaped(process.waitedCpuNs());
    // All there were, known to the kernel or not: the host may use their numbers again.
    for (const [tid, thread] of this.#board.threads) if (thread.pid === pid) this.#board.threads.delete(tid);
    for (const thread of space.threads) {
      const wasRunning = thread.running;
      thread.alive = false;
      if (!wasRunning) continue; // the kernel learns of it when it resumes the thread
      thread.lost();
      this.#board.stops.push(thread);
    }
    for (const thread of space.idle) thread.alive = false;
    space.idle.length = 0;
    this.#platform.patchedCalls.patcher.release(space.patches);
    for (const context of space.contexts) this.#contexts.give(context);
  }

  /** Ends and reaps everything. */
  destroy(): void {
    const pids = [...this.#spaces.keys()];
    if (this.#zygote.alive) pids.push(this.#zygote.pid);
    for (const pid of pids) process.kill(pid, process.SIGKILL);
    for (const pid of pids) while (process.wait(pid, WAIT_OPTIONS) === -EINTR);
    this.#spaces.clear();
    this.#board.threads.clear();
  }
}

/** It waits for a reply that nobody but us can give: one that waits in its slot was in reach of its process to the last. */
function waitsInFilter(thread: SeccompThread): boolean {
  return thread.alive && thread.state === State.Rung && !thread.isAsleep;
}
