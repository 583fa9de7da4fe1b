/**
 * Any calls, any segments, in any order: guests on both sides do what they like with several connections at once while a stranger who knows all
 * numbers sends forged segments and ICMP reports. Whatever happens, the invariants hold after each step, and in the end nothing is left behind.
 */
import { describe, expect, it } from 'vitest';
import { EHOSTUNREACH } from '#sentry/abi/errno.ts';
import { MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC } from '#sentry/abi/socket.ts';
import { IpHeader } from '../ip/header.ts';
import { Payload } from '../packet.ts';
import type { TcpConnection } from './connection.ts';
import { ControlBlock } from './control-block.ts';
import type { TcpEntry } from './entry.ts';
import { ACK, FIN, PSH, RST, SYN, TcpHeader, URG } from './header.ts';
import type { TcpListener } from './listener.ts';
import { SynOffer } from './syn-offer.ts';
import { checkInvariants } from './testing/invariants.ts';
import { seeded, World } from './testing/world.ts';
import type { Host } from './testing/world.ts';

const FLAGS = [ACK, ACK, ACK | PSH, ACK | FIN, ACK | URG, ACK | FIN | URG, SYN, SYN | ACK, RST, RST | ACK, FIN, 0, 0xff];
const STEPS = 600;
const CONNECTIONS_MAX = 8;

type Below = (most: number) => number;

class Side {
  readonly connections: TcpConnection[] = [];
  readonly host: Host;

  constructor(host: Host) {
    this.host = host;
  }

  check(): void {
    for (const connection of this.connections) checkInvariants(connection);
  }
}

/** One of the calls a guest can make. False: the connection was closed. */
function call(side: Side, connection: TcpConnection, below: Below): boolean {
  const { host } = side;
  const { options } = connection;
  const calls: (() => unknown)[] = [
    () => host.write(connection, new Uint8Array(below(6000)), [0, 0, MSG_MORE, MSG_OOB][below(4)]),
    () => host.write(connection, new Uint8Array(below(6000))),
    () => host.readInto(connection, below(9000), [0, MSG_PEEK, MSG_OOB, MSG_TRUNC][below(4)]),
    () => host.readInto(connection, below(9000)),
    () => (below(6) === 0 ? connection.shutdown(below(3)) : 0),
    () => connection.setNoDelay(below(2)),
    () => connection.setCork(below(2)),
    () => connection.setQuickAck(below(2)),
    () => connection.setReceiveBuffer(2304 + below(100_000)),
    () => connection.setCongestion(below(2) === 0 ? 'reno' : 'cubic'),
    () => [connection.events, connection.info, connection.unreadBytes, connection.isAtMark, connection.takeError()],
    () => {
      Object.assign(options, { keepAlive: below(2), keepIdleMs: 1000, oobInline: below(2) });
      connection.keepAliveChanged();
    },
  ];
  host.tcp.setTime(side.host.world.nowNs);
  if (below(80) === 0) {
    if (below(3) === 0) options.lingerSeconds = 0;
    connection.close();
    return false;
  }
  if (below(2) === 0) calls[below(calls.length)]!();
  return true;
}

/** The sequence numbers a segment for `entry` should have. */
function numbersOf(entry: TcpEntry): readonly [number, number] {
  if (entry instanceof ControlBlock) return [entry.receiveNext, entry.sendUnacked];
  if (entry instanceof SynOffer) return [entry.initialReceive + 1, entry.initialSend + 1];
  return [0, 0];
}

function forgedHeader(entry: TcpEntry, below: Below, nowMs: number): TcpHeader {
  const header = new TcpHeader();
  const [next, unacked] = numbersOf(entry);
  const near = below(3) > 0 ? below(3) - 1 : below(90_000) - 30_000;
  const nearAck = below(3) > 0 ? below(2) : below(20_000) - 5000;
  header.sourcePort = entry.remotePort;
  header.destinationPort = entry.localPort;
  header.flags = FLAGS[below(FLAGS.length)]!;
  header.seq = (next + near) | 0;
  header.ack = (unacked + nearAck) | 0;
  header.window = below(65_536);
  header.urgent = below(3) > 0 ? below(100) : below(65_536);
  header.timestamps = below(4) > 0 ? 1 : 0;
  if (entry instanceof ControlBlock) {
    header.tsValue = (entry.recentTimestamp + below(50) - 5) | 0;
    header.tsEcho = (nowMs + entry.timestampOffset - below(50)) | 0;
  }
  header.sackCount = below(5);
  for (let i = 0; i < 8; i++) header.sack[i] = (unacked + below(60_000) - 10_000) | 0;
  header.windowScale = below(16) - 1;
  header.sackPermitted = below(2);
  header.mss = below(3) > 0 ? 0 : below(65_536);
  return header;
}

