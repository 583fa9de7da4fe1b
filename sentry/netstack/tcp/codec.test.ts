/** Headers as bytes: written and read again, and any bytes at all. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTcpHeader, tcpHeaderLength, writeTcpHeader } from './codec.ts';
import { ACK, SYN, TcpHeader } from './header.ts';

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const port = fc.integer({ min: 0, max: 65_535 });

describe('a header', () => {
  it('is read as it was written', () => {
    const arbitrary = fc.record({
      sourcePort: port,
      destinationPort: port,
      seq: int32,
      ack: int32,
      isSyn: fc.boolean(),
      window: port,
      urgent: port,
      mss: port,
      windowScale: fc.integer({ min: -1, max: 14 }),
      sackPermitted: fc.integer({ min: 0, max: 1 }),
      timestamps: fc.integer({ min: 0, max: 1 }),
      tsValue: int32,
      tsEcho: int32,
      sack: fc.array(int32, { minLength: 0, maxLength: 3 }).map((edges) => edges.flatMap((edge) => [edge, (edge + 1) | 0])),
    });
    fc.assert(
      fc.property(arbitrary, ({ isSyn, sack, ...fields }) => {
        const header = Object.assign(new TcpHeader(), fields);
        header.flags = isSyn ? SYN : ACK;
        if (!isSyn) Object.assign(header, { mss: 0, windowScale: -1, sackPermitted: 0, sackCount: sack.length / 2 });
        header.sack.set(isSyn ? [] : sack);
        const bytes = new Uint8Array(80);
        const length = writeTcpHeader(header, bytes, 7);
        expect(length).toBe(tcpHeaderLength(header));
        expect(length).toBeLessThanOrEqual(60);
        const read = new TcpHeader();
        expect(parseTcpHeader(read, bytes, 7, length)).toBe(length);
        if (read.timestamps === 0) Object.assign(read, { tsValue: header.tsValue, tsEcho: header.tsEcho });
        read.sack.fill(0, 2 * read.sackCount);
        header.sack.fill(0, 2 * header.sackCount);
        expect(read).toEqual(header);
      }),
    );
  });

  it('of any bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 80 }), (bytes) => {
        const header = new TcpHeader();
        const length = parseTcpHeader(header, bytes, 0, bytes.length);
        expect(length === -1 || (length >= 20 && length <= Math.min(60, bytes.length) && length % 4 === 0)).toBe(true);
        expect(header.sackCount).toBeLessThanOrEqual(4);
        expect(header.windowScale).toBeLessThanOrEqual(14);
      }),
      { numRuns: 2000 },
    );
  });
});
