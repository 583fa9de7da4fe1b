/** Peers and strangers who mean harm: nothing they send may break a connection that is not theirs, or hold memory without bound. */
import { describe, expect, it } from 'vitest';
import { EAGAIN, ECONNRESET } from '#sentry/abi/errno.ts';
import { IpHeader } from '../ip/header.ts';
import { PACKET_DATA_SHARE, PACKET_FIRST_SHARE } from '../limits.ts';
import { Payload } from '../packet.ts';
import type { TcpConnection } from './connection.ts';
import { ACK, FIN, PSH, RST, SYN, TcpHeader, URG } from './header.ts';
import { CLOSED, ESTABLISHED, FIN_WAIT1 } from './states.ts';
import { checkInvariants } from './testing/invariants.ts';
import { seeded, World } from './testing/world.ts';
import type { Host } from './testing/world.ts';

/** Sends `connection` a segment as its peer could, changed by `change`, with `length` octets. */
function forge(world: World, host: Host, connection: TcpConnection, change: Partial<TcpHeader>, length = 0): void {
  const ip = new IpHeader();
  ip.source.copy(connection.remote);
  ip.destination.copy(connection.local);
  const header = new TcpHeader();
  header.sourcePort = connection.remotePort;
  header.destinationPort = connection.localPort;
  header.seq = connection.receiveNext;
  header.ack = connection.sendUnacked;
  header.flags = ACK;
  header.window = 500;
  if (connection.usesTimestamps) Object.assign(header, { timestamps: 1, tsValue: connection.recentTimestamp, tsEcho: 0 });
  Object.assign(header, change);
  if (length === 0) {
    world.inject(host, ip, header);
    return;
  }
  const packet = host.packets.takeUrgent(length);
  if (packet === null) return;
  packet.end += length;
  world.inject(host, ip, header, new Payload().set(packet, packet.start, length));
  packet.release();
}

function challenges(host: Host): number {
  return host.tcp.counters.TCPChallengeACK;
}

describe('a forged reset', () => {
  it('is believed at the exact sequence only', () => {
    const world = new World();
    const [client] = world.connected();
    const at = client.receiveNext;
    for (const seq of [at - 1, at - 100_000, at + 100_000_000]) forge(world, world.client, client, { flags: RST, seq: seq | 0 });
    expect([client.state, challenges(world.client)]).toEqual([ESTABLISHED, 0]);
    forge(world, world.client, client, { flags: RST, seq: (at + 1) | 0 });
    expect([client.state, challenges(world.client)]).toEqual([ESTABLISHED, 1]);
    for (let i = 2; i < 1000; i++) forge(world, world.client, client, { flags: RST, seq: (at + i) | 0 });
    expect(challenges(world.client)).toBe(1);
    forge(world, world.client, client, { flags: RST, seq: at });
    expect([client.state, client.takeError()]).toEqual([CLOSED, ECONNRESET]);
  });
});

describe('a forged segment', () => {
  it('with SYN is challenged', () => {
    const world = new World();
    const [client] = world.connected();
    forge(world, world.client, client, { flags: SYN });
    forge(world, world.client, client, { flags: SYN | ACK, seq: (client.receiveNext + 5) | 0 });
    expect([client.state, world.client.tcp.counters.TCPSYNChallenge]).toEqual([ESTABLISHED, 2]);
    expect(challenges(world.client)).toBe(1);
  });

  it('that acknowledges what was not sent, or was long ago, brings no data', () => {
    const world = new World();
    const [client] = world.connected();
    forge(world, world.client, client, { ack: (client.sendNext + 1) | 0 }, 10);
    forge(world, world.client, client, { ack: (client.sendUnacked - 1_000_000_000) | 0 }, 10);
    expect(world.client.read(client)).toBe(-EAGAIN);
    expect(challenges(world.client)).toBe(1);
  });

  it('with an old timestamp is dropped (PAWS)', () => {
    const world = new World();
    const [client] = world.connected();
    forge(world, world.client, client, { tsValue: (client.recentTimestamp - 1000) | 0 }, 10);
    expect(world.client.read(client)).toBe(-EAGAIN);
    expect(world.client.tcp.counters.PAWSEstab).toBe(1);
  });

  it('beyond the window is cut or dropped', () => {
    const world = new World();
    const [client] = world.connected();
    const window = (client.acknowledged + client.receiveWindow - client.receiveNext) | 0;
    forge(world, world.client, client, { seq: (client.receiveNext + window + 1) | 0 }, 100);
    expect(client.outOfOrder.count).toBe(0);
    forge(world, world.client, client, { seq: (client.receiveNext + window - 10) | 0, flags: ACK | FIN }, 100);
    expect((client.outOfOrder.first!.end - client.receiveNext) | 0).toBe(window);
    checkInvariants(client);
  });
});

