/**
 * What is measured: single operations (micro.c, timed from within) and whole programs (timed from outside), each with the figure that
 * the seccomp platform has to reach, where there is one: an absolute one on the reference machine, or a ratio to Linux in the same run.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileGuest } from '../harness/guests.ts';
import { cpuMsPerSecond } from '../harness/process-tree.ts';
import { runNative } from '../harness/run.ts';
import { duration, largestMegabytes, output, whileAsleep } from './measure.ts';
import { networkWorkloads } from './network-workloads.ts';
import { native, type Runner } from './runners.ts';
import { vethWorkloads } from './veth-workloads.ts';

export type Unit = 'us' | 'ms' | 'MB' | 'x' | 'ms/s' | '1/s' | 'Gbit/s';

/** Exactly one bound: on the figure itself, or on its ratio to that of Linux. */
export type Target =
  | { readonly atMost: number }
  | { readonly atLeast: number }
  | { readonly timesNative: number }
  | { readonly partOfNative: number };

export interface Workload {
  readonly name: string;
  readonly unit: Unit;
  readonly target?: Target;
  /** One measurement in `unit`. Throws when the program fails. */
  measure(runner: Runner): Promise<number>;
}

const REPOSITORY_FILES = 1000;

/** In microseconds, in the order of the table. */
const microTargets: Record<string, Target | null> = {
  getppid: { atMost: 0.4 },
  'getppid-cold': { atMost: 8 },
  stat: { atMost: 0.8 },
  'stat-host': { atMost: 0.8 },
  'open+close': { atMost: 4 },
  'open+close-host': { atMost: 4 },
  'pread-4k': { atMost: 1.5 },
  'write-4k': null,
  'write-4k-tmpfs': { atMost: 2 },
  pipe: { atMost: 1.5 },
  'pipe-2proc': { timesNative: 2 },
  'socket-2proc': null,
  futex: { timesNative: 2 },
  'mmap+touch+munmap': { atMost: 16 },
  'page-fault': null,
  thread: { atMost: 100 },
  'fork+wait': { atMost: 500 },
  'fork+exec+wait': null,
  'vfork+exec+wait': { atMost: 1000 },
};

/** Everything in the order of the table. `scratch` is an empty directory in which the inputs are made. */
export async function allWorkloads(scratch: string): Promise<Workload[]> {
  const micro = compileGuest('bench/micro.c', { flags: ['-O2'] });
  await makeInputs(scratch);
  return [
    ...Object.entries(microTargets).map(([name, target]) => microWorkload(micro, name, scratch, target)),
    cpuWorkload('cpu loop, to native', 'cpu', micro, scratch, 1.01),
    cpuWorkload('2 cpu loops, to native', 'cpu-2', micro, scratch, 1.03),
    ...programWorkloads(scratch),
    ...redisWorkloads(scratch),
    ...networkWorkloads(scratch),
    ...vethWorkloads(scratch),
    ...sleepWorkloads(scratch),
  ];
}

function programWorkloads(scratch: string): Workload[] {
  const shell = (text: string) => ['sh', '-c', text];
  return [
    timed('do -- true', ['/bin/true'], scratch, { atMost: 100 }),
    timed('python3 -c pass', ['python3', '-c', 'pass'], scratch, { timesNative: 2 }),
    // Some folders are closed to ordinary users, and then the status of find and grep says so.
    timed('find /usr -xdev', shell('find /usr -xdev >list 2>errors; [ $(wc -l <list) -gt 1000 ]'), scratch, { timesNative: 2 }),
    timed('grep -r /usr/include', shell('grep -rc EINVAL /usr/include >counts; [ $(wc -l <counts) -gt 500 ]'), scratch, { timesNative: 2 }),
    timed('tar of /usr/include', shell('tar -C /usr -cf - include | wc -c >size; [ $(cat size) -gt 1000000 ]'), scratch, {
      timesNative: 2,
    }),
    timed('git status, 1000 files', ['git', 'status', '--porcelain'], join(scratch, 'repository'), { timesNative: 3 }),
    timed('gcc hello.c', ['gcc', '-O1', '-o', 'hello', 'hello.c'], scratch, { timesNative: 1.5 }),
    timed('sh, 200 x /bin/true', shell('i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done'), scratch, { timesNative: 3 }),
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

async function microNs(runner: Runner, program: string, name: string, cwd: string): Promise<number> {
  const ns = Number(await output(runner, [program, name], cwd));
  if (!(ns > 0)) throw new Error(`micro ${name} printed no number`);
  return ns;
}

function microWorkload(program: string, name: string, cwd: string, target: Target | null): Workload {
  const measure = async (runner: Runner) => (await microNs(runner, program, name, cwd)) / 1e3;
  return { name, unit: 'us', ...(target === null ? {} : { target }), measure };
}

/** As a ratio to a run on Linux directly before, so that a busy machine disturbs both alike. */
function cpuWorkload(name: string, operation: string, program: string, cwd: string, atMost: number): Workload {
  const measure = async (runner: Runner) => {
    const before = await microNs(native, program, operation, cwd);
    return (await microNs(runner, program, operation, cwd)) / before;
  };
  return { name, unit: 'x', target: { atMost }, measure };
}

function timed(name: string, command: readonly string[], cwd: string, target: Target): Workload {
  return { name, unit: 'ms', target, measure: (runner) => duration(runner, command, cwd) };
}

/** Server and clients in the same sandbox, over a Unix socket. Left out where redis is not installed. */
function redisWorkloads(cwd: string): Workload[] {
  if (spawnSync('redis-benchmark', ['--version'], { stdio: 'ignore' }).status !== 0) {
    console.log('redis is left out: redis-server and redis-benchmark are not installed');
    return [];
  }
  const socket = join(cwd, 'redis.socket');
  const serve = `redis-server --port 0 --unixsocket ${socket} --save "" --appendonly no >/dev/null & server=$!`;
  const ready = `until redis-cli -s ${socket} ping 2>/dev/null | grep -q PONG; do sleep 0.05; done`;
  const script = (test: string) =>
    `${serve}; ${ready}; redis-benchmark -s ${socket} -t ${test} -n 20000 -c 20 --csv; kill $server; wait $server; rm -f ${socket}`;
  return ['get', 'set'].map((test) => ({
    name: `redis ${test}, Unix socket`,
    unit: '1/s',
    target: { partOfNative: 0.5 },
    measure: async (runner) => {
      const text = await output(runner, ['sh', '-c', script(test)], cwd);
      const rate = Number(new RegExp(`^"${test}","([0-9.]+)"`, 'im').exec(text)?.[1]);
      if (!(rate > 0)) throw new Error(`redis-benchmark printed no rate: ${text.slice(0, 200)}`);
      return rate;
    },
  }));
}

function sleepWorkloads(cwd: string): Workload[] {
  return [
    {
      name: 'resident memory',
      unit: 'MB',
      target: { atMost: 90 },
      measure: (runner) => whileAsleep(runner, 3, cwd, largestMegabytes),
    },
    // A clock tick now and then belongs to the machine, not to the sandbox.
    {
      name: 'CPU time while asleep',
      unit: 'ms/s',
      target: { atMost: 0.5 },
      measure: (runner) => whileAsleep(runner, 5, cwd, (pids) => cpuMsPerSecond(pids, 2)),
    },
  ];
}
