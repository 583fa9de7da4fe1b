/**
 * `--net=host`: guests' sockets are the host's. Servers and clients meet on the host's loopback interface; bulk transfers, many connections and killed clients
 * are in network-clients.test.ts.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { inBackground } from '../harness/background.ts';
import { expectSame, inScratch } from '../harness/expect-same.ts';
import { needsPrograms } from '../harness/needs-programs.ts';
import { hostNetwork } from '../harness/outside-networks.ts';
import { runInside, runNative } from '../harness/run.ts';

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
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const python = '/usr/bin/python3';

function inside(script: string) {
  return runInside([python, '-c', `import socket, sys, os, select, struct, time\n${script}`], { args: ['--net=host'], timeoutMs: 60_000 });
}

describe('from inside to outside', () => {
  test('curl fetches from a server of the host', async (context) => {
    needsPrograms(context, 'curl');
    const port = await listen(createServer((socket) => socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nfrom outside\n'))));
    const outcome = await runInside(['curl', '-s', `http://127.0.0.1:${port}/`], { args: ['--net=host'] });
    expect(outcome.stdout).toBe('from outside\n');
  });

  test('200 connections at once, each with its own bytes', async () => {
    const port = await listen(createServer((socket) => socket.pipe(socket)));
    const outcome = await inside(`
c = [socket.create_connection(('127.0.0.1', ${port})) for i in range(200)]
for i, s in enumerate(c): s.sendall(b'%d' % i)
print(sum(int(s.recv(10)) for s in c))`);
    expect(outcome.stdout).toBe(`${(199 * 200) / 2}\n`);
  });

  test('UDP: to an address, connected, and the news that nobody listens', async () => {
    const server = createSocket('udp4');
    server.on('message', (message, from) => server.send(`${message.length}`, from.port, from.address));
    await new Promise<void>((done) => server.bind(0, '127.0.0.1', done));
    const { port } = server.address();
    const answers = inside(`
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for size in (0, 1, 1400, 65507):
  u.sendto(bytes(size), ('127.0.0.1', ${port}))
  data, peer = u.recvfrom(100)
  print(data.decode(), peer[1] == ${port})
try: u.sendto(bytes(65508), ('127.0.0.1', ${port}))
except OSError as e: print(e.strerror)
u.connect(('127.0.0.1', ${port}))
u.send(b'abc')
print(u.recv(100).decode())
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.bind(('127.0.0.1', 0))
free = v.getsockname()
v.close()
w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
w.connect(free)
w.send(b'x')
try: w.recv(1)
except ConnectionRefusedError: print('refused')`);
    const outcome = await answers;
    await new Promise<void>((done) => server.close(() => done()));
    expect(outcome.stdout).toBe('0 True\n1 True\n1400 True\n65507 True\nMessage too long\n3\nrefused\n');
  });

  test('a port that nobody listens on, waiting for it and not', async () => {
    const outcome = await inside(`
s = socket.socket()
s.bind(('127.0.0.1', 0))
free = s.getsockname()
s.close()
print(socket.socket().connect_ex(free))
t = socket.socket()
t.setblocking(False)
print(t.connect_ex(free))
select.select([], [t], [], 5)
print(t.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), t.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))`);
    expect(outcome.stdout).toBe('111\n115\n111 0\n');
  });

  test('a peer that does not read slows the guest down, and a reset is one', async () => {
    let code = '';
    const port = await listen(
      createServer((socket) => {
        socket.pause();
        socket.on('error', (error) => (code = (error as NodeJS.ErrnoException).code ?? ''));
        setTimeout(() => socket.resume(), 500);
      }),
    );
    const outcome = await inside(`
s = socket.create_connection(('127.0.0.1', ${port}))
s.setblocking(False)
sent = 0
try:
  while True: sent += s.send(bytes(1 << 20))
except BlockingIOError: pass
print(0 < sent < 64 << 20)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.close()
time.sleep(0.2)`);
    expect(outcome.stdout).toBe('True\n');
    await expect.poll(() => code).toBe('ECONNRESET');
  });

  test('what an ordinary user may not have, a guest does not get, whatever it is inside', async () => {
    const outcome = await inside(`
def attempt(*a):
  try: socket.socket(*a); print('made')
  except OSError as e: print(e.errno)
attempt(socket.AF_INET, socket.SOCK_RAW, 1)
attempt(socket.AF_INET, socket.SOCK_DGRAM, 1)
attempt(socket.AF_PACKET, socket.SOCK_RAW, 0)
attempt(socket.AF_INET, socket.SOCK_STREAM, 132)
s = socket.socket()
for option in (26, 25, 36, 50):
  try: s.setsockopt(socket.SOL_SOCKET, option, bytes(16)); print('set')
  except OSError as e: print(e.errno)
print(os.system('ip link set lo down 2>/dev/null') != 0, os.system('ip addr add 10.9.8.7/24 dev lo 2>/dev/null') != 0)`);
    expect(outcome.stdout).toBe('1\n13\n1\n93\n92\n92\n92\n92\nTrue True\n');
  });

  test('wild pointers and lengths harm nobody, and lose nothing', async () => {
    const script = `
import ctypes, socket, time
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *a):
  n = getattr(libc, name)(*a)
  return n if n >= 0 else -ctypes.get_errno()
a, b = socket.socket(), socket.socket()
a.bind(('127.0.0.1', 0))
a.listen(1)
b.connect(a.getsockname())
c, _ = a.accept()
bad = ctypes.c_void_p(8)
print(call('bind', b.fileno(), bad, 16), call('bind', b.fileno(), b'x' * 200, 200), call('connect', b.fileno(), bad, -1))
print(call('send', b.fileno(), bad, 100, 0), call('setsockopt', b.fileno(), 6, 1, bad, 4))
b.send(b'kept')
time.sleep(0.05)
print(call('recv', c.fileno(), bad, 100, 0), c.recv(10))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(call('sendto', u.fileno(), b'x', 1, 0, b'\\x02', 1), call('sendto', u.fileno(), bad, 10, 0, b'\\2\\0\\0\\1\\x7f\\0\\0\\1' + bytes(8), 16))
print(call('getsockname', b.fileno(), bad, bad))`;
    await expectSame([python, '-c', script], { args: ['--net=host'] });
  });
});

describe('from outside to inside', () => {
  test('a web server inside', async (context) => {
    needsPrograms(context, 'curl', python);
    const script = `
import http.server, os
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
print('port', server.server_port, 'ready', flush=True)
server.serve_forever()`;
    const command = hostNetwork.command([python, '-c', script]);
    await using server = await inBackground(command, { ready: 'ready\n' });
    const port = /port (\d+)/.exec(server.output)![1]!;
    const outcome = await runNative(['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}\n', `http://127.0.0.1:${port}/etc/hostname`]);
    expect(outcome.stdout).toBe('200\n');
  });

  test('all of it goes with the sandbox', async () => {
    const script = `
import socket, time
s = socket.socket()
s.bind(('127.0.0.1', 0))
s.listen(1)
print('port', s.getsockname()[1], 'ready', flush=True)
s.accept()
time.sleep(100)`;
    const server = await inBackground(hostNetwork.command([python, '-c', script]), { ready: 'ready\n' });
    const port = Number(/port (\d+)/.exec(server.output)![1]);
    const client = connect(port, '127.0.0.1');
    await new Promise((done) => client.once('connect', done));
    const ended = new Promise((done) => client.once('close', done));
    client.on('error', () => undefined);
    client.resume();
    await server[Symbol.asyncDispose]();
    await ended;
    // The helper learns of it a moment later.
    await expect.poll(() => outcomeOf(port)).toBe('ECONNREFUSED');
  });
});

/** What becomes of a connection to a port of the host. */
async function outcomeOf(port: number): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1');
  const outcome = await new Promise<string | undefined>((done) => {
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code));
    socket.once('connect', () => done('connected'));
  });
  socket.destroy();
  return outcome;
}

test('rules, published ports and captures are refused: there is nothing that they could hold for', async () => {
  await inScratch(async (directory) => {
    for (const option of ['--net-allow=1.1.1.1', '--net-deny=1.1.1.1', '--publish=1024:80', `--pcap=${join(directory, 'p')}`]) {
      const outcome = await runInside(['true'], { args: ['--net=host', option] });
      expect([outcome.status === 0, outcome.stderr]).toEqual([false, expect.stringContaining(option.split('=')[0]!)]);
    }
  });
});
