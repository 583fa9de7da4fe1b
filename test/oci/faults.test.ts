/**
 * kill -9 of any process of a container (the verb itself, the sandbox, its gofer, the stand-in of an exec, a guest) at a random moment of a random verb.
 *
 * Afterwards no verb may hang, `state` has to tell the truth, `delete --force` has to succeed, and nothing may be left: no process, no mount, no cgroup, no state.
 * Each round is determined by its seed up to the machine's timing; a failure names it. TSVISOR_FAULT_ROUNDS (24) and TSVISOR_FAULT_SEED choose others:
 *
 *     TSVISOR_FAULT_ROUNDS=200 npx vitest run --project oci test/oci/faults.test.ts
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { processTree, procFile } from '../harness/process-tree.ts';
import { newContainer, type TestContainer } from './harness/container.ts';
import { isAlive } from './harness/processes.ts';
import { mountsBeneath } from './harness/remove-tree.ts';
import { ours, type StartedVerb, startVerb, stateRoot, verb } from './harness/runtime.ts';

const rounds = Number(process.env.TSVISOR_FAULT_ROUNDS ?? 24);
const firstSeed = Number(process.env.TSVISOR_FAULT_SEED ?? Date.now() % 1_000_000);
/** A verb takes 30 to 300 ms: every other kill comes early, and some come after it. */
const LATEST_MS = [60, 350] as const;

/** xorshift32: numbers from 0 to 1 that a seed determines. */
function numbers(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

function pick<T>(list: readonly T[], random: () => number): T {
  return list[Math.floor(random() * list.length)]!;
}

/** A process with its start time, which tells it from a later one with the same number. */
interface Process {
  pid: number;
  started: string;
  command: string;
}

function startTime(pid: number): string {
  const stat = procFile(pid, 'stat');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** Everything that runs for the container: whoever has its name among its arguments, and what descends from those. */
function family(box: TestContainer): Process[] {
  const pids = new Set<number>();
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name) && procFile(Number(name), 'cmdline').split('\0').includes(box.id))
      for (const pid of processTree(Number(name))) pids.add(pid);
  }
  return [...pids].map((pid) => ({
    pid,
    started: startTime(pid),
    command: procFile(pid, 'cmdline').replaceAll('\0', ' ').trim() || procFile(pid, 'comm').trim(),
  }));
}

function survivors(processes: readonly Process[]): Process[] {
  return processes.filter(({ pid, started }) => isAlive(pid) && startTime(pid) === started);
}

async function until(condition: () => boolean, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) if (condition()) return true;
  return condition();
}

/** One of a kind that is there: guests are many, and would nearly always be it. */
function chooseVictim(there: readonly Process[], random: () => number): Process | null {
  const kindOf = ({ command }: Process) => /main\.js|gofer\.js|client\.js|starter|stand-in|tsvisor-guest/.exec(command)?.[0] ?? command;
  const kinds = [...new Set(there.map(kindOf))];
  if (kinds.length === 0) return null;
  const kind = pick(kinds, random);
  return pick(
    there.filter((candidate) => kindOf(candidate) === kind),
    random,
  );
}

/** The verbs, what has to be done before each, and its arguments. */
const verbs: Record<string, { before: readonly string[]; args: (box: TestContainer) => string[] }> = {
  create: { before: [], args: (box) => ['create', '--bundle', box.bundle, box.id] },
  run: { before: [], args: (box) => ['run', '--bundle', box.bundle, box.id] },
  'run --detach': { before: [], args: (box) => ['run', '--detach', '--bundle', box.bundle, box.id] },
  start: { before: ['create'], args: (box) => ['start', box.id] },
  exec: { before: ['create', 'start'], args: (box) => ['exec', box.id, 'sleep', '0.2'] },
  'exec --detach': {
    before: ['create', 'start'],
    args: (box) => ['exec', '--detach', '--pid-file', join(box.bundle, 'exec.pid'), box.id, 'sleep', '300'],
  },
  state: { before: ['create', 'start'], args: (box) => ['state', box.id] },
  kill: { before: ['create', 'start'], args: (box) => ['kill', box.id, 'KILL'] },
  pause: { before: ['create', 'start'], args: (box) => ['pause', box.id] },
  resume: { before: ['create', 'start', 'pause'], args: (box) => ['resume', box.id] },
  update: { before: ['create', 'start'], args: (box) => ['update', '--pids-limit', '50', box.id] },
  delete: { before: ['create'], args: (box) => ['delete', box.id] },
  'delete --force': { before: ['create', 'start'], args: (box) => ['delete', '--force', box.id] },
};

