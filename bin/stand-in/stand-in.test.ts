import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { allocateMemory } from '#platform/host/memory.ts';
import { receiveMessage, sendMessage, socketPair } from '#platform/host/messages.ts';
import { closeSync } from 'node:fs';
import { executable } from '../starter/executable.ts';
import { assembleStandIn } from './code.ts';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tsvisor-stand-in-'));
  writeFileSync(join(scratch, 'stand-in'), executable(assembleStandIn()), { mode: 0o755 });
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const memory = allocateMemory(4096);

interface Running {
  readonly child: ChildProcess;
  readonly sentry: number;
  readonly ended: Promise<[number | null, string | null]>;
}

function start(): Running {
  const pair = socketPair();
  if (typeof pair === 'number') throw new Error(`${pair}`);
  const [sentry, theirs] = pair;
  const child = spawn(join(scratch, 'stand-in'), ['plain'], { stdio: ['ignore', 'ignore', 'ignore', theirs] });
  closeSync(theirs);
  const ended = new Promise<[number | null, string | null]>((done) => child.on('exit', (code, signal) => done([code, signal])));
  return { child, sentry, ended };
}

/** Until it waits for signals: before that they end it, as they would end any process that has not begun. */
async function ready({ child }: Running): Promise<void> {
  const blocked = () => /SigBlk:\s*(\w+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))?.[1] ?? '';
  while (!blocked().startsWith('f')) await new Promise((done) => setTimeout(done, 5));
}

function nextSignal(sentry: number): number {
  const { length } = receiveMessage(sentry, memory, 0, 16, null, 5000);
  return length === 4 ? memory.view.getUint32(0, true) : -1;
}

test('it ends with the status it is told', async () => {
  const running = start();
  memory.view.setUint32(0, 42, true);
  expect(sendMessage(running.sentry, memory, 0, 4, [])).toBe(4);
  expect(await running.ended).toEqual([42, null]);
  closeSync(running.sentry);
});

test('it ends with the status it is told although the sentry has left something unread', async () => {
  const running = start();
  await ready(running);
  running.child.kill('SIGUSR1');
  await new Promise((done) => setTimeout(done, 100));
  running.child.kill('SIGSTOP');
  memory.view.setUint32(0, 42, true);
  expect(sendMessage(running.sentry, memory, 0, 4, [])).toBe(4);
  // Closing a socket with something in its queue is an error at the other end, which comes before what that end has in its own.
  closeSync(running.sentry);
  running.child.kill('SIGCONT');
  expect(await running.ended).toEqual([42, null]);
});

test('it passes every signal on and survives it', async () => {
  const running = start();
  await ready(running);
  for (const [name, number] of [
    ['SIGTERM', 15],
    ['SIGHUP', 1],
    ['SIGWINCH', 28],
    ['SIGUSR1', 10],
  ] as const) {
    running.child.kill(name);
    expect(nextSignal(running.sentry)).toBe(number);
  }
  closeSync(running.sentry);
  expect(await running.ended).toEqual([137, null]);
});

test('SIGKILL ends it, and the sentry sees the connection end', async () => {
  const running = start();
  await ready(running);
  running.child.kill('SIGKILL');
  expect(await running.ended).toEqual([null, 'SIGKILL']);
  expect(receiveMessage(running.sentry, memory, 0, 16, null, 5000).length).toBe(0);
  closeSync(running.sentry);
});
