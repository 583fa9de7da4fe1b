/**
 * `npm run bench:path -- [--only NAME,…] [--operations N] [--rounds N]`: what the sentry itself spends on a system call, between the moment
 * a platform hands it over and the moment it may go on.
 *
 * The real kernel loop, dispatch and file systems run on a scripted platform (scripted-platform.ts), so no context switch and no guest is
 * in the figures. For each workload: nanoseconds for one operation (the best of the rounds: everything else is noise), bytes allocated in the
 * V8 heap, copies to and from guest memory, calls to the host. Every workload runs before the first is measured, so that call sites have
 * seen as many kinds of files as they do in life.
 *
 *     node --cpu-prof test/bench/sentry-path.ts --only stat     … shows where the time goes
 */
import { parseArgs } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import { PathWorld } from './path-world.ts';
import { call, PATH_WORKLOADS } from './path-workloads.ts';
import type { Call, PathWorkload, Preparation } from './path-workloads.ts';
import { GUEST_BASE, ScriptedThread } from './scripted-platform.ts';
import type { Script } from './scripted-platform.ts';

// From npm's script: --expose-gc, and a nursery that takes a whole round, because a collection in the middle would hide what was allocated.
const collectGarbage = (globalThis as { gc?: () => void }).gc ?? (() => {});

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    operations: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '7' },
  },
});
const OPERATIONS = Number(values.operations);
const ROUNDS = Number(values.rounds);
const WARM_UP = 20_000;

const THREAD_FLAGS = 0x10f00; // CLONE_VM | FS | FILES | SIGHAND | THREAD
const PARTNER_STACK = GUEST_BASE + 0xf_0000;

/** Where the partner waits while it is not needed. */
const PARKED = GUEST_BASE + 0xe_0000;
const FUTEX_WAIT_PRIVATE = 128;
const FUTEX_WAKE_PRIVATE = 129;

interface Measured {
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
  const thread = new ScriptedThread(world.platform, world.platform.space);
  thread.setCall(nr, args);
  return thread.call;
}

using world = new PathWorld();
const PARK: readonly Uint32Array[] = [wordsOf(call('futex', PARKED, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0))];

function* prepare(workload: PathWorkload): Preparation {
  const steps = workload.prepare(world.platform.space);
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
    for (let i = 0; i < 14; i++) call[i] = words[i]!;
  }
}

/** The whole run as seen by the guest: prepares, warms up, measures, one workload after the other, and exits. */
class Bench implements Script {
  private readonly main = new Player();
  private readonly other = new Player();
  private mainThread: ScriptedThread | null = null;
  private left = 0;
  private error = 0;
  private readonly plan: Generator<Call | 'loop', void, number>;
  readonly measured: Measured[] = [];

  constructor(workloads: readonly PathWorkload[]) {
    this.plan = this.makePlan(workloads);
  }

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
    const step = this.plan.next(result);
    if (step.done === true) thread.setCall(call('exit_group').nr, [0]);
    else if (step.value === 'loop') this.main.next(thread);
    else thread.setCall(step.value.nr, step.value.args);
  }

  private *makePlan(workloads: readonly PathWorkload[]): Generator<Call | 'loop', void, number> {
    for (const workload of workloads) {
      const loop = yield* prepare(workload);
      const entry: Measured = {
        workload,
        loop: loop.calls.map(wordsOf),
        partner: (loop.partner ?? []).map(wordsOf),
        first: loop.calls[0]!,
        error: loop.error ?? 0,
        bestNs: Infinity,
        bytes: 0,
        copies: 0,
        hostCalls: 0,
      };
      this.measured.push(entry);
    }
    yield call('clone', THREAD_FLAGS, PARTNER_STACK, 0, 0, 0);
    for (let pass = 0; pass < 2; pass++) for (const entry of this.measured) yield* this.play(entry, WARM_UP);
    for (let round = 0; round < ROUNDS; round++) for (const entry of this.measured) yield* this.time(entry);
  }

  private *play(entry: Measured, operations: number): Generator<Call | 'loop', void, number> {
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

  private *time(entry: Measured): Generator<Call | 'loop', void, number> {
    const { space } = world.platform;
    collectGarbage();
    space.copies = 0;
    world.host.calls = 0;
    const heap = getHeapStatistics().used_heap_size;
    const start = performance.now();
    yield* this.play(entry, OPERATIONS);
    const ns = ((performance.now() - start) * 1e6) / OPERATIONS;
    entry.bytes = (getHeapStatistics().used_heap_size - heap) / OPERATIONS;
    entry.copies = space.copies / OPERATIONS;
    entry.hostCalls = world.host.calls / OPERATIONS;
    entry.bestNs = Math.min(entry.bestNs, ns);
  }
}

const wanted = values.only.split(',').filter((part) => part !== '');
const workloads = PATH_WORKLOADS.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const bench = new Bench(workloads);
world.platform.script = bench;
world.run();
console.log(
  `${'operation'.padEnd(28)}${'ns'.padStart(8)}${'target'.padStart(8)}${'bytes'.padStart(8)}${'copies'.padStart(8)}${'host'.padStart(8)}`,
);
for (const { workload, bestNs, bytes, copies, hostCalls } of bench.measured) {
  const target = workload.target === undefined ? '' : `${workload.target}`;
  console.log(
    `${workload.name.padEnd(28)}${bestNs.toFixed(0).padStart(8)}${target.padStart(8)}${Math.max(0, bytes).toFixed(1).padStart(8)}${copies.toFixed(1).padStart(8)}${hostCalls.toFixed(1).padStart(8)}`,
  );
}
