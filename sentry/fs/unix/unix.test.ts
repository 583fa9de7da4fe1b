import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EADDRINUSE, EAGAIN, ECONNREFUSED, ECONNRESET, EINVAL, EISCONN, EMSGSIZE, ENOTCONN, EPIPE, EPROTOTYPE } from '#sentry/abi/errno.ts';
import { POLLHUP, POLLOUT, POLLRDHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { MSG_PEEK, MSG_TRUNC, SHUT_WR, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from '#sentry/abi/socket.ts';
import { KernelIo } from '../../mm/io.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { Bench, Listener } from '../anonymous/testing.ts';
import { EventFile } from '../eventfd/event-file.ts';
import type { SocketCaller } from '../socket/socket.ts';
import { Incoming, Outgoing } from '../socket/transfer.ts';
import { UnixFamily } from './unix-family.ts';
import type { UnixSocket } from './unix-socket.ts';

class Net extends Bench {
  readonly family = new UnixFamily(this.files);
  readonly who = this.caller as unknown as SocketCaller;
  readonly into = new Incoming();

  constructor() {
    super(new FakeHost());
  }

  socket(type: number): UnixSocket {
    return this.family.create(type, 0, 0, this.who) as UnixSocket;
  }

  pair(type: number): readonly [UnixSocket, UnixSocket] {
    return this.family.createPair(type, 0, 0, this.who) as readonly [UnixSocket, UnixSocket];
  }

  send(socket: UnixSocket, text: string, rights: FileDescription[] | null = null, to = ''): number {
    const outgoing = Object.assign(new Outgoing(), { pid: 7, uid: 1, gid: 2, rights, address: to });
    return socket.send(this.source(text), outgoing, 0, this.who);
  }

  receive(socket: UnixSocket, length: number, flags = 0): string | number {
    this.into.reset();
    const n = socket.receive(new KernelIo(this.memory, 0, length), this.into, flags, this.who);
    return n < 0 ? n : this.memory.latin1(0, Math.min(n, length));
  }

  listener(name: string): UnixSocket {
    const server = this.socket(SOCK_STREAM);
    if (server.bind(name, this.who) < 0 || server.listen(1, this.who) < 0) throw new Error('not listening');
    return server;
  }
}

const NAME = '\x01\0\0name';

describe('stream', () => {
  test('is a stream in both directions', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_STREAM);
    expect(net.receive(b, 10)).toBe(-EAGAIN);
    expect(net.write(a, 'hello ')).toBe(6);
    expect(net.write(a, 'world')).toBe(5);
    expect(net.receive(b, 3, MSG_PEEK)).toBe('hel');
    expect(net.read(b, 100)).toBe('hello world');
    expect(net.write(b, 'back')).toBe(4);
    expect(net.read(a, 2)).toBe('ba');
    expect(net.read(a, 2)).toBe('ck');
    a.release();
    expect(b.poll() & (POLLHUP | POLLRDHUP)).toBe(POLLHUP | POLLRDHUP);
    expect(net.read(b, 1)).toBe('');
    expect(net.write(b, 'x')).toBe(-EPIPE);
    b.release();
    expect(net.files.pages.inUse).toBe(0);
  });

  test('bounds what is on its way, and tells when there is room', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_STREAM);
    const sent = net.write(a, 'x'.repeat(1_000_000));
    expect(sent).toBe(219_264); // as on Linux with the default SO_SNDBUF
    expect(net.write(a, 'x'.repeat(100_000))).toBe(-EAGAIN);
    expect(a.poll() & POLLOUT).toBe(0);
    const room = new Listener(a.queue, WRITABLE);
    let total = 0;
    for (let n = net.read(b, 50_000); typeof n === 'string'; n = net.read(b, 50_000)) total += n.length;
    expect(total).toBe(sent);
    expect(room.count).toBeGreaterThan(0);
    expect(a.charged).toBe(0);
  });

  test('half a shutdown', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_STREAM);
    net.write(a, 'last');
    a.shutdown(SHUT_WR);
    expect(net.write(a, 'x')).toBe(-EPIPE);
    expect(net.read(b, 10)).toBe('last');
    expect(net.read(b, 10)).toBe('');
    expect(net.write(b, 'still')).toBe(5);
    expect(net.read(a, 10)).toBe('still');
  });

  test('unread bytes reset the connection', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_STREAM);
    net.write(a, 'unread');
    b.release();
    expect(net.read(a, 1)).toBe(-ECONNRESET);
    expect(net.read(a, 1)).toBe('');
  });
});

