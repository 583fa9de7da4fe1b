/** Loss recovery and congestion control over a simulated path: which losses are repaired how, with the sums of the scoreboard checked at each step. */
import { describe, expect, it } from 'vitest';
import { EAGAIN } from '#sentry/abi/errno.ts';
import type { TcpConnection } from './connection.ts';
import { PSH } from './header.ts';
import { checkInvariants } from './testing/invariants.ts';
import { World } from './testing/world.ts';

/** Sends `size` octets from client to server, dropping the `nth` data segments (counted from 1) once each. Returns virtual ms. */
function expectDelivery(world: World, client: TcpConnection, server: TcpConnection, size: number, dropped: readonly number[]): number {
  let count = 0;
  world.filter = (seen) => seen.from === world.client && seen.length > 0 && dropped.includes(++count);
  const began = world.nowNs;
  let sent = 0;
  let received = 0;
  const block = new Uint8Array(20_000).fill(7);
  world.runUntil(() => {
    checkInvariants(client);
    checkInvariants(server);
    while (sent < size) {
      const n = world.client.write(client, block.subarray(0, Math.min(block.length, size - sent)));
      if (n === -EAGAIN) break;
      sent += n;
    }
    const n = world.server.readInto(server, 1 << 20);
    if (n > 0) received += n;
    return received === size;
  });
  expect(received).toBe(size);
  return (world.nowNs - began) / 1e6;
}