describe('a peer', () => {
  it('that selects octets one by one makes no endless queue', () => {
    const world = new World({ loopback: true });
    const [client] = world.connected();
    world.filter = () => true;
    client.cwnd = 1 << 26;
    client.sendWindow = 1 << 26;
    for (let i = 0; i < 40; i++) world.client.write(client, new Uint8Array(65_000));
    const out = (client.sendNext - client.sendUnacked) | 0;
    expect(out).toBeGreaterThan(1_000_000);
    const random = seeded(7);
    for (let i = 0; i < 20_000; i++) {
      const sack = new Int32Array(8);
      for (let b = 0; b < 8; b += 2) {
        sack[b] = (client.sendUnacked + ((random() >>> 0) % out)) | 0;
        sack[b + 1] = (sack[b]! + 1 + ((random() >>> 0) % 3000)) | 0;
      }
      forge(world, world.client, client, { sack, sackCount: 4 });
    }
    checkInvariants(client);
    expect(client.sendQueue.count).toBeLessThan(33_000);
  });

  it('that leaves a gap before each octet holds a bounded number of them', () => {
    const world = new World();
    const [, server] = world.connected();
    const first = server.receiveNext;
    for (let i = 0; i < 20_000; i++) forge(world, world.server, server, { seq: (first + 2 + 2 * i) | 0 }, 1);
    checkInvariants(server);
    expect(server.outOfOrder.count).toBeLessThanOrEqual(512);
    expect(world.server.packets.inUse).toBeLessThan(4 << 20);
    expect(server.state).toBe(ESTABLISHED);
  });

  it('that sends octet by octet to a guest that does not read fills no more than its buffer', () => {
    const world = new World();
    const [, server] = world.connected();
    for (let i = 0; i < 100_000; i++) forge(world, world.server, server, { flags: ACK | PSH }, 1);
    checkInvariants(server);
    expect(server.unreadBytes).toBeGreaterThan(60_000);
    expect(world.server.packets.inUse).toBeLessThan(1 << 20);
    expect(world.server.tcp.context.segments.inUse).toBeLessThan(1000);
  });

  it('that offers no window for ever does not keep an orphan for ever', () => {
    const world = new World();
    const [client, server] = world.connected(80, (connection) => connection.setReceiveBuffer(4000));
    world.client.write(client, new Uint8Array(30_000));
    world.run(1000);
    client.close();
    expect(client.state).toBe(FIN_WAIT1);
    // The server's guest never reads; its TCP answers each probe.
    world.run(3_000_000);
    expect(client.state).toBe(CLOSED);
    expect(world.client.tcp.context.orphans).toBe(0);
    expect(world.client.packets.inUse).toBe(0);
    expect(server.unreadBytes).toBeGreaterThan(0);
  });

  it('that does not answer FIN does not keep it for ever', () => {
    const world = new World();
    const [client] = world.connected();
    client.close();
    world.run(50);
    expect(world.client.tcp.context.timeWaits).toBe(1);
    world.run(61_000);
    expect(world.client.tcp.context.table.size).toBe(0);
  });
});

