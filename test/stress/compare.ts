/**
 * Runs one script natively and inside, and compares the logs; makes a script that differs as small as it gets.
 *
 * The native run comes first and twice if need be: a script whose log is not the same twice on Linux says nothing.
 */
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { inScratch } from '../harness/expect-same.ts';
import { compileGuest } from '../harness/guests.ts';
import { type Outcome, runInside, runNative } from '../harness/run.ts';
import { generate, type Step, scriptText } from './generate.ts';

/** Where the files of a script lie: on the host but thrown away, on the host for real, in the guest's own memory. */
export const places = ['overlay', 'shared', 'memory'] as const;
export type Place = (typeof places)[number];

/** The script of a seed for a place: a directory of the host given for real has no sockets with names. */
export function scriptFor(seed: number, length: number, place: Place): Step[] {
  const steps = generate(seed, length);
  return place === 'shared' ? steps.filter(([line]) => line === undefined || !/ bind /.test(line)) : steps;
}

const TIMEOUT_MS = 40_000;

function log(outcome: Outcome): string {
  const end = outcome.timedOut ? 'timed out' : `status ${outcome.status ?? outcome.signal}`;
  return `${outcome.stdout}${outcome.stderr}${end}\n`;
}

async function inEmptyDirectory(run: (directory: string) => Promise<Outcome>): Promise<string> {
  return inScratch(async (parent) => {
    const directory = join(parent, 'here');
    mkdirSync(directory);
    chmodSync(directory, 0o777);
    return log(await run(directory));
  });
}

export function logOnLinux(steps: readonly Step[]): Promise<string> {
  const command = [compileGuest('stress/actors.c')];
  return inEmptyDirectory((cwd) => runNative(command, { cwd, stdin: scriptText(steps), timeoutMs: TIMEOUT_MS }));
}

/** `options` are options of `tsvisor do`. */
export function logInside(steps: readonly Step[], place: Place, options: readonly string[] = []): Promise<string> {
  const command = [compileGuest('stress/actors.c')];
  return inEmptyDirectory((cwd) => {
    const where = place === 'memory' ? ['--cwd', '/dev/shm'] : place === 'shared' ? ['--rw', cwd] : [];
    return runInside(command, { cwd, args: [...options, ...where], stdin: scriptText(steps), timeoutMs: TIMEOUT_MS });
  });
}

/** The first line that differs, with the lines before it. */
export function firstDifference(native: string, inside: string): string {
  if (native === inside) return '';
  const [left, right] = [native.split('\n'), inside.split('\n')];
  const at = left.findIndex((line, i) => line !== right[i]);
  const before = left.slice(Math.max(0, at - 3), Math.max(0, at)).map((line) => `  ${line}`);
  return [...before, `- ${left[at]}`, `+ ${right[at]}`].join('\n');
}

/** Leaves out steps, many at first, as long as `fails` says that the rest still fails. */
export async function shrink(steps: readonly Step[], fails: (steps: readonly Step[]) => Promise<boolean>): Promise<readonly Step[]> {
  let current = steps;
  for (let size = Math.ceil(current.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < current.length; ) {
      const rest = [...current.slice(0, from), ...current.slice(from + size)];
      if (await fails(rest)) current = rest;
      else from += size;
    }
  }
  return current;
}
