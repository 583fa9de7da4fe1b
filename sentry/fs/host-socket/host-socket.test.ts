/** Sockets of the host, with a helper made by the test: what is asked of it, what becomes of bytes that do not fit, and a helper that is not ours. */
import { describe, expect, it } from 'vitest';
import { EACCES, EAGAIN, EMFILE, ENOPROTOOPT, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT } from '#sentry/abi/errno.ts';
import { POLLIN, READABLE } from '#sentry/abi/fs.ts';
import { AF_INET, SO_ATTACH_FILTER, SO_LINGER, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_STREAM, SOL_SOCKET } from '#sentry/abi/socket.ts';
import { writeReplyHeader } from '#gofer/protocol/header.ts';
import * as messages from '#gofer/protocol/host-socket-messages.ts';
import { REPLY } from '#gofer/protocol/messages.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import type { FakeDescription } from '#platform/fake/fake-files.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import { KernelIo } from '../../mm/io.ts';
import { NetworkSettings } from '../../netstack/settings.ts';
import { OptionValue } from '../socket/option-table.ts';
import type { Socket, SocketCaller } from '../socket/socket.ts';
import { Incoming, Outgoing } from '../socket/transfer.ts';
import { Bench } from '../anonymous/testing.ts';
import { HostInternetFamily } from './host-family.ts';
import { SocketHelper } from './socket-helper.ts';

const LOST = 'lost: ';

/** A connection with little room, whose peer sends what the test says. */
class Wire implements FakeDescription {
  readonly mode = 0o140600;
  readonly size = 0;
  room = 0;
  sent = '';
  incoming = '';
  readStream(into: Uint8Array): number {
    if (this.incoming === '') return -EAGAIN;
    const n = Math.min(into.length, this.incoming.length);
    for (let i = 0; i < n; i++) into[i] = this.incoming.charCodeAt(i);
    this.incoming = this.incoming.slice(n);
    return n;
  }
  writeStream(from: Uint8Array): number {
    const n = Math.min(this.room, from.length);
    if (n === 0 && from.length > 0) return -EAGAIN;
    this.room -= n;
    this.sent += String.fromCharCode(...from.subarray(0, n));
    return n;
  }
  poll(): number {
    return (this.incoming === '' ? 0 : POLLIN) | (this.room > 0 ? 4 : 0);
  }
  closed(): void {}
}

class World {
  readonly host = new FakeHost();
  readonly bench = new Bench(this.host);
  readonly caller = this.bench.caller as unknown as SocketCaller;
  readonly wire = new Wire();
  /** What the helper was asked: type, handle, a, b. */
  readonly asked: number[][] = [];
  readonly watched = new Map<HostFd, { events: number; callback: (events: number) => void }>();
  readonly family: HostInternetFamily;
  answer = (type: number): { errno?: number; value?: number; fd?: FakeDescription; tag?: number } =>
    type === messages.SOCKET ? { value: 7, fd: this.wire } : {};

  constructor() {
    const { fd, peer } = this.host.addSocket();
    const memory = this.host.allocate(4096);
    peer.onMessage = ({ bytes }, socket) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const type = view.getUint16(4, true);
      this.asked.push([type, view.getUint32(8, true), view.getInt32(12, true), view.getInt32(16, true)]);
      const { errno = 0, value = 0, fd: donated, tag = view.getUint16(6, true) } = this.answer(type);
      memory.view.setUint32(messages.VALUE_AT, value, true);
      writeReplyHeader(memory, 0, messages.REPLY_BYTES_AT, type | REPLY, tag, errno);
      socket.send({ bytes: memory.bytes.slice(0, messages.REPLY_BYTES_AT), descriptions: donated === undefined ? [] : [donated] });
    };
    const onLost = (reason: string): void => {
      throw new Error(LOST + reason);
    };
    // The fake knows sockets of messages only; a donated one takes bytes.
    const send = this.host.send.bind(this.host);
    this.host.send = (to, from, offset, length) => (to === fd ? send(to, from, offset, length) : this.host.write(to, from, offset, length));
    this.family = new HostInternetFamily(
      {
        host: this.host,
        events: {
          watch: (watched, events, callback) => {
            this.watched.set(watched, { events, callback });
            return 0;
          },
          unwatch: (watched) => void this.watched.delete(watched),
        },
        files: this.bench.files,
        helper: new SocketHelper({ host: this.host, socket: fd, onLost }),
        settings: new NetworkSettings(),
        staging: this.host.allocate(65_536),
      },
      AF_INET,
    );
  }

  stream(): Socket {
    const made = this.family.create(SOCK_STREAM, 0, SOCK_NONBLOCK, this.caller);
    if (typeof made === 'number') throw new Error(`no socket: ${made}`);
    return made;
  }

  io(text: string): KernelIo {
    const memory = this.host.allocate(4096);
    memory.writeLatin1(text, 0);
    return new KernelIo(memory, 0, text.length);
  }
}