async function prepare(box: TestContainer, steps: readonly string[]): Promise<void> {
  for (const step of steps) {
    const outcome = step === 'create' ? await box.create() : await box.verb(step);
    if (outcome.status !== 0) throw new Error(`${step}: status ${outcome.status}: ${outcome.stderr}`);
  }
}

function cgroupsOf(box: TestContainer): string[] {
  const hierarchies = existsSync('/sys/fs/cgroup') ? readdirSync('/sys/fs/cgroup') : [];
  return hierarchies.map((name) => `/sys/fs/cgroup/${name}/${basename(box.bundle)}`).filter((path) => existsSync(path));
}

/** Ends by itself within `ms`; killed otherwise. */
async function endsWithin(started: StartedVerb, ms: number): Promise<boolean> {
  const ended = await Promise.race([started.exited.then(() => true), sleep(ms).then(() => false)]);
  if (!ended) started.child.kill('SIGKILL');
  return ended;
}

/** One round; what is wrong afterwards, each as a sentence. */
async function round(seed: number): Promise<{ what: string; wrong: string[] }> {
  const random = numbers(seed);
  await using box = await newContainer({ edit: (spec, _, bundle) => (spec.linux.cgroupsPath = `/${basename(bundle)}`) });
  const name = pick(Object.keys(verbs), random);
  const { before, args } = verbs[name]!;
  await prepare(box, before);
  const started = startVerb(args(box), { stdin: '' });
  await sleep(random() * pick(LATEST_MS, random));
  const there = family(box);
  const victim = chooseVictim(there, random);
  if (victim !== null && survivors([victim]).length > 0) process.kill(victim.pid, 'SIGKILL');
  const what = `seed ${seed}: ${name}, kill -9 of ${victim?.command.slice(0, 120) ?? 'nobody'}`;
  const wrong: string[] = [];
  // A foreground run may go on when its guest's helper was hit, or nobody was: that is no hang.
  if (name !== 'run' && !(await endsWithin(started, 10_000))) wrong.push(`${name} does not end`);
  const everyone = [...there, ...family(box)];
  wrong.push(...(await judgeState(box, everyone)));
  const removed = await box.delete(['--force']);
  if (removed.status !== 0) wrong.push(`delete --force: status ${removed.status}, timed out ${removed.timedOut}: ${removed.stderr}`);
  if (!(await endsWithin(started, 5000))) wrong.push(`${name} goes on after delete --force`);
  await until(() => survivors(everyone).length === 0, 5000);
  for (const left of survivors([...everyone, ...family(box)])) wrong.push(`left running: ${left.pid} ${left.command}`);
  for (const mount of [...mountsBeneath(box.bundle), ...mountsBeneath(stateRoot)]) wrong.push(`left mounted: ${mount}`);
  for (const cgroup of cgroupsOf(box)) wrong.push(`left: ${cgroup}`);
  if (existsSync(join(stateRoot, box.id))) wrong.push('its state is left');
  return { what, wrong };
}

/** Whether `state` tells the truth. */
async function judgeState(box: TestContainer, everyone: readonly Process[]): Promise<string[]> {
  const outcome = await verb(['state', box.id], { timeoutMs: 10_000 });
  if (outcome.timedOut) return ['state does not end'];
  if (outcome.status !== 0) return outcome.stderr.includes('does not exist') ? [] : [`state: ${outcome.stderr}`];
  const { status, pid } = JSON.parse(outcome.stdout) as { status: string; pid: number };
  if (status !== 'stopped')
    return isAlive(pid) || (await box.state())?.status !== status ? [] : [`state says ${status}, and ${pid} is not there`];
  const guests = () => survivors(everyone).filter(({ command }) => command === 'tsvisor-guest');
  return (await until(() => guests().length === 0, 5000)) ? [] : [`state says stopped, and ${guests().length} guests go on`];
}

test(`nothing is left after kill -9, ${rounds} rounds from seed ${firstSeed}`, { timeout: 60_000 + rounds * 6000 }, async (context) => {
  if (!ours) context.skip('runc does not promise this');
  const findings: string[] = [];
  for (let n = 0; n < rounds; n++) {
    const { what, wrong } = await round(firstSeed + n);
    if (wrong.length > 0) findings.push(`${what}: ${wrong.join('; ')}`);
  }
  expect(findings).toEqual([]);
});