describe('connections', () => {
  test('are made through a listener', () => {
    const net = new Net();
    const client = net.socket(SOCK_STREAM);
    expect(client.connect(NAME, net.who)).toBe(-ECONNREFUSED);
    expect(net.read(client, 1)).toBe(-EINVAL);
    const server = net.listener(NAME);
    expect(net.socket(SOCK_STREAM).bind(NAME, net.who)).toBe(-EADDRINUSE);
    expect(net.socket(SOCK_DGRAM).connect(NAME, net.who)).toBe(-EPROTOTYPE);
    expect(server.accept(0, net.who)).toBe(-EAGAIN);
    const seen = new Listener(server.queue, READABLE);
    expect(client.connect(NAME, net.who)).toBe(0);
    expect(client.connect(NAME, net.who)).toBe(-EISCONN);
    expect(seen.count).toBe(1);
    expect(net.write(client, 'early')).toBe(5);
    const end = server.accept(0, net.who) as UnixSocket;
    expect(net.read(end, 10)).toBe('early');
    expect(client.peerAddress()).toBe(NAME);
    expect(end.peerAddress()).toBe('\x01\0');
    expect(end.peerCredentials).toMatchObject({ pid: 7, uid: 0 });
    server.release();
    end.release();
    expect(net.socket(SOCK_STREAM).bind(NAME, net.who)).toBe(0);
  });

  test('wait beyond the backlog, and are reset when the listener goes', () => {
    const net = new Net();
    const server = net.listener(NAME);
    const clients = [0, 1, 2].map(() => net.socket(SOCK_STREAM));
    expect(clients.map((client) => client.connect(NAME, net.who))).toEqual([0, 0, -EAGAIN]);
    const room = new Listener(clients[2]!.waitQueue, WRITABLE);
    (server.accept(0, net.who) as UnixSocket).release();
    expect(room.count).toBe(1);
    server.release();
    expect(net.read(clients[1]!, 1)).toBe(-ECONNRESET);
    expect(clients[2]!.connect(NAME, net.who)).toBe(-ECONNREFUSED);
  });

  test('autobind gives five digits', () => {
    const net = new Net();
    const socket = net.socket(SOCK_STREAM);
    expect(socket.bind('\x01\0', net.who)).toBe(0);
    const name = socket.localAddress();
    expect(name.slice(0, 3)).toBe('\x01\0\0');
    expect(name.slice(3)).toMatch(/^[0-9a-f]{5}$/u);
  });
});

