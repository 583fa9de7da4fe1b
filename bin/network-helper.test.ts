/**
 * The real network helper process, started as the command starts it: confined, obedient to its rules, and nobody's way out.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EACCES, EBADF, EFAULT, EINPROGRESS, EINVAL, ENOPROTOOPT, ENOSYS, EPROTO } from '#sentry/abi/errno.ts';
import { Reader, Writer } from '#gofer/protocol/codec.ts';
import * as sockets from '#gofer/protocol/host-socket-messages.ts';
import { replyErrno, writeHeader, messageTag, messageType } from '#gofer/protocol/header.ts';
import { HEADER_SIZE, REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import type { Message } from '#gofer/protocol/messages.ts';
import { Arrival, Claim, NetworkHello, OpenFlow, Resolve } from '#gofer/protocol/network-messages.ts';
import type { NetworkConfig } from '#gofer/network/config.ts';
import { parseAddress } from '#sentry/netstack/address.ts';
import { createHost } from '#platform/host/host.ts';
import { socketPair } from '#platform/host/messages.ts';

const host = createHost({});
const memory = host.allocate(2 * 65_536);
const writer = new Writer();
const reader = new Reader();
const descriptors = new Int32Array(8);
const ASKER = { pid: 12, command: 'curl' };
const LOOPBACK = words('127.0.0.1');
const REPLY_AT = 65_536;
const NO_RULES: NetworkConfig = { allow: [], deny: [], published: [], serves: 'flows', hasReport: false };

let children: ChildProcess[] = [];
let servers: { close(): unknown }[] = [];
let directory: string;

beforeEach(() => {
  children = [];
  servers = [];
  directory = mkdtempSync(join(tmpdir(), 'network-test-'));
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true, force: true });
});

function words(text: string): { w0: number; w1: number; w2: number; w3: number } {
  const { w0, w1, w2, w3 } = parseAddress(text)!;
  return { w0: w0 >>> 0, w1: w1 >>> 0, w2: w2 >>> 0, w3: w3 >>> 0 };
}

/** Lets this process's own servers act between looks at the socket. */
async function patiently<T>(look: () => T | null): Promise<T> {
  for (let i = 0; i < 500; i++) {
    const found = look();
    if (found !== null) return found;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error('nothing came');
}

interface Came {
  readonly type: number;
  readonly tag: number;
  readonly errno: number;
  readonly length: number;
  readonly fd: number;
}

class Helper {
  readonly child: ChildProcess;
  readonly socket: number;

  constructor(config: NetworkConfig, report = -1) {
    const [ours, theirs] = socketPair() as readonly [number, number];
    this.socket = ours;
    const program = join(import.meta.dirname, 'network-main.ts');
    this.child = spawn(process.execPath, ['--disable-sigusr1', program], { stdio: ['ignore', 'ignore', 'inherit', theirs], env: {} });
    children.push(this.child);
    host.close(theirs);
    const text = Buffer.from(JSON.stringify(config));
    memory.bytes.set(text);
    host.send(ours, memory, 0, text.length, report < 0 ? [] : [report]);
  }

  post<Q>(message: Message<Q, unknown>, request: Q, tag = 1): void {
    writer.begin(memory, HEADER_SIZE, 60_000);
    message.request.write(writer, request);
    writeHeader(memory, 0, writer.at, message.type, tag);
    host.send(this.socket, memory, 0, writer.at);
  }

  async next(): Promise<Came> {
    return patiently(() => {
      const length = host.receive(this.socket, memory, REPLY_AT, 65_000, descriptors, 0);
      if (length === -11) return null;
      if (length <= 0) throw new Error(`the helper is gone (${length})`);
      const fd = host.receivedDescriptors > 0 ? descriptors[0]! : -1;
      reader.begin(memory, REPLY_AT + REPLY_HEADER_SIZE, length - REPLY_HEADER_SIZE);
      const type = messageType(memory, REPLY_AT);
      return { type, tag: messageTag(memory, REPLY_AT), errno: replyErrno(memory, REPLY_AT), length, fd };
    });
  }

  async hello(): Promise<{ problem: string; report: readonly string[] }> {
    const { type, errno } = await this.next();
    if (type !== (NetworkHello.type | REPLY) || errno !== 0) throw new Error('that is no hello');
    return NetworkHello.reply.read(reader);
  }

  async open(protocol: number, address: string, port: number): Promise<Came> {
    this.post(OpenFlow, { protocol, address: words(address), port, asker: ASKER });
    return this.next();
  }
}

async function echoServer(): Promise<number> {
  const server: Server = createServer((socket) => socket.pipe(socket));
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

/** Sends on a donated socket and reads what comes back. */
async function exchange(fd: number, text: string): Promise<string> {
  memory.writeLatin1(text, 0);
  await patiently(() => (host.write(fd, memory, 0, text.length) === text.length ? true : null));
  const length = await patiently(() => {
    const n = host.read(fd, memory, 0, 1000);
    return n === -11 ? null : n;
  });
  host.close(fd);
  return memory.latin1(0, Math.max(0, length));
}

describe('the network helper', () => {
  test('is confined before it says hello', async () => {
    const helper = new Helper(NO_RULES);
    const { problem, report } = await helper.hello();
    expect(problem).toBe('');
    expect(report.some((line) => line.startsWith("applied: seccomp filter 'network'"))).toBe(true);
    const status = readFileSync(`/proc/${helper.child.pid}/status`, 'latin1');
    expect(status).toMatch(/NoNewPrivs:\s+1/);
    expect(status).toMatch(/CapEff:\s+0000000000000000/);
    expect(status).toMatch(/Seccomp:\s+2/);
  });

  test('opens what its rules allow, and reports what they do not', async () => {
    const port = await echoServer();
    const file = join(directory, 'report');
    const report = openSync(file, 'a');
    const helper = new Helper({ ...NO_RULES, allow: [`127.0.0.1:${port}`], hasReport: true }, report);
    closeSync(report);
    await helper.hello();
    const flow = await helper.open(6, '127.0.0.1', port);
    expect(flow).toMatchObject({ type: OpenFlow.type | REPLY, tag: 1, errno: 0 });
    expect(OpenFlow.reply.read(reader).isByName).toBe(0);
    expect(await exchange(flow.fd, 'over there')).toBe('over there');
    expect(await helper.open(6, '127.0.0.1', port + 1)).toMatchObject({ errno: EACCES, fd: -1 });
    expect(await helper.open(17, '8.8.8.8', 53)).toMatchObject({ errno: EACCES, fd: -1 });
    const lines = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toMatchObject([
      { event: 'denied', what: 'tcp', address: '127.0.0.1', port: port + 1, pid: 12, command: 'curl', rule: null },
      { event: 'denied', what: 'udp', address: '8.8.8.8', port: 53 },
    ]);
  });

  test('resolves, binds, and judges claims', async () => {
    const port = await echoServer();
    const helper = new Helper({ ...NO_RULES, allow: ['127.0.0.1', '*.localhost'] });
    await helper.hello();
    const question = Buffer.from([0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 9, ...Buffer.from('localhost'), 0, 0, 1, 0, 1]);
    helper.post(Resolve, { isStream: 0, question: question.toString('latin1'), asker: ASKER }, 5);
    expect(await helper.next()).toMatchObject({ type: Resolve.type | REPLY, tag: 5, errno: 0 });
    const { answer } = Resolve.reply.read(reader);
    expect(answer.endsWith('\x7f\x00\x00\x01')).toBe(true);
    helper.post(Resolve, { isStream: 0, question: 'no question', asker: ASKER }, 6);
    expect(await helper.next()).toMatchObject({ tag: 6, errno: EPROTO });
    helper.post(Claim, { address: LOOPBACK, port, name: 'anything.example', asker: ASKER }, 7);
    expect(await helper.next()).toMatchObject({ tag: 7, errno: 0 });
    helper.post(Claim, { address: words('192.0.2.9'), port, name: 'a.localhost', asker: ASKER }, 8);
    expect(await helper.next()).toMatchObject({ tag: 8, errno: EACCES });
  });

  test('gives published connections and datagrams away', async () => {
    const free = await echoServer();
    for (const server of servers.splice(0)) server.close();
    const published = [6, 17].map((protocol) => ({ address: '127.0.0.1', port: free, guestPort: 80, protocol }));
    const helper = new Helper({ ...NO_RULES, published });
    await helper.hello();
    const client = connect(free, '127.0.0.1');
    client.write('hello');
    const arrived = await helper.next();
    expect(arrived.type).toBe(Arrival.type | REPLY);
    expect(Arrival.reply.read(reader)).toMatchObject({ published: 0, address: LOOPBACK, datagram: '' });
    expect(await patiently(() => (host.read(arrived.fd, memory, 0, 100) === 5 ? memory.latin1(0, 5) : null))).toBe('hello');
    host.close(arrived.fd);
    client.destroy();
    const peer = createSocket('udp4');
    servers.push(peer);
    const replied = new Promise<string>((done) => peer.on('message', (message) => done(message.toString())));
    peer.send('first', free, '127.0.0.1');
    const datagram = await helper.next();
    expect(Arrival.reply.read(reader)).toMatchObject({ published: 1, datagram: 'first' });
    memory.writeLatin1('back', 0);
    expect(host.write(datagram.fd, memory, 0, 4)).toBe(4);
    expect(await replied).toBe('back');
    peer.send('second', free, '127.0.0.1');
    expect(await patiently(() => (host.read(datagram.fd, memory, 0, 100) === 6 ? memory.latin1(0, 6) : null))).toBe('second');
    host.close(datagram.fd);
  });

  test('says what it cannot do', async () => {
    const port = await echoServer();
    const helper = new Helper({ ...NO_RULES, published: [{ address: '127.0.0.1', port, guestPort: 80, protocol: 6 }] });
    expect((await helper.hello()).problem).toContain(`cannot listen on 127.0.0.1 port ${port} (EADDRINUSE)`);
  });

  test('answers nonsense with errors, and leaves when it is not even framed', async () => {
    const helper = new Helper(NO_RULES);
    await helper.hello();
    expect(await helper.open(99, '1.1.1.1', 1)).toMatchObject({ errno: EINVAL });
    expect(await helper.open(6, '1.1.1.1', 0)).toMatchObject({ errno: EINVAL });
    writeHeader(memory, 0, HEADER_SIZE + 1, OpenFlow.type, 3);
    host.send(helper.socket, memory, 0, HEADER_SIZE + 1);
    expect(await helper.next()).toMatchObject({ errno: EPROTO, tag: 3 });
    const gone = new Promise((done) => helper.child.on('exit', done));
    host.send(helper.socket, memory, 0, 3);
    expect(await gone).toBe(0);
  });
});

describe('the helper that keeps sockets of guests', () => {
  const SOCKETS: NetworkConfig = { ...NO_RULES, serves: 'sockets' };

  /** One question of the fixed shape, and its answer with the value. */
  async function ask(helper: Helper, type: number, handle: number, a: number, b: number, bytes = ''): Promise<Came & { value: number }> {
    writeHeader(memory, 0, sockets.REQUEST_BYTES_AT + bytes.length, type, 1);
    memory.view.setUint32(sockets.HANDLE_AT, handle, true);
    memory.view.setInt32(sockets.A_AT, a, true);
    memory.view.setInt32(sockets.B_AT, b, true);
    memory.writeLatin1(bytes, sockets.REQUEST_BYTES_AT);
    host.send(helper.socket, memory, 0, sockets.REQUEST_BYTES_AT + bytes.length);
    const came = await helper.next();
    return { ...came, value: memory.view.getUint32(REPLY_AT + sockets.VALUE_AT, true) };
  }

  const sockaddr = (port: number): string => `\x02\0${String.fromCharCode(port >> 8, port & 255)}\x7f\0\0\x01${'\0'.repeat(8)}`;

  test('makes one, connects it, and gives it away', async () => {
    const port = await echoServer();
    const helper = new Helper(SOCKETS);
    const { report } = await helper.hello();
    expect(report.some((line) => line.includes('seccomp'))).toBe(true);
    const { value, fd, errno } = await ask(helper, sockets.SOCKET, 0, 2, 1);
    expect([errno, value, fd >= 0]).toEqual([0, 1, true]);
    expect((await ask(helper, sockets.CONNECT, value, 0, 0, sockaddr(port))).errno).toBe(EINPROGRESS);
    expect(await exchange(fd, 'through the host')).toBe('through the host');
    expect((await ask(helper, sockets.CLOSE, value, 0, 0)).errno).toBe(0);
    expect((await ask(helper, sockets.NAME, value, 0, 0)).errno).toBe(EBADF);
  });

  test('refuses what no guest may have, and answers nonsense with errors', async () => {
    const helper = new Helper(SOCKETS);
    await helper.hello();
    for (const [domain, type] of [
      [17, 3],
      [2, 3],
      [1, 1],
      [16, 3],
    ]) {
      expect((await ask(helper, sockets.SOCKET, 0, domain!, type!)).errno).toBe(EINVAL);
    }
    const { value, fd } = await ask(helper, sockets.SOCKET, 0, 2, 1);
    host.close(fd);
    // The process's own descriptors are no handles.
    for (const handle of [0, 2, 3, 4, 99]) expect((await ask(helper, sockets.CONNECT, handle, 0, 0, sockaddr(1))).errno).toBe(EBADF);
    expect((await ask(helper, sockets.BIND, value, 0, 0, 'x'.repeat(129))).errno).toBe(EINVAL);
    expect((await ask(helper, sockets.SET_OPTION, value, 1, 26, 'x'.repeat(16))).errno).toBe(ENOPROTOOPT);
    expect((await ask(helper, sockets.SET_OPTION, value, 1, 13, '\x01\0\0\0\x05\0\0\0')).errno).toBe(EINVAL);
    expect((await ask(helper, sockets.SEND, value, 0, 17, 'short')).errno).toBe(EFAULT);
    expect((await ask(helper, sockets.SEND, value, 0, -1, 'short')).errno).toBe(EFAULT);
    expect((await ask(helper, 99, value, 0, 0)).errno).toBe(ENOSYS);
    const gone = new Promise((done) => helper.child.on('exit', done));
    host.send(helper.socket, memory, 0, 3);
    expect(await gone).toBe(0);
  });
});
