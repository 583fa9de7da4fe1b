/**
 * `npm run bench:oci -- [--rounds N] [--parallel N] [--runtimes NAME,…] [--only NAME,…]`: what a container costs, beside runc, crun and runsc.
 *
 * Each round measures each row under each runtime, one directly after the other; the median of the rounds counts. The rows: `run` of a container whose
 * process is `true`; create, start and delete of one; `exec` of `true` into one that sleeps; many containers started at once (how long until the last one
 * runs, how many do); and the memory of such a container while it sleeps: the proportional set size (PSS) of every process that the runtime has started for it.
 *
 * crun refuses a host that has both versions of cgroups, so everything runs in a mount namespace in which the second one is not mounted.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import buildFirst from '../harness/build-first.ts';
import { processTree, procFile } from '../harness/process-tree.ts';
import { plainEnvironment, tsvisor } from '../harness/run.ts';
import { makeRootfs } from '../oci/harness/busybox.ts';
import { removeTree } from '../oci/harness/remove-tree.ts';

interface Runtime {
  name: string;
  command: string[];
}

interface Row {
  name: string;
  unit: string;
  measure(runtime: Runtime): Promise<number>;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    parallel: { type: 'string', default: '50' },
    runtimes: { type: 'string', default: 'runc,crun,runsc,tsvisor' },
    only: { type: 'string', default: '' },
  },
});
const rounds = Number(values.rounds);
const parallel = Number(values.parallel);
const LIMIT_MS = 120_000;

const all: Runtime[] = [
  { name: 'runc', command: ['runc'] },
  { name: 'crun', command: ['crun'] },
  { name: 'runsc', command: ['runsc', '--network=none', '--ignore-cgroups'] },
  { name: 'tsvisor', command: [tsvisor] },
];

let scratch = '';
let count = 0;

/** A verb, to its end; an error with what it logged unless it succeeds. Its streams are nobody's: a container would keep them. */
function verb(runtime: Runtime, ...args: string[]): Promise<void> {
  const [program, ...options] = runtime.command;
  const log = join(scratch, `log-${count++}`);
  const child = spawn(program!, [...options, '--root', join(scratch, runtime.name), '--log', log, ...args], {
    env: plainEnvironment,
    cwd: scratch,
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status) => {
      clearTimeout(limit);
      if (status === 0) resolve();
      else reject(new Error(`${runtime.name} ${args.join(' ')}: status ${status}: ${existsSync(log) ? readFileSync(log, 'utf8') : ''}`));
    });
  });
}

/** A bundle whose process is `args`; all share one root. */
function bundle(name: string, args: readonly string[]): string {
  const directory = join(scratch, name);
  mkdirSync(directory);
  const written = spawnSync('runc', ['spec'], { cwd: directory });
  if (written.status !== 0) throw new Error('runc spec failed');
  const file = join(directory, 'config.json');
  const spec = JSON.parse(readFileSync(file, 'utf8')) as {
    process: { args: readonly string[]; terminal: boolean; env: string[] };
    root: object;
  };
  spec.process.args = args;
  spec.process.terminal = false;
  spec.process.env.push(`SCRATCH=${scratch}`);
  spec.root = { path: join(scratch, 'rootfs'), readonly: true };
  writeFileSync(file, JSON.stringify(spec));
  return directory;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/**
 * Every process of the containers: those with the path of the scratch directory in their arguments or environment (a runtime's own, and the process of the
 * container, whose configuration has it), and what descends from them.
 */
function processesOfContainers(): Set<number> {
  const own = new Set<number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    if ([procFile(Number(name), 'cmdline'), procFile(Number(name), 'environ')].some((text) => text.includes(scratch))) {
      for (const pid of processTree(Number(name))) own.add(pid);
    }
  }
  return own;
}

/** Proportional set size in MB; a process that has ended has none. */
function pss(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(procFile(pid, 'smaps_rollup'))?.[1] ?? 0) / 1024;
}

/** Starts `number` containers at once; how long it took, how many run, and what all their processes need after two seconds. */
async function startMany(runtime: Runtime, number: number): Promise<{ ms: number; running: number; pssEach: number }> {
  const ids = Array.from({ length: number }, () => `many-${process.pid}-${count++}`);
  const start = performance.now();
  const started = await Promise.allSettled(ids.map((id) => verb(runtime, 'run', '--detach', '--bundle', join(scratch, 'sleeps'), id)));
  const ms = performance.now() - start;
  await sleep(2000);
  const total = [...processesOfContainers()].reduce((sum, pid) => sum + pss(pid), 0);
  for (const id of ids) await verb(runtime, 'delete', '--force', id).catch(() => undefined);
  const failed = started.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) console.log(`${runtime.name}: ${String(failed.reason)}`);
  return { ms, running: started.filter(({ status }) => status === 'fulfilled').length, pssEach: total / number };
}

