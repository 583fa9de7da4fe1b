/**
 * `--net=user`: what a guest reaches, what it does not, and what reaches it. The world outside is made by the test on the host's loopback, which is the
 * gateway's address inside (10.0.2.2) and needs a rule of its own.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { inScratch } from '../harness/expect-same.ts';
import { insideCommand, plainEnvironment, runInside } from '../harness/run.ts';

let closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers) await close();
  closers = [];
});

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Runs python inside with rules for the ports given. */
function python(script: string, ports: readonly number[], args: readonly string[] = []) {
  const rules = ports.flatMap((port) => ['--net-allow', `127.0.0.1:${port}`]);
  return runInside(['python3', '-c', `import socket, sys, os, hashlib\n${script}`], {
    args: ['--net=user', ...rules, ...args],
    timeoutMs: 60_000,
  });
}

/** A free port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

const big = Buffer.alloc(20 << 20);
for (let i = 0; i < big.length; i += 4) big.writeInt32LE(Math.imul(i, 0x9e3779b1) ^ i, i);
const bigHash = createHash('sha256').update(big).digest('hex');

describe('from inside to outside', () => {
  test('20 MB each way arrive as they were, and each way ends by itself', async () => {
    const hash = createHash('sha256');
    const down = await listen(createServer((socket) => socket.end(big)));
    const up = await listen(
      createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('data', (data) => hash.update(data));
        socket.on('end', () => socket.end('all here'));
      }),
    );
    const outcome = await python(
      `
s = socket.create_connection(('10.0.2.2', ${down}))
data = b''.join(iter(lambda: s.recv(1 << 20), b''))
print(hashlib.sha256(data).hexdigest())
t = socket.create_connection(('10.0.2.2', ${up}))
t.sendall(data)
t.shutdown(socket.SHUT_WR)
print(t.recv(100).decode())`,
      [down, up],
    );
    expect(outcome.stdout).toBe(`${bigHash}\nall here\n`);
    expect(hash.digest('hex')).toBe(bigHash);
  });

  test('a peer that does not read slows the guest down, and a reset is one on both sides', async () => {
    const ended = new Promise<string>((done) => {
      void listen(
        createServer((socket) => {
          socket.pause();
          socket.on('error', (error) => done((error as NodeJS.ErrnoException).code ?? ''));
          setTimeout(() => socket.resume(), 500);
        }),
      ).then(async (port) => {
        const outcome = await python(
          `
import struct
s = socket.create_connection(('10.0.2.2', ${port}))
s.setblocking(False)
sent = 0
try:
    while True: sent += s.send(bytes(1 << 16))
except BlockingIOError: pass
print(sent < 64 << 20)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.close()
import time
time.sleep(1)`,
          [port],
        );
        expect(outcome.stdout).toBe('True\n');
      });
    });
    expect(await ended).toBe('ECONNRESET');
  });

  test('what the peer resets is reset inside', async () => {
    const port = await listen(createServer((socket) => socket.on('data', () => socket.resetAndDestroy())));
    const outcome = await python(
      `
s = socket.create_connection(('10.0.2.2', ${port}))
s.send(b'x')
try: print(s.recv(1))
except ConnectionResetError: print('reset')`,
      [port],
    );
    expect(outcome.stdout).toBe('reset\n');
  });

  test('300 connections at once', async () => {
    const port = await listen(createServer((socket) => socket.pipe(socket)));
    const outcome = await python(
      `
c = [socket.create_connection(('10.0.2.2', ${port})) for i in range(300)]
for i, s in enumerate(c): s.sendall(b'%d' % i)
print(sum(int(s.recv(10)) for s in c))`,
      [port],
    );
    expect(outcome.stdout).toBe(`${(299 * 300) / 2}\n`);
  });

  test('UDP, and the news that nobody listens', async () => {
    const server = createSocket('udp4');
    server.on('message', (message, from) => server.send(`${message.length}`, from.port, from.address));
    await new Promise<void>((done) => server.bind(0, '127.0.0.1', done));
    closers.push(() => server.close());
    const { port } = server.address();
    const free = await freePort();
    const outcome = await python(
      `
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(10)
for n in (1, 1472, 9000, 60000):
    u.sendto(bytes(n), ('10.0.2.2', ${port}))
    print(u.recv(100).decode())
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.settimeout(10)
v.connect(('10.0.2.2', ${free}))
v.send(b'x')
try: v.recv(1)
except ConnectionRefusedError: print('refused')`,
      [port, free],
    );
    expect(outcome.stdout).toBe('1\n1472\n9000\n60000\nrefused\n');
  });
});

describe('rules', () => {
  test('what they do not allow is refused at once, and reported', async () => {
    const port = await listen(createServer());
    const free = await freePort();
    await inScratch(async (directory) => {
      const report = join(directory, 'report');
      const outcome = await python(
        `
for a in (('10.0.2.2', ${port}), ('10.0.2.2', ${free}), ('192.0.2.77', 80), ('169.254.169.254', 80)):
    try: socket.create_connection(a, 10)
    except OSError as e: print(type(e).__name__)`,
        [free],
        ['--report', report],
      );
      expect(outcome.stdout).toBe('ConnectionRefusedError\n'.repeat(4));
      const lines = readFileSync(report, 'utf8').trim().split('\n');
      expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
        { event: 'denied', what: 'tcp', address: '127.0.0.1', port, pid: expect.any(Number) as number, command: 'python3' },
        { address: '192.0.2.77', port: 80 },
        { address: '169.254.169.254', port: 80 },
      ]);
    });
  });

  test("names that are denied do not exist, and the host's loopback is not open by itself", async () => {
    const port = await listen(createHttpServer((_, response) => response.end('reached')));
    const outcome = await python(
      `
for f in (lambda: socket.getaddrinfo('x.denied.test', 80), lambda: socket.create_connection(('10.0.2.2', ${port}), 10)):
    try: print(f())
    except OSError as e: print(type(e).__name__)
print(open('/etc/resolv.conf').read().strip())
print(socket.gethostbyname('localhost'))`,
      [],
      ['--net-deny', '*.denied.test'],
    );
    expect(outcome.stdout).toBe('gaierror\nConnectionRefusedError\nnameserver 10.0.2.3\n127.0.0.1\n');
  });

  test('DNS by TCP', async () => {
    const question = String.raw`\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01`;
    const outcome = await python(
      `
s = socket.create_connection(('10.0.2.3', 53), 10)
q = b'${question}'
for i in range(2):
    s.sendall(len(q).to_bytes(2, 'big') + q)
    n = int.from_bytes(s.recv(2), 'big')
    print(list(s.recv(n)[-4:]))`,
      [],
    );
    expect(outcome.stdout).toBe('[127, 0, 0, 1]\n'.repeat(2));
  });
});

test('a published port leads inside', async () => {
  const port = await freePort();
  const [program, ...args] = insideCommand(
    [
      'python3',
      '-c',
      `import socket\ns = socket.create_server(('0.0.0.0', 80))\nprint('ready', flush=True)\nc, a = s.accept()\nc.sendall(a[0].encode() + b' says ' + c.recv(100))\nc.close()`,
    ],
    ['--net=user', '--publish', `${port}:80`],
  );
  const child: ChildProcess = spawn(program!, args, { env: plainEnvironment, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  closers.push(() => child.kill('SIGKILL'));
  await new Promise((done) => child.stdout!.once('data', done));
  const client = connect(port, '127.0.0.1');
  client.write('hello');
  const answer = await new Promise((done) => client.once('data', (data) => done(data.toString())));
  expect(answer).toBe('10.0.2.2 says hello');
  client.destroy();
});

test.for([
  [['--net', 'wire'], '--net'],
  [['--net=user', '--net-allow', '10.0.0.0/33'], '--net-allow'],
  [['--net=user', '--publish', '99999:1'], '--publish'],
  [['--publish', '80:80'], '--publish works with --net=user only'],
  [['--pcap', '/tmp/x'], '--pcap needs a link'],
] as const)('wrong usage: %j', async ([args, word]) => {
  const outcome = await runInside(['true'], { args });
  expect([2, 125]).toContain(outcome.status);
  expect(outcome.stderr).toContain(word);
});
