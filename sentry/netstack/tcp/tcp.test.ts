/** Connections between two TCPs: their life, and that every octet arrives whatever the path does to segments. */
import { describe, expect, it } from 'vitest';
import { EAGAIN, ECONNREFUSED, ECONNRESET, EPIPE } from '#sentry/abi/errno.ts';
import { CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT2, SYN_SENT } from './states.ts';
import { checkInvariants } from './testing/invariants.ts';
import { seeded, World } from './testing/world.ts';
import type { PathOptions } from './testing/world.ts';

const SHUT_WR = 1;

/** Sends `size` octets each way in pieces of any size and compares; returns virtual milliseconds. */
function expectTransfer(options: PathOptions, size: number, sequence: number | null = null): number {
  const world = new World(options);
  if (sequence !== null) for (const { tcp } of [world.client, world.server]) tcp.context.secrets.initialSequence = () => sequence;
  const [client, server] = world.connected();
  const random = seeded((options.seed ?? 1) ^ 0x3333);
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i++) data[i] = random();
  const began = world.nowNs;
  const sides = [
    { host: world.client, connection: client, sent: 0, received: 0, ended: false },
    { host: world.server, connection: server, sent: 0, received: 0, ended: false },
  ];
  const work = (): boolean => {
    for (const side of sides) {
      checkInvariants(side.connection);
      while (side.sent < size) {
        const piece = Math.min(size - side.sent, 1 + ((random() >>> 0) % 50_000));
        const n = side.host.write(side.connection, data.subarray(side.sent, side.sent + piece));
        if (n === -EAGAIN) break;
        if (n < 0) throw new Error(`seed ${options.seed}: write ${n}`);
        side.sent += n;
        if (side.sent === size) side.connection.shutdown(SHUT_WR);
      }
      while (!side.ended) {
        const n = side.host.readInto(side.connection, 1 + ((random() >>> 0) % 60_000));
        if (n === -EAGAIN) break;
        if (n < 0) throw new Error(`seed ${options.seed}: read ${n} after ${side.received}`);
        if (n === 0) side.ended = true;
        const same = Buffer.compare(side.host.lastRead.subarray(0, n), data.subarray(side.received, side.received + n)) === 0;
        if (!same) throw new Error(`seed ${options.seed}: wrong bytes at ${side.received}`);
        side.received += n;
      }
    }
    return sides[0]!.ended && sides[1]!.ended;
  };
  const done = world.runUntil(work, 3_600_000);
  expect(done, `seed ${options.seed}: stuck at ${sides[0]!.received} and ${sides[1]!.received}`).toBe(true);
  expect([sides[0]!.received, sides[1]!.received]).toEqual([size, size]);
  const elapsed = (world.nowNs - began) / 1e6;
  client.close();
  server.close();
  world.run(300_000);
  for (const host of [world.client, world.server]) {
    expect(host.tcp.context.table.size).toBe(0);
    expect(host.tcp.context.segments.inUse).toBe(0);
    expect(host.packets.inUse).toBe(0);
    expect(host.tcp.context.orphans).toBe(0);
  }
  return elapsed;
}