describe('any header at all', () => {
  for (let seed = 1; seed <= 12; seed++) {
    it(`changes nothing that must hold, seed ${seed}`, () => {
      const world = new World({ seed, delayUs: 500 });
      const [client, server] = world.connected();
      const random = seeded(seed);
      const below = (most: number): number => (random() >>> 0) % most;
      const flagSets = [ACK, ACK | PSH, ACK | FIN, ACK | URG, SYN, SYN | ACK, RST, RST | ACK, FIN, 0, 0xff, ACK];
      for (let i = 0; i < 3000 && client.state !== CLOSED; i++) {
        if (below(3) === 0) world.client.write(client, new Uint8Array(below(5000)));
        if (below(3) === 0) world.server.write(server, new Uint8Array(below(5000)));
        if (below(5) === 0) world.client.readInto(client, below(8000));
        if (below(5) === 0) world.server.readInto(server, below(8000));
        const near = below(4) === 0 ? random() : below(60_000) - 30_000;
        const sack = new Int32Array(8).map(() => (client.sendUnacked + below(40_000) - 5000) | 0);
        const change = {
          flags: flagSets[below(flagSets.length)]!,
          // A reset that hits would end the game.
          seq: (client.receiveNext + (near === 0 ? 1 : near)) | 0,
          ack: (client.sendUnacked + (below(3) === 0 ? random() : below(20_000) - 5000)) | 0,
          window: below(65_536),
          urgent: below(65_536),
          tsValue: (client.recentTimestamp + below(200) - 100) | 0,
          tsEcho: random(),
          sackCount: below(5),
          sack,
          mss: below(70_000),
          windowScale: below(16) - 1,
        };
        forge(world, world.client, client, change, below(3000));
        checkInvariants(client);
        world.run(below(20));
        checkInvariants(client);
        checkInvariants(server);
      }
      world.client.tcp.setTime(world.nowNs);
      client.close();
      server.close();
      world.run(4_000_000);
      for (const host of [world.client, world.server]) {
        expect(host.tcp.context.orphans).toBe(0);
        expect(host.tcp.context.segments.inUse).toBe(0);
        expect(host.packets.inUse).toBe(0);
        expect(host.tcp.context.table.size).toBe(0);
      }
    });
  }
});

describe('memory', () => {
  for (const order of ['in order', 'early'] as const) {
    it(`taken up by what peers send ${order} and nobody reads leaves others enough to go on`, () => {
      const bytesMax = 4 << 20;
      const world = new World({ packetBytes: bytesMax });
      const [client, server] = world.connected();
      const others = Array.from({ length: 100 }, (_, i) => world.connected(1000 + i)[1]);
      for (let round = 0; round < 200; round++) {
        for (const other of others) {
          const seq = (other.receiveNext + (order === 'early' ? 1500 * (1 + (round % 20)) : 0)) | 0;
          forge(world, world.server, other, { seq }, 1400);
        }
      }
      expect(world.server.packets.inUse).toBeGreaterThan(bytesMax * PACKET_DATA_SHARE - 65_536);
      expect(world.server.packets.inUse).toBeLessThan(bytesMax * PACKET_FIRST_SHARE + 65_536);
      expect(world.client.write(client, new Uint8Array(100_000))).toBeGreaterThan(0);
      let read = 0;
      world.runUntil(() => {
        const n = world.server.readInto(server, 1 << 20);
        if (n > 0) read += n;
        return read >= 16_384;
      });
      expect(read).toBeGreaterThanOrEqual(16_384);
      expect(world.server.write(server, 'answer')).toBe(6);
      world.run(1000);
      expect(world.client.read(client)).toBe('answer');
    });
  }

  it('that has run out stops senders, not the connection', () => {
    const world = new World({ loopback: true, packetBytes: 2 << 20 });
    const [client, server] = world.connected();
    let written = 0;
    let last = 0;
    for (let i = 0; i < 200; i++) {
      last = world.client.write(client, new Uint8Array(65_000));
      if (last > 0) written += last;
      world.run(1);
    }
    expect(last).toBeLessThan(0);
    expect(world.client.packets.inUse).toBeLessThanOrEqual(2 << 20);
    let read = 0;
    world.runUntil(() => {
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) read += n;
      return read === written;
    });
    expect(read).toBe(written);
    expect(world.client.write(client, 'more')).toBe(4);
    world.run(1000);
    expect(world.server.read(server)).toBe('more');
  });
});
