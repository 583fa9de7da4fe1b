/** Nothing is left behind: no process, mount or temporary file, after an ordinary end and after `kill -9` of any of the processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { inScratch } from '../harness/expect-same.ts';
import { insideCommand, plainEnvironment } from '../harness/run.ts';

interface HostProcess {
  pid: number;
  parent: number;
  /** Start time in ticks: tells a process from a later one with the same number. */
  started: string;
  state: string;
  command: string;
}

function processes(): HostProcess[] {
  const found: HostProcess[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ');
      found.push({ pid: Number(name), parent: Number(fields[1]), started: fields[19] ?? '', state: fields[0] ?? '', command });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

function descendants(ancestor: number): HostProcess[] {
  const all = processes();
  const family = new Set([ancestor]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const { pid, parent } of all) {
      if (!family.has(parent) || family.has(pid)) continue;
      family.add(pid);
      grown = true;
    }
  }
  return all.filter(({ pid }) => family.has(pid));
}

function survivors(family: readonly HostProcess[]): HostProcess[] {
  const now = processes();
  return family.filter(({ pid, started }) => now.some((other) => other.pid === pid && other.started === started && other.state !== 'Z'));
}

async function until(condition: () => boolean, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) if (condition()) return true;
  return condition();
}

interface Running {
  child: ChildProcess;
  family: HostProcess[];
  temporary: string;
}

/** Starts three sleeping guests and waits for them to sleep. */
async function start(directory: string): Promise<Running> {
  const temporary = join(directory, 'tmp');
  mkdirSync(temporary);
  const [program, ...args] = insideCommand(['sh', '-c', 'sleep 600 & sleep 600 & echo ready; sleep 600']);
  const child = spawn(program!, args, {
    env: { ...plainEnvironment, TMPDIR: temporary },
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (status) => reject(new Error(`the sandbox ended with ${status} before it began`)));
  });
  await sleep(100);
  return { child, family: descendants(child.pid!), temporary };
}

const mounts = () => readFileSync('/proc/self/mounts', 'latin1');

/** Runs the sandbox, lets `end` do something to it, and then nothing may be left. */
async function expectNothingAfter(end: (running: Running) => void): Promise<void> {
  await inScratch(async (directory) => {
    const before = mounts();
    const running = await start(directory);
    try {
      expect(running.family.length).toBeGreaterThanOrEqual(3);
      end(running);
      await until(() => survivors(running.family).length === 0, 5000);
      expect(survivors(running.family)).toEqual([]);
      expect(readdirSync(running.temporary)).toEqual([]);
      expect(mounts()).toBe(before);
    } finally {
      for (const { pid } of survivors(running.family)) process.kill(pid, 'SIGKILL');
    }
  });
}

describe('nothing is left behind', () => {
  test('after the guest ended although its children go on', async () => {
    await inScratch(async (directory) => {
      const temporary = join(directory, 'tmp');
      mkdirSync(temporary);
      const [program, ...args] = insideCommand(['sh', '-c', 'sleep 600 & setsid sleep 600 & sleep 0.5; exit 3']);
      const child = spawn(program!, args, { env: { ...plainEnvironment, TMPDIR: temporary }, detached: true, stdio: 'ignore' });
      const ended = new Promise((resolve) => {
        child.once('exit', resolve);
      });
      await sleep(400);
      const family = descendants(child.pid!);
      expect(await ended).toBe(3);
      await until(() => survivors(family).length === 0, 3000);
      expect(survivors(family)).toEqual([]);
      expect(readdirSync(temporary)).toEqual([]);
    });
  });

  test('after SIGTERM', async () => {
    await expectNothingAfter(({ child }) => child.kill('SIGTERM'));
  });

  test('after kill -9 of the process that was started', async () => {
    await expectNothingAfter(({ child }) => child.kill('SIGKILL'));
  });

  test.for([0, 1, 2, 3, 4, 5])('after kill -9 of process number %i of the family', async (index) => {
    await expectNothingAfter(({ family }) => {
      const victim = family[index % family.length]!;
      process.kill(victim.pid, 'SIGKILL');
      // A dead guest alone does not end a sandbox whose first process lives: ask for the end then.
      if (/^$|memfd|stub/.test(victim.command)) process.kill(family[0]!.pid, 'SIGTERM');
    });
  });
});