/** Sends one forged segment, or ICMP report, for any of the host's entries. */
function forge(host: Host, below: Below): void {
  const entries: TcpEntry[] = [];
  const { tcp, world } = host;
  tcp.context.table.forEach((entry) => entries.push(entry));
  if (entries.length === 0) return;
  const entry = entries[below(entries.length)]!;
  const header = forgedHeader(entry, below, tcp.context.nowMs);
  const ip = new IpHeader();
  if (below(12) === 0) {
    ip.source.copy(entry.local);
    ip.destination.copy(entry.remote);
    [header.sourcePort, header.destinationPort] = [entry.localPort, entry.remotePort];
    header.seq = numbersOf(entry)[1];
    if (below(2) === 0) tcp.unreachable(ip, header, EHOSTUNREACH, below(2), world.nowNs);
    else tcp.packetTooBig(ip, header, below(3000), world.nowNs);
    return;
  }
  ip.source.copy(entry.remote);
  ip.destination.copy(entry.local);
  const length = below(3) > 0 ? 0 : below(3000);
  const packet = length === 0 ? null : host.packets.takeUrgent(length);
  if (packet === null) world.inject(host, ip, header);
  else {
    packet.end += length;
    world.inject(host, ip, header, new Payload().set(packet, packet.start, length));
    packet.release();
  }
}

function acceptSome(server: Side, listener: TcpListener, below: Below): void {
  const { host } = server;
  host.tcp.setTime(host.world.nowNs);
  const connection = host.tcp.accept(listener);
  if (connection === null) return;
  if (below(5) === 0) connection.close();
  else server.connections.push(connection);
}

function leftovers(host: Host): readonly number[] {
  const { context, counters } = host.tcp;
  const { table, segments, orphans, timeWaits, heldSyns } = context;
  return [table.size, segments.inUse, host.packets.inUse, orphans, timeWaits, heldSyns, counters.CurrEstab];
}

describe('a storm', () => {
  for (let seed = 1; seed <= 40; seed++) {
    it(`of calls and forged segments leaves nothing behind, seed ${seed}`, () => {
      const random = seeded(seed ^ 0x777);
      const below: Below = (most) => (random() >>> 0) % most;
      const world = new World({ seed, delayUs: 500, loss: seed % 3 === 0 ? 0.1 : 0, loopback: seed % 4 === 0, tso: seed % 4 === 1 });
      const client = new Side(world.client);
      const server = new Side(world.server);
      const listener = world.server.listen(80, below(4), (connection) => (connection.options.deferAccept = below(3)));
      for (let step = 0; step < STEPS; step++) {
        if (below(40) === 0 && client.connections.length < CONNECTIONS_MAX) client.connections.push(world.client.connect(world.server, 80));
        acceptSome(server, listener, below);
        for (const side of [client, server]) {
          const kept = side.connections.filter((connection) => call(side, connection, below));
          side.connections.splice(0, side.connections.length, ...kept);
          side.check();
        }
        if (below(2) === 0) forge(below(2) === 0 ? world.client : world.server, below);
        world.run(below(10) > 0 ? below(8) : below(3000));
        client.check();
        server.check();
      }
      for (const { host, connections } of [client, server]) {
        host.tcp.setTime(world.nowNs);
        for (const connection of connections) connection.close();
      }
      listener.close();
      world.run(6_000_000);
      expect(leftovers(world.client)).toEqual([0, 0, 0, 0, 0, 0, 0]);
      expect(leftovers(world.server)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    });
  }
});
