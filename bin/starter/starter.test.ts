import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { assembleStarter } from './code.ts';
import { executable } from './executable.ts';

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
     const started = process.env.TSVISOR_GOFER;
     const buffer = Buffer.alloc(65536);
     const gofer = started ? JSON.parse(buffer.toString('utf8', 0, fs.readSync(Number(started), buffer))) : null;
     const ended = started ? fs.readSync(Number(started), buffer) === 0 : null;
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
  const command = [place('starter'), process.execPath, place('gofer.cjs'), '--disable-sigusr1', place('main.cjs'), ...args];
  const run = spawnSync('/bin/sh', ['-c', shell, 'sh', ...command], { env: { OTHER: 'kept' }, encoding: 'utf8', timeout: 20_000 });
  expect(run.stderr).toBe('');
  return JSON.parse(run.stdout) as Told;
}

test('both run, joined by a socket, and each with its own arguments and environment', () => {
  const told = start();
  expect(told).toMatchObject({ started: '100', other: 'kept', args: ['a b', '', '*'], options: ['--disable-sigusr1'], isParent: true });
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
  expect(start('exec "$@"', [])).toMatchObject({ started: '100', args: [] });
});

test('a program that cannot be run is one sentence', () => {
  const run = spawnSync(place('starter'), ['/nonexistent', place('gofer.cjs'), 'x'], { encoding: 'utf8' });
  expect(run).toMatchObject({ status: 125, stderr: 'tsvisor: cannot run Node.js\n' });
});
