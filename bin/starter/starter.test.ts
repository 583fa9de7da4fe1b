import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { assembleStarter } from './code.ts';
import { executable } from './executable.ts';
import { encodeOutcome, OUTCOME_FAILED } from './outcome.ts';

let scratch = '';
const place = (name: string): string => join(scratch, name);

const DESCRIPTORS = `Object.fromEntries(fs.readdirSync('/proc/self/fd').map(Number).flatMap((fd) => {
  try { return [[fd, fs.readlinkSync('/proc/self/fd/' + fd).replace(/:.*/, '')]]; } catch { return []; } }))`;

// Both tell what they are; the gofer through its socket.
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tsvisor-starter-'));
  writeFileSync(place('starter'), executable(assembleStarter()), { mode: 0o755 });
  writeFileSync(
    place('gofer.cjs'),
    `const fs = require('node:fs');
     const session = Number(fs.readFileSync('/proc/self/stat', 'latin1').split(' ')[5]);
     const { status, environ } = { status: fs.readFileSync('/proc/self/status', 'latin1'), environ: fs.readFileSync('/proc/self/environ', 'latin1') };
     fs.writeSync(3, JSON.stringify({ environ, options: process.execArgv, args: process.argv.slice(2), leads: session === process.pid,
       blocked: /SigBlk:\\s*(\\w+)/.exec(status)[1], descriptors: ${DESCRIPTORS}, parent: process.ppid }));`,
  );
  writeFileSync(
    place('main.cjs'),
    `const fs = require('node:fs');
     const started = process.env.TSVISOR_STARTED;
     const buffer = Buffer.alloc(65536);
     const gofer = started ? JSON.parse(buffer.toString('utf8', 0, fs.readSync(100, buffer))) : null;
     const ended = started ? fs.readSync(100, buffer) === 0 : null;
     console.log(JSON.stringify({ started: started ?? null, other: process.env.OTHER, args: process.argv.slice(2), options: process.execArgv, gofer,
       ended, isParent: gofer?.parent === process.pid }));`,
  );
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Told {
  started: string | null;
  other: string;
  args: string[];
  options: string[];
  ended: boolean | null;
  isParent: boolean;
  gofer: {
    environ: string;
    options: string[];
    args: string[];
    leads: boolean;
    blocked: string;
    descriptors: Record<string, string>;
  } | null;
}

function start(shell = 'exec "$@"', args: readonly string[] = ['a b', '', '*']): Told {
  const command = [place('starter'), 'here', process.execPath, place('gofer.cjs'), '--disable-sigusr1', place('main.cjs'), ...args];
  const run = spawnSync('/bin/sh', ['-c', shell, 'sh', ...command], { env: { OTHER: 'kept' }, encoding: 'utf8', timeout: 20_000 });
  expect(run.stderr).toBe('');
  return JSON.parse(run.stdout) as Told;
}

test('both run, joined by a socket, and each with its own arguments and environment', () => {
  const told = start();
  expect(told).toMatchObject({ started: 'here', other: 'kept', args: ['a b', '', '*'], options: ['--disable-sigusr1'], isParent: true });
  expect(told.gofer).toMatchObject({ environ: '', options: ['--disable-sigusr1'], args: [], leads: true });
  // The end of the gofer is seen: nobody else has its end of the socket.
  expect(told.ended).toBe(true);
});

test('the gofer gets /dev/null, its socket, and nothing else of what the caller had open', () => {
  const { gofer } = start('exec "$@" 5< /etc/passwd 101< /etc/passwd 3< /etc/passwd');
  const inherited = Object.entries(gofer!.descriptors).filter(
    ([, target]) => target === '/etc/passwd' || target === 'socket' || target === 'pipe',
  );
  expect(inherited.filter(([fd, target]) => target !== 'pipe' || Number(fd) < 3)).toEqual([['3', 'socket']]);
  expect([0, 1, 2].map((fd) => gofer!.descriptors[fd])).toEqual(['/dev/null', '/dev/null', '/dev/null']);
});

test('it starts where the caller has closed the standard descriptors', () => {
  const { gofer } = start('exec "$@" 0<&- 2>&-');
  expect([0, 1, 2, 3].map((fd) => gofer!.descriptors[fd])).toEqual(['/dev/null', '/dev/null', '/dev/null', 'socket']);
});

test('without room for the descriptor the arguments are run alone', () => {
  expect(start('ulimit -n 64; exec "$@"')).toMatchObject({ started: null, other: 'kept', args: ['a b', '', '*'], gofer: null });
  expect(start('exec "$@"', [])).toMatchObject({ started: 'here', args: [] });
});

test('a program that cannot be run is one sentence', () => {
  const run = spawnSync(place('starter'), ['here', '/nonexistent', place('gofer.cjs'), 'x'], { encoding: 'utf8' });
  expect(run).toMatchObject({ status: 125, stderr: 'tsvisor: cannot run Node.js\n' });
});

