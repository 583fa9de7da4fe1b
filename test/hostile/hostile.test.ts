/**
 * Hostile guests: whatever a guest does, the sandbox lives, the guest gets the errno or the signal that Linux gives, and the next
 * guest finds an ordinary machine. Guests that would harm the machine (see hostile.h) run inside only; the others are compared with Linux.
 */
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { expectSame, inScratch } from '../harness/expect-same.ts';
import { compileGuest } from '../harness/guests.ts';
import { cpuMsPerSecond, processTree } from '../harness/process-tree.ts';
import { type InsideOptions, insideCommand, type Outcome, plainEnvironment, runInside } from '../harness/run.ts';
import { rowTable } from './row-table.ts';

const guest = (name: string) => compileGuest(`hostile/${name}.c`);

async function runHostile(
  name: string,
  args: readonly string[] = [],
  { args: extra = [], ...options }: InsideOptions = {},
): Promise<Outcome> {
  const outcome = await runInside([guest(name), ...args], {
    timeoutMs: 100_000,
    ...options,
    args: ['--env', 'TSVISOR_HOSTILE=inside', ...extra],
  });
  expect(outcome.timedOut, `no end; so far:\n${outcome.stdout}${outcome.stderr}`).toBe(false);
  expect(outcome.status, `${outcome.stdout}${outcome.stderr}`).toBe(0);
  return outcome;
}

/** Runs a guest that says "quiet" and then sleeps, and measures meanwhile how busy the sandbox is. */
async function runUntilQuiet(program: string, argument: string): Promise<{ stdout: string; busyMs: number }> {
  const [launcher, ...args] = insideCommand([program, argument], ['--env', 'TSVISOR_HOSTILE=inside']);
  const child = spawn(launcher!, args, {
    env: plainEnvironment,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 110_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  const quiet = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.includes('\nquiet\n')) resolve();
    });
  });
  await Promise.race([quiet, ended]);
  const busyMs = await cpuMsPerSecond(processTree(child.pid!), 1.5);
  expect(await ended, stdout).toBe(0);
  return { stdout, busyMs };
}

describe('wild arguments in every system call', () => {
  // A hundred numbers at a time: a failure names its neighbourhood.
  test.for([0, 100, 200, 300, 400])('numbers from %i', async (first) => {
    const last = Math.min(first + 99, 450);
    const { stdout } = await runHostile('wild-arguments', [`${first}`, `${last}`]);
    expect(stdout).toContain(`numbers ${first} to ${last} made`);
    expect(stdout).not.toContain(': no');
  });
});

describe('calls made from the table of rows', () => {
  test('wild values in every argument, and EFAULT where memory is missing', async () => {
    const { stdout } = await runHostile('row-arguments', [], { stdin: rowTable() });
    expect(stdout).toContain('wrong == 0: yes');
    expect(stdout).toContain('still_works(): yes');
  });

  // The first seed once ended the sandbox.
  test.for([131, 1, 2, 3])('random calls, seed %i', async (seed) => {
    const { stdout } = await runHostile('row-fuzz', [`${seed}`, '30'], { stdin: rowTable() });
    expect(stdout).toContain(`seed ${seed}`);
  });

  test('random calls under --strace', async () => {
    const { stdout } = await runHostile('row-fuzz', ['4', '15'], { stdin: rowTable(), args: ['--strace-log', '/dev/null'] });
    expect(stdout).toContain('seed 4');
  });

  test('what once ended the sandbox', async () => {
    const { stdout } = await runHostile('found', [], { args: ['--strace-log', '/dev/null'] });
    expect(stdout).toContain('pivot 0');
  });
});

describe("bombs against the kernel's memory", () => {
  const bombs =
    'fill mapped full-pipes full-sockets high-descriptors areas timers nests in-flight attributes locks links removed unmounted chained'.split(
      ' ',
    );
  const limited = new Map([
    ['fill', 'afterwards 4096'],
    ['mapped', 'mapping 64 GiB of a hole: ENOMEM'],
    ['full-pipes', 'pipes: ENOMEM'],
    ['full-sockets', 'sockets: ENOBUFS'],
    ['high-descriptors', 'fork: ENOMEM'],
    ['in-flight', 'files in flight: ETOOMANYREFS'],
    ['links', 'links that multiply: ELOOP'],
  ]);
  test.for(bombs)('%s', async (bomb) => {
    const { stdout } = await runHostile('kernel-memory', [bomb], { args: ['--memory', '256m'] });
    expect(stdout).toContain('bomb: exited 0');
    expect(stdout).toContain(limited.get(bomb) ?? 'afterwards: yes');
    expect(stdout).toContain('afterwards: yes');
  });
});