describe('datagrams', () => {
  test('keep their boundaries', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_DGRAM);
    for (const text of ['0123456789', '', 'next']) expect(net.send(a, text)).toBe(text.length);
    expect(net.receive(b, 4, MSG_PEEK)).toBe('0123');
    expect(net.receive(b, 4)).toBe('0123');
    expect(net.into.flags).toBe(MSG_TRUNC);
    expect(net.receive(b, 10)).toBe('');
    expect(net.receive(b, 10)).toBe('next');
    expect(net.send(a, 'x'.repeat(300_000))).toBe(-EMSGSIZE);
  });

  test('go by name, tell their sender, and queue a few', () => {
    const net = new Net();
    const [from, to] = [net.socket(SOCK_DGRAM), net.socket(SOCK_DGRAM)];
    expect(net.send(from, 'x')).toBe(-ENOTCONN);
    expect(net.send(from, 'x', null, NAME)).toBe(-ECONNREFUSED);
    from.bind('\x01\0\0from', net.who);
    to.bind(NAME, net.who);
    expect(net.send(from, 'x', null, NAME)).toBe(1);
    expect(net.receive(to, 1)).toBe('x');
    expect(net.into.address).toBe('\x01\0\0from');
    expect(from.connect(NAME, net.who)).toBe(0);
    let queued = 0;
    while (net.send(from, 'y') === 1) queued++;
    expect(queued).toBe(11);
    expect(from.poll() & WRITABLE).toBe(0);
    const room = new Listener(from.queue, WRITABLE);
    net.receive(to, 1);
    expect(room.count).toBeGreaterThan(0);
    to.release();
    expect(net.send(from, 'z')).toBe(-ECONNREFUSED);
    expect(net.send(from, 'z')).toBe(-ENOTCONN);
  });

  test('in sequence', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_SEQPACKET);
    net.send(a, 'one');
    net.send(a, 'two');
    expect(net.receive(b, 2)).toBe('on');
    expect(net.receive(b, 10)).toBe('two');
    a.release();
    expect(net.receive(b, 10)).toBe('');
    expect(net.send(b, 'x')).toBe(-EPIPE);
  });
});

describe('files in flight', () => {
  test('arrive, and end a read', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_STREAM);
    const file = new EventFile(net.files, 0, 0);
    net.send(a, 'plain');
    expect(net.send(a, 'with', [file.acquire()])).toBe(4);
    net.send(a, 'after');
    expect(net.receive(b, 100)).toBe('plainwith');
    expect(net.into.rights).toEqual([file]);
    expect(net.receive(b, 100)).toBe('after');
    expect(file.referenceCount).toBe(2);
  });

  test('are let go with the socket, and by read(2)', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_STREAM);
    const file = new EventFile(net.files, 0, 0);
    net.send(a, 'x', [file.acquire()]);
    net.read(b, 1);
    expect(file.referenceCount).toBe(1);
    net.send(a, 'x', [file.acquire(), file.acquire()]);
    b.release();
    expect(file.referenceCount).toBe(1);
  });

  test('circles are found', () => {
    const net = new Net();
    const file = new EventFile(net.files, 0, 0);
    for (let i = 0; i < 200; i++) {
      const [a, b] = net.pair(SOCK_STREAM);
      net.send(a, 'x', [a.acquire(), b.acquire(), file.acquire()]);
      net.send(b, 'y', [a.acquire(), b.acquire()]);
      a.release();
      b.release();
    }
    expect(file.referenceCount).toBeLessThan(100);
  });

  test('a reachable circle stays', () => {
    const net = new Net();
    const [a, b] = net.pair(SOCK_STREAM);
    const [c, d] = net.pair(SOCK_STREAM);
    net.send(a, 'c', [c.acquire()]);
    net.send(d, 'd', [d.acquire()]);
    c.release();
    d.release();
    for (let i = 0; i < 100; i++) {
      const [e, f] = net.pair(SOCK_STREAM);
      net.send(e, 'x', [e.acquire(), f.acquire()]);
      e.release();
      f.release();
    }
    expect(net.receive(b, 1)).toBe('c');
    expect(net.into.rights).toEqual([c]);
    expect(net.receive(c, 1)).toBe('d');
  });

  test('a long chain is closed without recursion', () => {
    const net = new Net();
    let [last] = net.pair(SOCK_DGRAM);
    for (let i = 0; i < 5000; i++) {
      const [a, b] = net.pair(SOCK_DGRAM);
      net.send(a, 'x', [last]);
      a.release();
      last = b;
    }
    last.release();
    expect(net.files.pages.inUse).toBe(0);
  });
});