/** The three figures of one start of many are rows of their own; each is taken once. */
const many = new Map<string, { ms: number; running: number; pssEach: number }>();

async function ofMany(runtime: Runtime, number: number): Promise<{ ms: number; running: number; pssEach: number }> {
  const key = `${runtime.name} ${number}`;
  let figures = many.get(key);
  if (figures === undefined) {
    figures = await startMany(runtime, number);
    many.set(key, figures);
  }
  return figures;
}

const rows: Row[] = [
  {
    name: 'run true',
    unit: 'ms',
    measure: (runtime) => timed(() => verb(runtime, 'run', '--bundle', join(scratch, 'true'), `run-${process.pid}-${count++}`)),
  },
  {
    name: 'create, start, delete',
    unit: 'ms',
    measure: async (runtime) => {
      const id = `steps-${process.pid}-${count++}`;
      return timed(async () => {
        await verb(runtime, 'create', '--bundle', join(scratch, 'sleeps'), id);
        await verb(runtime, 'start', id);
        await verb(runtime, 'delete', '--force', id);
      });
    },
  },
  {
    name: 'exec true',
    unit: 'ms',
    measure: async (runtime) => {
      const id = `exec-${process.pid}-${count++}`;
      await verb(runtime, 'run', '--detach', '--bundle', join(scratch, 'sleeps'), id);
      try {
        return await timed(() => verb(runtime, 'exec', id, 'true'));
      } finally {
        await verb(runtime, 'delete', '--force', id);
      }
    },
  },
  { name: 'pss of one', unit: 'MB', measure: async (runtime) => (await ofMany(runtime, 1)).pssEach },
  { name: `start ${parallel} at once`, unit: 'ms', measure: async (runtime) => (await ofMany(runtime, parallel)).ms },
  { name: `up of ${parallel}`, unit: '', measure: async (runtime) => (await ofMany(runtime, parallel)).running },
  { name: `pss of each of ${parallel}`, unit: 'MB', measure: async (runtime) => (await ofMany(runtime, parallel)).pssEach },
];

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? Number.NaN) + (sorted[sorted.length >> 1] ?? Number.NaN)) / 2;
}

function text(value: number): string {
  return Number.isNaN(value) ? '-' : value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0);
}

/** The runtimes that are here and can run a container. */
async function usable(wanted: readonly string[]): Promise<Runtime[]> {
  const found: Runtime[] = [];
  for (const runtime of all.filter(({ name }) => wanted.includes(name))) {
    try {
      await verb(runtime, 'run', '--bundle', join(scratch, 'true'), `trial-${process.pid}-${count++}`);
      found.push(runtime);
    } catch (error) {
      console.log(`${runtime.name} is left out: ${String(error)}`);
    }
  }
  return found;
}

async function main(): Promise<void> {
  buildFirst();
  scratch = mkdtempSync(join(tmpdir(), 'tsvisor-bench-oci-'));
  try {
    makeRootfs(join(scratch, 'rootfs'));
    bundle('true', ['true']);
    bundle('sleeps', ['sleep', '600']);
    const runtimes = await usable(values.runtimes.split(','));
    const only = values.only.split(',').filter((name) => name !== '');
    const chosen = rows.filter(({ name }) => only.length === 0 || only.some((part) => name.includes(part)));
    const figures = new Map(chosen.map((row) => [row, new Map(runtimes.map((runtime) => [runtime, [] as number[]]))]));
    for (let round = 0; round < rounds; round++) {
      for (const [row, cells] of figures)
        for (const [runtime, cell] of cells) cell.push(await row.measure(runtime).catch(() => Number.NaN));
    }
    console.log(['', '', ...runtimes.map(({ name }) => name.padStart(10))].join(' ').padStart(24));
    for (const [row, cells] of figures) {
      console.log(
        [row.name.padEnd(24), row.unit.padEnd(3), ...[...cells.values()].map((cell) => text(median(cell)).padStart(10))].join(' '),
      );
    }
  } finally {
    removeTree(scratch);
  }
}

if (process.env.TSVISOR_BENCH_INSIDE === '1') await main();
else {
  const script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"';
  const command = ['--mount', 'sh', '-c', script, 'sh', process.execPath, import.meta.filename, ...process.argv.slice(2)];
  const outcome = spawnSync('unshare', command, { stdio: 'inherit', env: { ...process.env, TSVISOR_BENCH_INSIDE: '1' } });
  process.exitCode = outcome.status ?? 1;
}
