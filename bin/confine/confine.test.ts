/**
 * The real processes: a gofer started as the command starts it, and a process that confines itself as the sentry does, both looked at from
 * outside through /proc. Run as root the same tests are made for an ordinary user too.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, chmodSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { O_RDONLY, O_RDWR } from '#sentry/abi/fs.ts';
import { Attach, Create, Open, Walk } from '#gofer/protocol/messages.ts';
import { createHost } from '#platform/host/host.ts';
import { socketPair } from '#platform/host/messages.ts';
import { GoferConnection } from '#sentry/fs/gofer/connection.ts';

const top = join(import.meta.dirname, '../..');
const host = createHost({});
const isRoot = process.getuid!() === 0;
const STRANGER = 54_321;

interface User {
  readonly name: string;
  readonly ids: { readonly uid?: number; readonly gid?: number };
}

function othersMayRead(): boolean {
  return (
    spawnSync(process.execPath, ['-e', `require('fs').readFileSync(${JSON.stringify(join(top, 'bin/gofer-main.ts'))})`], {
      uid: STRANGER,
      gid: STRANGER,
    }).status === 0
  );
}

const users: readonly User[] = isRoot
  ? [{ name: 'root', ids: {} }, ...(othersMayRead() ? [{ name: 'an ordinary user', ids: { uid: STRANGER, gid: STRANGER } }] : [])]
  : [{ name: 'an ordinary user', ids: {} }];

let root: string;
let children: ChildProcess[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'confine-test-'));
  chmodSync(root, 0o777);
  writeFileSync(join(root, 'file'), 'hello');
  children = [];
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

interface Started {
  readonly connection: GoferConnection;
  readonly socket: number;
  readonly child: ChildProcess;
  readonly lost: string[];
}

function startGofer({ ids }: User, readOnly = false): Started {
  const pair = socketPair();
  if (typeof pair === 'number') throw new Error('no socket pair');
  const config = JSON.stringify({ mounts: [{ path: root, readOnly }], socket: 3 });
  const child = spawn(process.execPath, ['--disable-sigusr1', join(top, 'bin/gofer-main.ts'), config], {
    stdio: ['ignore', 'ignore', 'inherit', pair[1]],
    env: {},
    ...ids,
  });
  children.push(child);
  host.close(pair[1]);
  const lost: string[] = [];
  return { connection: new GoferConnection(host, pair[0], (reason) => lost.push(reason)), socket: pair[0], child, lost };
}

function status(pid: number): Readonly<Record<string, string>> {
  const lines = readFileSync(`/proc/${pid}/status`, 'latin1').split('\n');
  return Object.fromEntries(
    lines.filter((line) => line.includes(':')).map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]),
  );
}

const ended = (child: ChildProcess): Promise<number | null> => new Promise((done) => child.on('exit', (code) => done(code)));

describe.each(users)('a gofer of $name', (user) => {
  test('is confined before it takes a message', () => {
    const { connection, child } = startGofer(user, true);
    expect(connection.awaitHello()).toBe(true);
    const seen = status(child.pid!);
    expect(seen).toMatchObject({ NoNewPrivs: '1', Seccomp: '2' });
    const privileged = user.ids.uid === undefined && isRoot;
    // Reading everything is all that a read-only root takes.
    expect(seen['CapEff']).toBe(privileged ? '0000000000000004' : '0000000000000000');
    expect(Number(seen['Uid']!.split('\t')[0]) > 0x7000_0000).toBe(privileged);
    expect(connection.hello.report.some((line) => line.startsWith('not applied'))).toBe(!privileged);
    expect(connection.hello.report.some((line) => line.includes('seccomp'))).toBe(true);
  });

  test('serves, and ends when its socket is closed', async () => {
    const { connection, child, socket } = startGofer(user);
    expect(connection.awaitHello()).toBe(true);
    expect(connection.ask(Attach, { mount: 0, fid: 1 })).not.toBe(null);
    expect(connection.ask(Open, { fid: 1, newFid: 0, names: ['file'], flags: O_RDONLY })?.attributes.size).toBe(5);
    expect(
      connection.ask(Create, { directory: 1, name: 'new', newFid: 0, flags: O_RDWR, mode: 0o600, uid: 7, gid: 7 })?.attributes.uid,
    ).toBe(user.ids.uid ?? (isRoot ? 7 : process.getuid!()));
    expect(connection.ask(Walk, { fid: 1, newFid: 0, names: ['none'] })?.stop).toBe(2);
    const end = ended(child);
    host.close(connection.takeDescriptor());
    host.close(socket);
    expect(await end).toBe(0);
  });

  test('hangs up on garbage', async () => {
    const { connection, child, socket, lost } = startGofer(user);
    expect(connection.awaitHello()).toBe(true);
    const end = ended(child);
    const memory = host.allocate(4096);
    host.send(socket, memory, 0, 3);
    expect(await end).toBe(0);
    expect(connection.ask(Attach, { mount: 0, fid: 1 })).toBe(null);
    expect(lost.length).toBe(1);
    host.close(socket);
  });
});

const ATTEMPTS = `
const attempts = {
  open: () => fs.readFileSync('/etc/passwd'),
  openRelative: () => fs.openSync('file', 'r'),
  write: () => fs.writeFileSync('/tmp/confine-escape', ''),
  spawn: () => { const { error } = child.spawnSync('/bin/true'); if (error) throw error; },
  chmod: () => fs.chmodSync('/etc/passwd', 0o644),
  // Linux x86-64: socket, setresuid, unshare(CLONE_NEWNS), io_uring_setup, ptrace(PTRACE_SEIZE).
  socket: () => must(systemCall(41, 2, 1, 0)),
  // A socket of the kind that the network helper gives away, unconnected: connect, sendto with an address, sendmsg, a SYN with data (MSG_FASTOPEN).
  connect: () => must(systemCall(42, given, address, 16)),
  sendTo: () => must(systemCall(44, given, address, 1, 0x4000, address)),
  sendMessage: () => must(systemCall(46, given, header, 0x4000)),
  fastOpen: () => must(systemCall(44, given, address, 1, 0x2000_4000, address)),
  bind: () => must(systemCall(49, given, address, 16)),
  setuid: () => must(systemCall(117, 0, 0, 0)),
  unshare: () => must(systemCall(272, 0x20000)),
  ioUring: () => must(systemCall(425, 8, 0)),
  seize: () => must(systemCall(101, 0x4206, process.ppid, 0, 0)),
  signal: () => must(systemCall(62, process.ppid, 0)),
};
const done = [];
for (const [name, attempt] of Object.entries(attempts)) { try { attempt(); done.push(name); } catch {} }
// Directly: a stream would have to make calls of its own.
fs.writeSync(1, JSON.stringify({ succeeded: done, lines: report.lines(), uid }));
leaveIfConfined(7);
`;

test.each(users)('a sentry of $name can do none of what it should not', ({ ids, name }) => {
  const script = join(root, 'sentry.mts');
  writeFileSync(
    script,
    `
import fs from 'node:fs';
import child from 'node:child_process';
const { isolateSentry, confineSentry, leaveIfConfined } = await import(${JSON.stringify(join(top, 'bin/confine/sentry.ts'))});
const { systemCall } = await import(${JSON.stringify(join(top, 'platform/host/setup-calls.ts'))});
const { allocateMemory } = await import(${JSON.stringify(join(top, 'platform/host/memory.ts'))});
const memory = allocateMemory(4096);
const address = memory.address;
memory.view.setUint16(0, 2, true); // AF_INET, port 9, 127.0.0.1
memory.view.setUint16(2, 9);
memory.view.setUint32(4, 0x7f000001);
const header = address + 1024; // struct msghdr with that address and no data
memory.view.setUint32(1024, address % 2 ** 32, true);
memory.view.setUint32(1028, Math.floor(address / 2 ** 32), true);
memory.view.setUint32(1032, 16, true);
const must = (result) => { if (result < 0) throw new Error('refused'); };
const given = systemCall(41, 2, 2, 0);
must(given);
must(systemCall(46, given, header, 0x4000)); // works before
isolateSentry();
const uid = process.getuid();
const report = confineSentry();
${ATTEMPTS}`,
  );
  const run = spawnSync(process.execPath, ['--disable-sigusr1', script], { cwd: root, env: {}, ...ids });
  expect(run.stderr.toString()).toBe('');
  const result = JSON.parse(run.stdout.toString()) as { succeeded: string[]; lines: string[]; uid: number };
  expect(result.succeeded).toEqual([]);
  expect(run.status).toBe(7);
  expect(result.lines.some((line) => line.startsWith("applied: seccomp filter 'sentry'"))).toBe(true);
  expect(result.uid > 0x7000_0000).toBe(name === 'root');
  expect(result.lines.some((line) => line.startsWith('not applied'))).toBe(name !== 'root');
  expect(() => accessSync('/tmp/confine-escape', constants.F_OK)).toThrow();
});
