/**
 * The segment that is being worked on, in one reusable object: trimming to the window changes it and leaves header and packet as they are.
 */
import type { Packet } from '../packet.ts';
import { FIN, SYN } from './header.ts';
import type { Payload } from '../packet.ts';
import type { TcpHeader } from './header.ts';

export class Arrival {
  seq = 0;
  /** FIN and SYN are among them while they are to be looked at. */
  flags = 0;
  packet: Packet | null = null;
  offset = 0;
  length = 0;

  set(header: TcpHeader, payload: Payload | null): this {
    this.seq = header.seq;
    this.flags = header.flags;
    this.packet = payload === null ? null : payload.packet;
    this.offset = payload === null ? 0 : payload.offset;
    this.length = payload === null ? 0 : payload.length;
    return this;
  }

  get endSeq(): number {
    return (this.seq + this.length + (this.flags & FIN) + ((this.flags & SYN) >> 1)) | 0;
  }

  /** Drops `octets` of sequence space at the front, at most all of the payload. */
  trimFront(octets: number): void {
    const bytes = Math.min(octets, this.length);
    this.seq = (this.seq + octets) | 0;
    this.offset += bytes;
    this.length -= bytes;
  }

  /** Keeps `bytes` of payload, which is less than there is: what comes behind, FIN included, is gone. */
  trimTo(bytes: number): void {
    this.length = bytes;
    this.flags &= ~FIN;
  }
}
