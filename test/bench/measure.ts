/** How a figure is got from a command: its output, its duration, and what its processes need while they sleep. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { processTree, procFile } from '../harness/process-tree.ts';
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
  const seen = await look(processTree(child.pid ?? 0));
  await ended;
  return seen;
}

/** Resident size of the largest process, in MB. */
export function largestMegabytes(pids: readonly number[]): number {
  const largest = Math.max(0, ...pids.map((pid) => Number(/^VmRSS:\s+(\d+)/m.exec(procFile(pid, 'status'))?.[1] ?? 0)));
  if (largest === 0) throw new Error('the sandbox ended early');
  return largest / 1024;
}
