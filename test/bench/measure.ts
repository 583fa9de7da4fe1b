/** How a figure is got from a command: its output, its duration, the memory and the CPU time of all its processes. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainEnvironment, runNative } from '../harness/run.ts';
import type { Runner } from './runners.ts';

const TIMEOUT_MS = 180_000;

/** Runs to its end and returns standard output; anything but success is an error with what the program said. */
export async function output(runner: Runner, command: readonly string[], cwd: string): Promise<string> {
  const outcome = await runNative(runner.wrap(command, cwd), { cwd, timeoutMs: TIMEOUT_MS });
  if (outcome.status === 0) return outcome.stdout;
  const how = outcome.timedOut ? 'timed out' : `status ${outcome.status ?? outcome.signal}`;
  throw new Error(`${how}: ${outcome.stderr.slice(-300)}`);
}

/** Milliseconds from start to end, the start of the sandbox included. */
export async function duration(runner: Runner, command: readonly string[], cwd: string): Promise<number> {
  const start = performance.now();
  await output(runner, command, cwd);
  return performance.now() - start;
}

/** While one guest sleeps for `seconds`, what `look` says of the processes of the sandbox, which had a second and a half to settle. */
export async function whileAsleep<T>(runner: Runner, seconds: number, cwd: string, look: (pids: number[]) => T | Promise<T>): Promise<T> {
  const [program, ...args] = runner.wrap(['sleep', `${seconds}`], cwd);
  const child = spawn(program ?? '', args, { cwd, env: plainEnvironment, stdio: 'ignore', detached: true });
  const ended = new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  await sleep(1500);
  const pids = [child.pid ?? 0, ...descendants(child.pid ?? 0)];
  const seen = await look(pids);
  await ended;
  return seen;
}

/** Resident size of the largest process, in MB. */
export function largestMegabytes(pids: readonly number[]): number {
  const largest = Math.max(0, ...pids.map((pid) => Number(/^VmRSS:\s+(\d+)/m.exec(fileOf(pid, 'status'))?.[1] ?? 0)));
  if (largest === 0) throw new Error('the sandbox ended early');
  return largest / 1024;
}

/** Milliseconds of CPU time that all threads use in one second. */
export async function cpuMsPerSecond(pids: readonly number[]): Promise<number> {
  const seconds = 2;
  const before = cpuNs(pids);
  await sleep(seconds * 1000);
  return (cpuNs(pids) - before) / 1e6 / seconds;
}

function cpuNs(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids)
    for (const thread of listing(`/proc/${pid}/task`)) sum += Number(fileOf(pid, `task/${thread}/schedstat`).split(' ')[0] ?? 0);
  return sum;
}

function descendants(ancestor: number): number[] {
  const children = new Map<number, number[]>();
  for (const pid of listing('/proc').filter((name) => /^\d+$/.test(name))) {
    const parent = Number(/^PPid:\s+(\d+)/m.exec(fileOf(Number(pid), 'status'))?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
  }
  const found = [...(children.get(ancestor) ?? [])];
  // The list grows while it is walked: each entry brings its own children.
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

function listing(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function fileOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