describe('a connection', () => {
  it('opens, carries data both ways, and closes', () => {
    const world = new World();
    const [client, server] = world.connected();
    expect([client.state, server.state]).toEqual([ESTABLISHED, ESTABLISHED]);
    expect(world.client.write(client, 'hello')).toBe(5);
    world.run(1);
    expect(world.server.read(server)).toBe('hello');
    expect(world.server.read(server)).toBe(-EAGAIN);
    world.server.write(server, 'world');
    world.run(1);
    expect(world.client.read(client)).toBe('world');
    client.close();
    world.run(1);
    expect(server.state).toBe(CLOSE_WAIT);
    expect(world.server.read(server)).toBe('');
    server.close();
    world.run(1);
    expect(world.server.tcp.context.table.size).toBe(0);
    expect(world.client.tcp.context.timeWaits).toBe(1);
    world.run(61_000);
    expect(world.client.tcp.context.table.size).toBe(0);
    expect(world.client.tcp.counters.CurrEstab).toBe(0);
  });

  it('is refused where nobody listens', () => {
    const world = new World();
    const client = world.client.connect(world.server, 81);
    world.run(10);
    expect(client.state).toBe(CLOSED);
    expect(client.takeError()).toBe(ECONNREFUSED);
  });

  it('can be half closed', () => {
    const world = new World();
    const [client, server] = world.connected();
    world.client.write(client, 'question');
    client.shutdown(SHUT_WR);
    world.run(10);
    expect(world.client.write(client, 'more')).toBe(-EPIPE);
    expect(world.server.read(server)).toBe('question');
    expect(world.server.read(server)).toBe('');
    expect(client.state).toBe(FIN_WAIT2);
    world.server.write(server, 'answer');
    world.run(10);
    expect(world.client.read(client)).toBe('answer');
    expect(world.client.read(client)).toBe(-EAGAIN);
    server.close();
    world.run(10);
    expect(world.client.read(client)).toBe('');
  });

  it('opens from both sides at once', () => {
    const world = new World();
    const ends = [world.client, world.server].map((host, i) => {
      const connection = host.tcp.connection();
      expect(connection.bind(host.address, 1000 + i)).toBe(0);
      return connection;
    });
    const [a, b] = [ends[0]!, ends[1]!];
    world.client.tcp.setTime(world.nowNs);
    world.server.tcp.setTime(world.nowNs);
    const to = { address: world.server.address, port: 1001, scope: 0 };
    const back = { address: world.client.address, port: 1000, scope: 0 };
    a.connect(to as never);
    b.connect(back as never);
    expect([a.state, b.state]).toEqual([SYN_SENT, SYN_SENT]);
    world.run(100);
    expect([a.state, b.state]).toEqual([ESTABLISHED, ESTABLISHED]);
    world.client.write(a, 'x');
    world.server.write(b, 'y');
    world.run(100);
    expect([world.client.read(a), world.server.read(b)]).toEqual(['y', 'x']);
    a.shutdown(SHUT_WR);
    b.shutdown(SHUT_WR);
    world.run(100);
    expect([world.client.read(a), world.server.read(b)]).toEqual(['', '']);
    expect([world.client.tcp.context.timeWaits, world.server.tcp.context.timeWaits]).toEqual([1, 1]);
  });

  it('is reset when unread data is left behind', () => {
    const world = new World();
    const [client, server] = world.connected();
    world.client.write(client, 'unread');
    world.run(10);
    server.close();
    world.run(10);
    expect(world.client.read(client)).toBe(-ECONNRESET);
    expect(client.state).toBe(CLOSED);
    expect(world.client.write(client, 'x')).toBe(-EPIPE);
  });
});

describe('every octet arrives, in order', () => {
  it('over a good path', () => {
    expectTransfer({ seed: 1 }, 500_000);
  });
  it('by reference', () => {
    expectTransfer({ seed: 2, loopback: true, delayUs: 10 }, 3_000_000);
  });
  for (let seed = 10; seed < 30; seed++) {
    it(`over a bad path, seed ${seed}`, () => {
      const random = seeded(seed);
      const share = (most: number): number => ((random() >>> 0) / 2 ** 32) * most;
      const options = {
        seed,
        loss: share(0.1),
        reorder: share(0.2),
        duplicate: share(0.05),
        corrupt: share(0.02),
        delayUs: 100 + share(20_000),
        mtu: 600 + Math.floor(share(2000)),
        loopback: seed % 5 === 0,
      };
      expectTransfer(options, 150_000);
    });
  }
  // Clocks of 32 bits, in micro- and milliseconds, that turn over during the transfer.
  for (const startNs of [2 ** 31 * 1e3 - 3e6, 2 ** 32 * 1e3 - 3e6, 2 ** 31 * 1e6 - 3e6, 2 ** 32 * 1e6 - 3e6]) {
    it(`from ${startNs} ns on`, () => {
      expectTransfer({ seed: startNs % 1000, startNs, delayUs: 500, loss: 0.02, reorder: 0.02 }, 200_000);
    });
  }
  for (const sequence of [-30_000, 2 ** 31 - 30_000]) {
    it(`over the turn of sequence numbers from ${sequence} on`, () => {
      expectTransfer({ seed: 50, delayUs: 500, loss: 0.02, reorder: 0.02 }, 200_000, sequence);
    });
  }
  for (let seed = 60; seed < 66; seed++) {
    it(`cut by the device, over a bad path, seed ${seed}`, () => {
      expectTransfer({ seed, tso: true, loss: 0.005 * (seed - 59), reorder: 0.05, duplicate: 0.01, delayUs: 3000, mtu: 1500 }, 400_000);
    });
  }
  it('over IPv6', () => {
    expectTransfer({ seed: 70, ipv6: true, loss: 0.01, reorder: 0.02, delayUs: 2000 }, 300_000);
    const world = new World({ ipv6: true });
    const [client] = world.connected();
    expect([client.announcedMss, client.mss]).toEqual([1440, 1428]);
    const local = new World({ ipv6: true, loopback: true });
    const [end] = local.connected();
    expect(end.announcedMss).toBe(65_476);
  });
  it('over a slow path with a short queue', () => {
    const ms = expectTransfer({ seed: 40, bytesPerSecond: 1_250_000, delayUs: 20_000, queueBytes: 60_000 }, 2_000_000);
    // 2 MB each way at 10 Mbit/s take 1.6 s at best.
    expect(ms).toBeLessThan(3000);
  });
});
