/**
 * TCP over the whole stack: the loopback, a bad link, path MTU discovery, neighbours that do not answer.
 */
import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { EAGAIN, ECONNREFUSED, EHOSTUNREACH, EINPROGRESS } from '#sentry/abi/errno.ts';
import { SHUT_WR } from '#sentry/abi/socket.ts';
import { KernelIo } from '../mm/io.ts';
import { IpAddress } from './address.ts';
import type { Allocate } from './packet.ts';
import type { Stack } from './stack.ts';
import type { TcpConnection } from './tcp/connection.ts';
import type { TcpListener } from './tcp/listener.ts';
import { socketAddress, StackPair } from './testing/stack-pair.ts';
import type { SimulatedLinkOptions } from './testing/simulated-link.ts';

const allocate: Allocate = (bytes) => new FakeMemory(new Uint8Array(bytes));

function listenOn(stack: Stack, port: number): TcpListener {
  const unbound = stack.tcp.connection();
  unbound.bind(new IpAddress(), port);
  const listener = unbound.listen(16);
  if (typeof listener === 'number') throw new Error(`cannot listen: ${listener}`);
  return listener;
}

/** Sends `total` bytes from `client` to `server` while `pair` runs, and checks each. The seconds it took. */
function transfer(pair: StackPair, client: TcpConnection, accept: () => TcpConnection | null, total: number): number {
  const source = new FakeMemory(Uint8Array.from({ length: 65_521 }, (_, i) => (i * 31) & 255));
  const target = new FakeMemory(new Uint8Array(65_536));
  const startNs = pair.nowNs;
  let server: TcpConnection | null = null;
  let sent = 0;
  let received = 0;
  let wrong = 0;
  let isShut = false;
  const isDone = pair.run(600e9, () => {
    while (sent < total) {
      const at = sent % 65_521;
      const n = client.send(new KernelIo(source, at, Math.min(65_521 - at, total - sent)), 0);
      if (n <= 0) break;
      sent += n;
    }
    if (sent === total && !isShut) {
      client.shutdown(SHUT_WR);
      isShut = true;
    }
    server ??= accept();
    if (server === null) return false;
    for (;;) {
      const n = server.receive(new KernelIo(target, 0, 65_536), 0);
      if (n === 0 && received === total) return true;
      if (n <= 0) return n !== -EAGAIN;
      for (let i = 0; i < n; i++) if (target.bytes[i] !== ((((received + i) % 65_521) * 31) & 255)) wrong++;
      received += n;
    }
  });
  expect({ isDone, received, wrong }).toEqual({ isDone: true, received: total, wrong: 0 });
  return (pair.nowNs - startNs) / 1e9;
}

function connectAndTransfer(options: SimulatedLinkOptions, text: string, total: number): StackPair {
  const pair = new StackPair(options, allocate);
  const isLocal = text === '127.0.0.1' || text === '::1';
  const serverStack = isLocal ? pair.left : pair.right;
  const listener = listenOn(serverStack, 80);
  const client = pair.left.tcp.connection();
  expect(client.connect(socketAddress(text, 80))).toBe(-EINPROGRESS);
  transfer(pair, client, () => serverStack.tcp.accept(listener), total);
  return pair;
}

describe('TCP', () => {
  it.each(['127.0.0.1', '::1', '10.0.0.1'])('over the loopback to %s', (text) => {
    expect(connectAndTransfer({ seed: 1 }, text === '10.0.0.1' ? '127.0.0.1' : text, 3_000_000).link.counts.lost).toBe(0);
  });

  it.each(['10.0.0.2', 'fd00::2'])('over a good link to %s', (text) => {
    const pair = connectAndTransfer({ seed: 2, delayNs: 1e5 }, text, 2_000_000);
    expect(pair.right.state.counters.tcp.InCsumErrors).toBe(0);
  });

  it.each([11, 12, 13, 14])('over a bad link, seed %i', (seed) => {
    const options = { seed, delayNs: 1e6, jitterNs: 2e6, lossRate: 0.03, duplicateRate: 0.02, corruptRate: 0.02 };
    const pair = connectAndTransfer(options, seed % 2 === 0 ? '10.0.0.2' : 'fd00::2', 200_000);
    expect(pair.link.counts.lost).toBeGreaterThan(0);
  });

  it('is refused by a closed port, and told of a neighbour that does not answer', () => {
    const pair = new StackPair({ seed: 3 }, allocate);
    for (const [text, error] of [
      ['10.0.0.2', ECONNREFUSED],
      ['fd00::2', ECONNREFUSED],
      ['127.0.0.1', ECONNREFUSED],
      ['10.0.0.99', EHOSTUNREACH],
    ] as const) {
      const client = pair.left.tcp.connection();
      expect(client.connect(socketAddress(text, 81))).toBe(-EINPROGRESS);
      pair.run(4e9);
      expect(client.takeError(), text).toBe(error);
    }
  });
});