/** Runs SCRIPT as the sentry and, if there is something left to do, as the verb that does it: `says(bytes)` is the outcome, `mode` how it was started. */
function startChild(mode: 'detached' | 'attended', script: string): { args: string[]; trace: string } {
  const trace = place(`trace-${Math.random()}`);
  writeFileSync(trace, '');
  const program = place(`program-${Math.random()}.cjs`);
  writeFileSync(
    program,
    `const fs = require('node:fs');
     const mode = process.env.TSVISOR_STARTED;
     const trace = (text) => fs.appendFileSync(${JSON.stringify(trace)}, text + ' ');
     const says = (base64) => fs.writeSync(101, Buffer.from(base64, 'base64'));
     trace(mode);
     if (mode === 'detached' || mode === 'attended') { ${script} }`,
  );
  return { args: [mode, process.execPath, place('gofer.cjs'), program], trace };
}

const base64 = (bytes: Uint8Array): string => `says('${Buffer.from(bytes).toString('base64')}');`;
const UP = base64(encodeOutcome([], false));
const FAILED = base64(Uint8Array.of(OUTCOME_FAILED));
const pause = async (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

test('detached: it ends with 0 when the child is up, which lives on in a session of its own', async () => {
  const { args, trace } = startChild(
    'detached',
    `require(${JSON.stringify(join(import.meta.dirname, '../../node_modules/koffi'))}).load('libc.so.6').func('int prctl(int, long, long, long, long)')(1, 0, 0, 0, 0);
     ${UP} setTimeout(() => trace(Number(fs.readFileSync('/proc/self/stat', 'latin1').split(' ')[5]) === process.pid ? 'leads' : 'follows'), 300);`,
  );
  expect(spawnSync(place('starter'), args, { timeout: 20_000, stdio: 'ignore' }).status).toBe(0);
  expect(readFileSync(trace, 'utf8')).toBe('detached ');
  while (readFileSync(trace, 'utf8') === 'detached ') await pause(20);
  expect(readFileSync(trace, 'utf8')).toBe('detached leads ');
});

test('detached: a child that has not said that it is up does not outlive the starter', async () => {
  const { args, trace } = startChild('detached', `trace(process.pid); setTimeout(() => {}, 60_000);`);
  const starter = spawn(place('starter'), args, { stdio: 'ignore' });
  const pidOf = (): number => Number(readFileSync(trace, 'utf8').split(' ')[1] ?? 0);
  while (pidOf() === 0) await pause(20);
  starter.kill('SIGKILL');
  await expect.poll(() => isAlive(pidOf())).toBe(false);
});

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

test('detached: a child that fails or dies leaves the verb to tidy up, and the status is 1', () => {
  for (const [script, left] of [
    [FAILED, 'failed'],
    [`process.kill(process.pid, 'SIGKILL');`, 'died'],
  ] as const) {
    const { args, trace } = startChild('detached', script);
    expect(spawnSync(place('starter'), args, { timeout: 20_000, stdio: 'ignore' }).status).toBe(1);
    expect(readFileSync(trace, 'utf8')).toBe(`detached ${left} `);
  }
});

test('attended: its status is the child’s, and names are removed when that has ended', () => {
  const directory = place('removed');
  mkdirSync(directory);
  writeFileSync(join(directory, 'file'), '');
  const removals = [
    { kind: 'file', path: join(directory, 'file') },
    { kind: 'directory', path: directory },
  ] as const;
  const { args, trace } = startChild('attended', `${base64(encodeOutcome(removals, false))} process.exitCode = 42;`);
  expect(spawnSync(place('starter'), args, { timeout: 20_000, stdio: 'ignore' }).status).toBe(42);
  expect(readFileSync(trace, 'utf8')).toBe('attended ');
  expect(existsSync(directory)).toBe(false);
});

test('attended: what cannot be removed, and what is more than names, is left to the verb', () => {
  for (const outcome of [encodeOutcome([{ kind: 'file', path: '/nonexistent/file' }], false), encodeOutcome([], true)]) {
    const { args, trace } = startChild('attended', `${base64(outcome)} process.exitCode = 3;`);
    expect(spawnSync(place('starter'), args, { timeout: 20_000, stdio: 'ignore' }).status).toBe(3);
    expect(readFileSync(trace, 'utf8')).toBe('attended ended ');
  }
});

test('attended: signals go to the child, and its death by one is 128 and more', async () => {
  const { args, trace } = startChild(
    'attended',
    `process.on('SIGTERM', () => trace('term')); ${UP} setInterval(() => {}, 1000); trace('ready');`,
  );
  const child = spawn(place('starter'), args, { stdio: 'ignore' });
  const ended = new Promise((done) => child.on('exit', done));
  while (!readFileSync(trace, 'utf8').includes('ready')) await pause(20);
  child.kill('SIGTERM');
  while (!readFileSync(trace, 'utf8').includes('term')) await pause(20);
  child.kill('SIGUSR2');
  expect(await ended).toBe(128 + 12);
  expect(readFileSync(trace, 'utf8')).toBe('attended ready term ');
});
