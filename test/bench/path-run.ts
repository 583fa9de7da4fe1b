/**
 * Repeats workloads of system calls on a sentry that runs on the scripted platform, and measures what one operation costs.
 *
 *     const results = measure(PATH_WORKLOADS, { operations: 100_000, rounds: 5 });
 *
 * All workloads are prepared and warmed up before the first is measured, so that call sites have seen as many kinds of files as they do in
 * life. Time and bytes are those of the best round: everything else is noise, a function compiled anew in the case of the bytes.
 */
import { getHeapStatistics } from 'node:v8';
import { PathWorld } from './path-world.ts';
import { call } from './path-workloads.ts';
import type { Call, PathWorkload, Preparation } from './path-workloads.ts';
import { CALL_WORDS, GUEST_BASE, setCall } from './scripted-platform.ts';
import type { Script, ScriptedSpace, ScriptedThread } from './scripted-platform.ts';

/** Operations before anything is measured, twice. */
const WARM_UP = 20_000;

const THREAD_FLAGS = 0x10f00; // CLONE_VM | FS | FILES | SIGHAND | THREAD
const PARTNER_STACK = GUEST_BASE + 0xf_0000;

/** Where the partner waits while it is not needed. */
const PARKED = GUEST_BASE + 0xe_0000;
const FUTEX_WAIT_PRIVATE = 128;
const FUTEX_WAKE_PRIVATE = 129;

/** Since the process began; collections take nothing off. */
function allocatedBytes(): number {
  return getHeapStatistics().total_allocated_bytes;
}

/** What one operation costs. */
export interface Measured {
  readonly workload: PathWorkload;
  readonly bestNs: number;
  /** Bytes allocated in the V8 heap. */
  readonly bytes: number;
  /** Copies to and from guest memory. */
  readonly copies: number;
  /** Requests to the host. */
  readonly hostCalls: number;
}

export interface MeasureOptions {
  /** Operations in a round. */
  readonly operations: number;
  readonly rounds: number;
}

interface Entry {
  readonly workload: PathWorkload;
  readonly loop: readonly Uint32Array[];
  readonly partner: readonly Uint32Array[];
  readonly first: Call;
  readonly error: number;
  bestNs: number;
  bytes: number;
  copies: number;
  hostCalls: number;
}

function wordsOf({ nr, args }: Call): Uint32Array {
  const words = new Uint32Array(CALL_WORDS);
  setCall(words, nr, args);
  return words;
}

const PARK: readonly Uint32Array[] = [wordsOf(call('futex', PARKED, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0))];

function* prepare(workload: PathWorkload, space: ScriptedSpace): Preparation {
  const steps = workload.prepare(space);
  for (let step = steps.next(); ; ) {
    if (step.done === true) return step.value;
    const result = yield step.value;
    if (result < 0) throw new Error(`${workload.name}: system call ${step.value.nr} (${step.value.args.join()}): ${result}`);
    step = steps.next(result);
  }
}

/** Plays a list of calls over and over. */
class Player {
  private loop: readonly Uint32Array[] = PARK;
  at = 0;

  play(loop: readonly Uint32Array[]): void {
    this.loop = loop;
    this.at = 0;
  }

  next(thread: ScriptedThread): void {
    const words = this.loop[this.at]!;
    this.at = this.at + 1 === this.loop.length ? 0 : this.at + 1;
    const { call } = thread;
    for (let i = 0; i < CALL_WORDS; i++) call[i] = words[i]!;
  }
}

/** Calls to make by themselves, and the loop. */
type Plan = Generator<Call | 'loop', void, number>;

/** The whole run as seen by the guest: prepares, warms up, measures, one workload after the other, and exits. */
class Bench implements Script {
  private readonly main = new Player();
  private readonly other = new Player();
  private mainThread: ScriptedThread | null = null;
  private left = 0;
  private error = 0;
  private readonly plan: Plan;
  private readonly world: PathWorld;
  private readonly options: MeasureOptions;
  readonly measured: Entry[] = [];

  constructor(world: PathWorld, workloads: readonly PathWorkload[], options: MeasureOptions) {
    this.world = world;
    this.options = options;
    this.plan = this.makePlan(workloads);
  }

  /** What happens between two calls; all that is rare is elsewhere. */
  next(thread: ScriptedThread, result: number): void {
    this.mainThread ??= thread;
    if (thread !== this.mainThread) {
      this.other.next(thread);
      return;
    }
    if (this.left > 0) {
      if (result < 0 && result !== this.error) throw new Error(`system call ${thread.call[0]} in a loop: ${result}`);
      if (this.main.at !== 0 || --this.left > 0) {
        this.main.next(thread);
        return;
      }
    }
    this.nextStep(thread, result);
  }

  private nextStep(thread: ScriptedThread, result: number): void {
    const step = this.plan.next(result);
    if (step.done === true) setCall(thread.call, call('exit_group').nr, [0]);
    else if (step.value === 'loop') this.main.next(thread);
    else setCall(thread.call, step.value.nr, step.value.args);
  }

  private *makePlan(workloads: readonly PathWorkload[]): Plan {
    const { space } = this.world.platform;
    for (const workload of workloads) {
      const loop = yield* prepare(workload, space);
      const entry: Entry = {
        workload,
        loop: loop.calls.map(wordsOf),
        partner: (loop.partner ?? []).map(wordsOf),
        first: loop.calls[0]!,
        error: loop.error ?? 0,
        bestNs: Infinity,
        bytes: Infinity,
        copies: 0,
        hostCalls: 0,
      };
      this.measured.push(entry);
    }
    yield call('clone', THREAD_FLAGS, PARTNER_STACK, 0, 0, 0);
    for (let pass = 0; pass < 2; pass++) for (const entry of this.measured) yield* this.play(entry, WARM_UP);
    for (let round = 0; round < this.options.rounds; round++) for (const entry of this.measured) yield* this.time(entry);
  }

  private *play(entry: Entry, operations: number): Plan {
    if (entry.partner.length > 0) {
      this.other.play(entry.partner);
      yield call('futex', PARKED, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
      yield call('getppid'); // lets the partner come to its first wait
    }
    this.main.play(entry.loop);
    this.left = operations;
    this.error = entry.error;
    yield 'loop';
    if (entry.partner.length === 0) return;
    // It waits for the next operation: this one sends it back to its place.
    this.other.play(PARK);
    yield entry.first;
    yield call('getppid');
  }

  private *time(entry: Entry): Plan {
    const { host, platform } = this.world;
    const { operations } = this.options;
    platform.space.copies = 0;
    host.calls = 0;
    const heap = allocatedBytes();
    const start = performance.now();
    yield* this.play(entry, operations);
    const ns = ((performance.now() - start) * 1e6) / operations;
    entry.bytes = Math.min(entry.bytes, (allocatedBytes() - heap) / operations);
    entry.copies = platform.space.copies / operations;
    entry.hostCalls = host.calls / operations;
    entry.bestNs = Math.min(entry.bestNs, ns);
  }
}

export function measure(workloads: readonly PathWorkload[], options: MeasureOptions): readonly Measured[] {
  using world = new PathWorld();
  const bench = new Bench(world, workloads, options);
  world.platform.script = bench;
  world.run();
  return bench.measured;
}