describe('loss recovery', () => {
  it('repairs one loss without a timeout', () => {
    const world = new World({ delayUs: 10_000 });
    const [client, server] = world.connected();
    const ms = expectDelivery(world, client, server, 100_000, [5]);
    const { counters } = world.client.tcp;
    expect(counters.TCPSackRecovery).toBe(1);
    expect(counters.TCPTimeouts).toBe(0);
    expect(counters.RetransSegs).toBe(1);
    expect(ms).toBeLessThan(180);
  });

  it('repairs several losses of one window in one recovery', () => {
    const world = new World({ delayUs: 10_000 });
    const [client, server] = world.connected();
    expectDelivery(world, client, server, 200_000, [30, 32, 33, 36]);
    const { counters } = world.client.tcp;
    expect([counters.TCPSackRecovery, counters.TCPTimeouts, counters.RetransSegs]).toEqual([1, 0, 4]);
  });

  it('repairs the loss of a retransmission without a timeout', () => {
    const world = new World({ delayUs: 10_000 });
    const [client, server] = world.connected();
    const seen = new Map<number, number>();
    expectDelivery(world, client, server, 20_000, []);
    const lost = (client.sendNext + 5 * client.mss) | 0;
    world.filter = (segment) => {
      if (segment.from !== world.client || segment.seq !== lost) return false;
      seen.set(lost, (seen.get(lost) ?? 0) + 1);
      return seen.get(lost)! <= 2;
    };
    let written = 0;
    let received = 0;
    const block = new Uint8Array(60_000);
    world.runUntil(() => {
      const taken = world.client.write(client, block.subarray(written));
      if (taken > 0) written += taken;
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) received += n;
      return received === block.length;
    });
    expect(seen.get(lost)).toBe(3);
    expect(world.client.tcp.counters.TCPTimeouts).toBe(0);
    expect(world.client.tcp.counters.TCPLostRetransmit).toBe(1);
  });

  it('finds a lost tail by a probe', () => {
    const world = new World({ delayUs: 10_000 });
    const [client, server] = world.connected();
    expectDelivery(world, client, server, 30_000, []);
    const ms = expectDelivery(world, client, server, 10_000, [7]);
    const { counters } = world.client.tcp;
    expect([counters.TCPLossProbes, counters.TCPTimeouts]).toEqual([1, 0]);
    expect(ms).toBeLessThan(300);
  });

  it('begins anew after a timeout', () => {
    const world = new World({ delayUs: 10_000 });
    const [client, server] = world.connected();
    expectDelivery(world, client, server, 30_000, []);
    world.filter = () => true;
    world.client.write(client, new Uint8Array(10_000));
    world.run(3000);
    const { counters } = world.client.tcp;
    expect(counters.TCPTimeouts).toBeGreaterThan(1);
    expect(client.cwnd).toBe(client.mss);
    world.filter = null;
    let received = 0;
    world.runUntil(() => {
      checkInvariants(client);
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) received += n;
      return received === 10_000;
    });
    expect(received).toBe(10_000);
  });

  it('does without SACK (NewReno)', () => {
    const world = new World({ delayUs: 10_000 });
    world.tamper = (header) => {
      header.sackPermitted = 0;
    };
    const [client, server] = world.connected();
    expect(client.usesSack).toBe(false);
    expectDelivery(world, client, server, 200_000, [30, 33]);
    const { counters } = world.client.tcp;
    expect([counters.TCPRenoRecovery, counters.TCPTimeouts]).toEqual([1, 0]);
  });

  it('does without timestamps and window scale', () => {
    const world = new World({ delayUs: 1000, loss: 0.03, seed: 5 });
    world.tamper = (header) => {
      header.timestamps = 0;
      header.windowScale = -1;
    };
    const [client, server] = world.connected();
    expect([client.usesTimestamps, client.sendScale, client.receiveScale]).toEqual([false, 0, 0]);
    expectDelivery(world, client, server, 300_000, []);
  });

  it('takes a wrong timeout back', () => {
    const world = new World({ delayUs: 10_000 });
    const [client, server] = world.connected();
    expectDelivery(world, client, server, 100_000, []);
    const before = client.cwnd;
    world.client.write(client, new Uint8Array(14_000));
    // Everything is delayed for longer than the timeout, nothing is lost.
    world.holding = world.server;
    world.run(400);
    expect(client.caState).toBe(4);
    world.letGo();
    world.run(100);
    expect(world.client.tcp.counters.TCPLossUndo + world.client.tcp.counters.TCPFullUndo + world.client.tcp.counters.TCPDSACKUndo).toBe(1);
    expect(client.cwnd).toBeGreaterThanOrEqual(before);
    expect(world.server.readInto(server, 1 << 20)).toBe(14_000);
  });

  it('keeps its window on a path that only reorders', () => {
    const world = new World({ delayUs: 1000, reorder: 0.3, seed: 11 });
    const [client, server] = world.connected();
    const ms = expectDelivery(world, client, server, 3_000_000, []);
    const { counters } = world.client.tcp;
    expect(counters.TCPTimeouts).toBe(0);
    expect(counters.TCPDSACKUndo + counters.TCPFullUndo).toBeGreaterThan(0);
    expect(ms).toBeLessThan(1500);
  });

  it('survives a receiver that takes its SACKs back', () => {
    const world = new World({ delayUs: 10_000 });
    const [client, server] = world.connected();
    let isReneging = true;
    world.filter = (seen) =>
      isReneging && seen.from === world.client && (seen.flags & PSH) === 0 && seen.seq === client.sendUnacked && seen.length > 0;
    world.client.write(client, new Uint8Array(12_000));
    world.run(50);
    expect(client.sackedBytes).toBeGreaterThan(0);
    server.outOfOrder.clear(world.server.tcp.context);
    isReneging = false;
    let received = 0;
    world.runUntil(() => {
      checkInvariants(client);
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) received += n;
      return received === 12_000;
    });
    expect(received).toBe(12_000);
  });
});

describe('congestion control', () => {
  for (const name of ['cubic', 'reno']) {
    it(`${name} fills a path and shares it with its queue`, () => {
      const world = new World({ delayUs: 20_000, bytesPerSecond: 2_500_000, queueBytes: 100_000, seed: 9 });
      const [client, server] = world.connected(80, (connection) => connection.setCongestion(name));
      const ms = expectDelivery(world, client, server, 8_000_000, []);
      const share = 8_000_000 / 2_500_000 / (ms / 1000);
      expect(share).toBeGreaterThan(0.75);
      expect(world.client.tcp.counters.TCPTimeouts).toBeLessThan(3);
    });
  }
});