describe('making a socket', () => {
  it('asks the helper for what an ordinary user may have, and for nothing else', () => {
    const { family, caller, asked } = new World();
    expect(family.create(SOCK_RAW, 1, 0, caller)).toBe(-EPERM);
    expect(family.create(SOCK_DGRAM, 1, 0, caller)).toBe(-EACCES);
    expect(family.create(SOCK_STREAM, 132, 0, caller)).toBe(-EPROTONOSUPPORT);
    expect(family.create(5, 0, 0, caller)).toBe(-ESOCKTNOSUPPORT);
    expect(asked).toEqual([]);
    const made = family.create(SOCK_DGRAM, 17, 0, caller) as Socket;
    expect(asked).toEqual([[messages.SOCKET, 0, AF_INET, SOCK_DGRAM]]);
    made.release();
    expect(asked.at(-1)).toEqual([messages.CLOSE, 7, 0, 0]);
  });

  it('gives a socket back that arrived without a descriptor', () => {
    const world = new World();
    world.answer = () => ({ value: 9 });
    expect(world.family.create(SOCK_STREAM, 0, 0, world.caller)).toBe(-EMFILE);
    expect(world.asked.at(-1)).toEqual([messages.CLOSE, 9, 0, 0]);
  });

  it('ends the sandbox when the answer is to another question', () => {
    const world = new World();
    world.answer = () => ({ tag: 999 });
    expect(() => world.stream()).toThrow(LOST);
  });

  it('leaves nothing open', () => {
    const world = new World();
    const before = world.host.openDescriptors().length;
    world.stream().release();
    expect(world.host.openDescriptors().length).toBe(before);
  });
});

describe('bytes of a stream', () => {
  it('stay with the guest when the host does not take them', () => {
    const world = new World();
    const socket = world.stream();
    const io = world.io('hello world');
    world.wire.room = 5;
    expect(socket.send(io, new Outgoing(), 0, world.caller)).toBe(5);
    expect(io.remaining).toBe(6);
    expect(socket.send(io, new Outgoing(), 0, world.caller)).toBe(-EAGAIN);
    world.wire.room = 100;
    expect(socket.send(io, new Outgoing(), 0, world.caller)).toBe(6);
    expect(world.wire.sent).toBe('hello world');
  });

  it('wait for the next read when the guest does not take them', () => {
    const world = new World();
    const socket = world.stream();
    world.wire.incoming = 'hello';
    const picky = world.io('.....');
    picky.put = () => 2;
    expect(socket.receive(picky, new Incoming(), 0, world.caller)).toBe(2);
    expect(socket.poll() & READABLE).not.toBe(0);
    const rest = world.host.allocate(4096);
    expect(socket.receive(new KernelIo(rest, 0, 10), new Incoming(), 0, world.caller)).toBe(3);
    expect(rest.latin1(0, 3)).toBe('llo');
    expect(socket.receive(new KernelIo(rest, 0, 10), new Incoming(), 0, world.caller)).toBe(-EAGAIN);
  });
});

describe('options', () => {
  const option = (world: World, ...words: number[]): OptionValue => {
    const value = new OptionValue(world.host.allocate(4096));
    words.forEach((word, i) => value.view.setInt32(4 * i, word, true));
    value.length = 4 * words.length;
    return value;
  };

  it('are passed on by a list', () => {
    const world = new World();
    const socket = world.stream();
    expect(socket.setOption(6, 1, option(world, 1), world.caller)).toBe(0);
    expect(world.asked.at(-1)).toEqual([messages.SET_OPTION, 7, 6, 1]);
    const { length } = world.asked;
    expect(socket.setOption(SOL_SOCKET, SO_ATTACH_FILTER, option(world, 1, 2, 3, 4), world.caller)).toBe(-ENOPROTOOPT);
    expect(socket.setOption(6, 31, option(world, 1), world.caller)).toBe(-ENOPROTOOPT);
    expect(world.asked.length).toBe(length);
  });

  it('never make the helper wait in close', () => {
    const world = new World();
    const socket = world.stream();
    expect(socket.setOption(SOL_SOCKET, SO_LINGER, option(world, 1, 3600), world.caller)).toBe(0);
    expect(world.asked.at(-1)).toEqual([messages.SET_OPTION, 7, SOL_SOCKET, SO_LINGER]);
    const value = option(world, 0, 0);
    expect(socket.getOption(SOL_SOCKET, SO_LINGER, value, world.caller)).toBe(8);
    expect([value.view.getInt32(0, true), value.view.getInt32(4, true)]).toEqual([1, 3600]);
  });
});

describe('waiting', () => {
  it('has the descriptor watched for what is waited for, and no longer than somebody does', () => {
    const world = new World();
    const socket = world.stream();
    let woken = 0;
    const entry = new WaitEntry({ wake: () => void woken++ });
    expect(world.watched.size).toBe(0);
    socket.queue.add(entry, READABLE);
    const [watch] = world.watched.values();
    expect(watch!.events & 0xffff).toBe(POLLIN);
    watch!.callback(POLLIN);
    expect([woken, world.watched.size]).toEqual([1, 1]);
    socket.queue.remove(entry);
    watch!.callback(POLLIN);
    expect([woken, world.watched.size]).toEqual([1, 0]);
  });

  it('sees what an epoll instance came to wait for later', () => {
    const world = new World();
    const socket = world.stream();
    const entry = new WaitEntry({ wake: () => undefined });
    socket.queue.add(entry, 0x4000);
    entry.mask = READABLE | 4;
    socket.poll();
    expect([...world.watched.values()][0]!.events & 0xffff).toBe(POLLIN | 4);
  });
});
