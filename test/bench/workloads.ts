/**
 * What is measured: single operations (micro.c, timed from within) and whole programs (timed from outside), each with the figure
 * that the ptrace platform has to reach on the reference machine, where there is one.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileGuest } from '../harness/guests.ts';
import { plainEnvironment, runNative } from '../harness/run.ts';
import type { Runner } from './runners.ts';

export type Unit = 'us' | 'ms' | 'MB' | 'x';

export interface Workload {
  readonly name: string;
  readonly unit: Unit;
  /** At most this much, for tsvisor. */
  readonly target?: number;
  /** One measurement in `unit`. Throws when the program fails. */
  measure(runner: Runner): Promise<number>;
}

const REPOSITORY_FILES = 1000;
const TIMEOUT_MS = 180_000;

const microTargetsUs: Record<string, number | undefined> = {
  getppid: 15,
  stat: 30,
  'stat-host': 30,
  'open+close': 60,
  'open+close-host': 60,
  'pread-4k': 20,
  'write-4k': undefined,
  pipe: 40,
  'socket-2proc': undefined,
  futex: undefined,
  'mmap+touch+munmap': undefined,
  'page-fault': undefined,
  thread: undefined,
  'fork+wait': 1000,
  'fork+exec+wait': undefined,
  'vfork+exec+wait': 2500,
};

/** Everything in the order of the table. `scratch` is an empty directory in which the inputs are made. */
export async function allWorkloads(scratch: string): Promise<Workload[]> {
  const micro = compileGuest('bench/micro.c', { flags: ['-O2'] });
  await makeInputs(scratch);
  const micros = Object.entries(microTargetsUs).map(([name, target]) => microWorkload(micro, name, scratch, target));
  return [...micros, cpuWorkload(micro, scratch), ...programWorkloads(scratch), memoryWorkload(scratch)];
}

function programWorkloads(scratch: string): Workload[] {
  return [
    timed('do -- true', ['/bin/true'], scratch, 150),
    timed('python3 -c pass', ['python3', '-c', 'pass'], scratch),
    // Some folders are closed to ordinary users, and then find's status is 1.
    timed('find /usr -xdev', ['sh', '-c', 'find /usr -xdev >list 2>errors; [ $(wc -l <list) -gt 1000 ]'], scratch),
    timed('git status, 1000 files', ['git', 'status', '--porcelain'], join(scratch, 'repository')),
    timed('gcc hello.c', ['gcc', '-O1', '-o', 'hello', 'hello.c'], scratch),
    timed('sh, 100 x /bin/true', ['sh', '-c', 'i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done'], scratch),
  ];
}

async function makeInputs(scratch: string): Promise<void> {
  const text = '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { puts("hello"); return EXIT_SUCCESS; }\n';
  writeFileSync(join(scratch, 'hello.c'), text);
  const repository = join(scratch, 'repository');
  for (let i = 0; i < REPOSITORY_FILES; i++) {
    const folder = join(repository, `folder${i % 40}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file${i}.txt`), `contents of file ${i}\n`);
  }
  const commit = 'git init -q . && git add -A && git -c user.name=bench -c user.email=bench@example.org commit -q -m all';
  const made = await runNative(['sh', '-c', commit], { cwd: repository });
  if (made.status !== 0) throw new Error(`the git repository cannot be made: ${made.stderr}`);
}

/** Runs to its end and returns standard output; anything but success is an error with what the program said. */
async function output(runner: Runner, command: readonly string[], cwd: string): Promise<string> {
  const outcome = await runNative(runner.wrap(command, cwd), { cwd, timeoutMs: TIMEOUT_MS });
  if (outcome.status === 0) return outcome.stdout;
  const how = outcome.timedOut ? 'timed out' : `status ${outcome.status ?? outcome.signal}`;
  throw new Error(`${how}: ${outcome.stderr.slice(-300)}`);
}

async function microNs(runner: Runner, program: string, name: string, cwd: string): Promise<number> {
  const ns = Number(await output(runner, [program, name], cwd));
  if (!(ns > 0)) throw new Error(`micro ${name} printed no number`);
  return ns;
}

function microWorkload(program: string, name: string, cwd: string, target: number | undefined): Workload {
  const measure = async (runner: Runner) => (await microNs(runner, program, name, cwd)) / 1e3;
  return { name, unit: 'us', ...(target === undefined ? {} : { target }), measure };
}

/** As a ratio to a run on Linux directly before, so that a busy machine disturbs both alike. */
function cpuWorkload(program: string, cwd: string): Workload {
  const linux: Runner = { name: 'native', wrap: (command) => [...command] };
  return {
    name: 'cpu loop, to native',
    unit: 'x',
    target: 1.01,
    measure: async (runner) => {
      const before = await microNs(linux, program, 'cpu', cwd);
      return (await microNs(runner, program, 'cpu', cwd)) / before;
    },
  };
}

function timed(name: string, command: readonly string[], cwd: string, target?: number): Workload {
  const measure = async (runner: Runner) => {
    const start = performance.now();
    await output(runner, command, cwd);
    return performance.now() - start;
  };
  return { name, unit: 'ms', ...(target === undefined ? {} : { target }), measure };
}

/** The largest resident process that the sandbox keeps for one sleeping guest: the sentry. */
function memoryWorkload(cwd: string): Workload {
  return {
    name: 'resident memory',
    unit: 'MB',
    target: 90,
    measure: async (runner) => {
      const [program, ...args] = runner.wrap(['sleep', '3'], cwd);
      const child = spawn(program ?? '', args, { cwd, env: plainEnvironment, stdio: 'ignore', detached: true });
      const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const largest = Math.max(0, ...[child.pid ?? 0, ...descendants(child.pid ?? 0)].map(residentKb));
      await ended;
      if (largest === 0) throw new Error('the sandbox ended early');
      return largest / 1024;
    },
  };
}

function descendants(ancestor: number): number[] {
  const children = new Map<number, number[]>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const parent = Number(/^PPid:\s+(\d+)/m.exec(statusOf(Number(pid)))?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
  }
  const found = [...(children.get(ancestor) ?? [])];
  // The list grows while it is walked: each entry brings its own children.
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(statusOf(pid))?.[1] ?? 0);
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
