/**
 * What waits for `Stack.poll`: packets this host sends to itself. They are kept as objects, so loopback writes no header and sums no byte;
 * the receiver gets the sender's very packet.
 *
 * Four kinds: TCP segments and UDP datagrams with their headers as fields, other packets as the bytes behind the IP header, and whole IP
 * packets (from raw sockets that bring their header, and copies of what was sent to groups).
 */
import { BACKLOG_PACKETS_MAX } from '../limits.ts';
import type { NetworkInterface } from '../link/interface.ts';
import { Payload } from '../packet.ts';
import { TcpHeader } from '../tcp/header.ts';
import { IpHeader } from './header.ts';

export const KIND_TCP = 0;
export const KIND_UDP = 1;
export const KIND_PAYLOAD = 2;
export const KIND_WHOLE = 3;

export class BacklogEntry {
  kind = KIND_TCP;
  readonly ip = new IpHeader();
  readonly tcp = new TcpHeader();
  sourcePort = 0;
  destinationPort = 0;
  readonly payload = new Payload();
  /** Where it arrives. */
  interface: NetworkInterface;
  next: BacklogEntry | null = null;

  constructor(owner: NetworkInterface) {
    this.interface = owner;
  }
}

export class Backlog {
  length = 0;
  private head: BacklogEntry | null = null;
  private tail: BacklogEntry | null = null;
  private free: BacklogEntry | null = null;

  /** A new entry at the end for the caller to fill at once; null when the backlog is full. */
  append(kind: number, owner: NetworkInterface): BacklogEntry | null {
    if (this.length >= BACKLOG_PACKETS_MAX) return null;
    let entry = this.free;
    if (entry === null) entry = new BacklogEntry(owner);
    else this.free = entry.next;
    entry.kind = kind;
    entry.interface = owner;
    entry.next = null;
    if (this.tail === null) this.head = entry;
    else this.tail.next = entry;
    this.tail = entry;
    this.length++;
    return entry;
  }

  /** The first entry, no longer in the queue; `recycle` it when done. */
  shift(): BacklogEntry | null {
    const entry = this.head;
    if (entry === null) return null;
    this.head = entry.next;
    if (this.head === null) this.tail = null;
    this.length--;
    return entry;
  }

  /** Gives the entry and its packet back. */
  recycle(entry: BacklogEntry): void {
    const { packet } = entry.payload;
    if (packet !== null) {
      entry.payload.packet = null;
      packet.release();
    }
    entry.next = this.free;
    this.free = entry;
  }
}