describe('shared directories', () => {
  test.for(['--rw', '--ro'])('%s: a name exchanged from outside leads nowhere', async (option) => {
    await inScratch(async (directory) => {
      const place = (...names: string[]) => join(directory, ...names);
      for (const name of ['root/bin', 'root/mnt', 'outside', 'shared/x/deep']) mkdirSync(place(name), { recursive: true });
      for (const name of ['root', 'root/bin', 'shared', 'shared/x', 'outside']) chmodSync(place(name), 0o777);
      copyFileSync(guest('outside'), place('root/bin/outside'));
      writeFileSync(place('outside/secret'), 'secret');
      writeFileSync(place('shared/x/inner'), 'inner');
      symlinkSync('../outside', place('shared/y'));
      const exchange = spawn(guest('exchange'), [place('shared'), '6'], { stdio: 'ignore' });
      const outcome = await runInside(['/bin/outside', '/mnt', '4'], {
        args: ['--root', place('root'), option, `${place('shared')}:/mnt`],
      });
      exchange.kill();
      expect(outcome.stdout).toContain('found 0');
      expect(outcome.status, outcome.stderr).toBe(0);
      expect(readdirSync(place('outside'))).toEqual(['secret']);
    });
  });
});

describe('bombs end in an errno', () => {
  test.for(['fork', 'threads', 'descriptors', 'memory', 'queues', 'names'])('%s', async (bomb) => {
    await expectSame([guest('bombs'), bomb], { timeoutMs: 60_000 });
  });

  test('fork without a limit of its own', async () => {
    const { stdout } = await runHostile('bombs', ['fork-unlimited']);
    expect(stdout).toContain('fork ends with EAGAIN');
    expect(stdout).toContain('afterwards: yes');
  });
});

describe('malformed programs', () => {
  test('each is refused, dies or runs as on Linux', async () => {
    await expectSame([guest('broken-elf'), 'cases']);
  });

  test('a thousand mutants', async () => {
    const { stdout } = await runHostile('broken-elf');
    expect(stdout).toContain('ended == runs: yes');
    expect(stdout).toContain('still works: exited 42');
  });

  test('huge arguments and environments', async () => {
    await expectSame([guest('big-arguments')], { timeoutMs: 60_000 });
  });
});

describe('seccomp filters', () => {
  test('malformed, half there, changing, long', async () => {
    await expectSame([guest('filters')], { timeoutMs: 60_000 });
  });

  test('very many in many processes', async () => {
    const { stdout } = await runHostile('filters', ['chains']);
    expect(stdout).toContain('lost = 0');
    expect(stdout).toContain('install(&allow, 1) = 0');
  });
});

describe('races and wild jumps', () => {
  test('memory that changes while the kernel reads it', async () => {
    await expectSame([guest('races')], { timeoutMs: 60_000 });
  });

  test("jumps into the stub's own code, and mappings over it", async () => {
    const { stdout } = await runHostile('jumps');
    expect(stdout).toContain('crashed > 0: yes');
    expect(stdout).toContain('an ordinary child still works');
  });

  test.concurrent.for(['scribbles', 'jumps', 'mappings', 'signals', 'segments', 'stacks', 'altstacks', 'steps', 'code', 'crowds'])(
    'attacks on what the platform needs: %s',
    async (name) => {
      const { stdout, busyMs } = await runUntilQuiet(guest('platform'), name);
      expect(stdout).not.toMatch(/^wrong = [1-9]/m);
      expect(stdout).toContain('late = 0');
      expect(stdout).toContain('calls(1000) == 0: yes');
      expect(stdout).toContain('child: exited 0');
      expect(busyMs, 'CPU time in a second while the guest sleeps').toBeLessThan(100);
    },
  );

  test('every few bytes of the stub as a jump target', async () => {
    const { stdout } = await runHostile('jumps', ['7fffffffc000', '7fffffffd000', '9']);
    expect(stdout).toMatch(/^crashed \d+ ended \d+ late \d+$/m);
  });
});
