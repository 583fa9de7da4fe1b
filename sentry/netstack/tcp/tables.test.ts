/** Tables and queues against simple models: connections by four-tuple, runs out of order. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IpAddress } from '../address.ts';
import { Arrival } from './arrival.ts';
import { ConnectionTable } from './connection-table.ts';
import { TcpEntry } from './entry.ts';
import { FIN } from './header.ts';
import { REFUSED } from './out-of-order-queue.ts';
import { seeded, World } from './testing/world.ts';

class Entry extends TcpEntry {}

describe('the table of connections', () => {
  it('finds what was added and not removed', () => {
    const operation = fc.record({ add: fc.boolean(), local: fc.nat(3), remote: fc.nat(40), port: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), fc.integer(), (operations, seed) => {
        const table = new ConnectionTable(seeded(seed));
        const model = new Map<string, Entry>();
        const local = new IpAddress();
        const remote = new IpAddress();
        for (const { add, local: l, remote: r, port } of operations) {
          local.setIpv4(l);
          remote.setIpv4(r);
          const key = `${l} ${r} ${port}`;
          const known = model.get(key) ?? null;
          expect(table.find(local, 80, remote, port, 0)).toBe(known);
          if (add && known === null) {
            const entry = new Entry(0);
            entry.local.copy(local);
            entry.remote.copy(remote);
            entry.localPort = 80;
            entry.remotePort = port;
            table.add(entry);
            model.set(key, entry);
          } else if (!add && known !== null) {
            table.remove(known);
            model.delete(key);
          }
          expect(table.size).toBe(model.size);
        }
        const listed = new Set<unknown>();
        table.forEach((entry) => listed.add(entry));
        expect(listed).toEqual(new Set(model.values()));
      }),
      { numRuns: 150 },
    );
  });
});

describe('the queue of what came out of order', () => {
  it('holds the union of what was inserted, once each octet', () => {
    const piece = fc.record({ from: fc.integer({ min: 1, max: 300 }), length: fc.integer({ min: 1, max: 60 }) });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), fc.constantFrom(0, -150, 2 ** 31 - 150), (pieces, base) => {
        const world = new World();
        const [, server] = world.connected();
        const { context } = world.server.tcp;
        const model = new Set<number>();
        for (const { from, length } of pieces) {
          const packet = world.server.packets.takeUrgent(length)!;
          for (let i = 0; i < length; i++) packet.memory.bytes[packet.start + i] = (from + i) & 255;
          const arrival = Object.assign(new Arrival(), { seq: (base + from) | 0, packet, offset: packet.start, length, flags: 0 });
          expect(server.outOfOrder.insert(context, arrival)).not.toBe(REFUSED);
          packet.release();
          for (let i = 0; i < length; i++) model.add(from + i);
        }
        const found: number[] = [];
        for (let run = server.outOfOrder.first; run !== null; run = run.next) {
          for (let segment = run.segments.head; segment !== null; segment = segment.next) {
            for (let i = 0; i < segment.length; i++) {
              const at = (segment.seq + i - base) | 0;
              found.push(at);
              expect(segment.packet!.memory.bytes[segment.offset + i]).toBe(at & 255);
            }
          }
        }
        expect(found).toEqual([...model].sort((a, b) => a - b));
        server.outOfOrder.clear(context);
        expect(context.segments.inUse).toBe(0);
        expect(world.server.packets.inUse).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps FIN at its place', () => {
    const world = new World();
    const [client, server] = world.connected();
    world.client.write(client, 'first');
    world.run(50);
    let dropped = false;
    world.filter = (seen) => seen.from === world.client && seen.length > 0 && !dropped && (dropped = true);
    world.client.write(client, 'second');
    client.shutdown(1);
    world.run(1);
    expect(server.outOfOrder.first === null || (server.outOfOrder.first.segments.tail!.flags & FIN) !== 0).toBe(true);
    world.run(2000);
    expect(world.server.read(server)).toBe('firstsecond');
    expect(world.server.read(server)).toBe('');
  });
});
