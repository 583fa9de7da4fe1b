/**
 * A datagram in a receive queue: a range of a held packet and what came with it. Objects are used again.
 */
import { IpAddress } from '../address.ts';
import { Payload } from '../packet.ts';
import { SocketAddress } from '../socket-address.ts';

/** What `receive` tells of a datagram beyond its bytes. The caller's object, filled anew by each call. */
export class ReceivedDatagram {
  readonly from = new SocketAddress();
  /** Address it was sent to, and the port. */
  readonly destination = new SocketAddress();
  interfaceIndex = 0;
  hopLimit = 0;
  trafficClass = 0;
  flowLabel = 0;
  /** CLOCK_MONOTONIC of its arrival. */
  timeNs = 0;
  /** Bytes it had, whatever of them was wanted. */
  length = 0;
  isTruncated = false;
}

export class Datagram {
  readonly payload = new Payload();
  readonly from = new SocketAddress();
  readonly destination = new SocketAddress();
  interfaceIndex = 0;
  hopLimit = 0;
  trafficClass = 0;
  flowLabel = 0;
  timeNs = 0;
  version: 4 | 6 = 4;
  protocol = 0;
  identification = 0;
  dontFragment = false;
  next: Datagram | null = null;

  describe(into: ReceivedDatagram): void {
    into.from.copy(this.from);
    into.destination.copy(this.destination);
    into.interfaceIndex = this.interfaceIndex;
    into.hopLimit = this.hopLimit;
    into.trafficClass = this.trafficClass;
    into.flowLabel = this.flowLabel;
    into.timeNs = this.timeNs;
    into.length = this.payload.length;
    into.isTruncated = false;
  }
}

/** Unused datagram objects of one stack. */
export class DatagramStore {
  private free: Datagram | null = null;

  take(): Datagram {
    const datagram = this.free;
    if (datagram === null) return new Datagram();
    this.free = datagram.next;
    datagram.next = null;
    return datagram;
  }

  /** Gives the object and its packet back. */
  put(datagram: Datagram): void {
    const { packet } = datagram.payload;
    datagram.payload.packet = null;
    packet?.release();
    datagram.next = this.free;
    this.free = datagram;
  }
}

/** What `receiveError` tells (struct sock_extended_err, recverr(2) in ip(7)). */
export class ReceivedError {
  errno = 0;
  origin = 0;
  type = 0;
  code = 0;
  info = 0;
  /** Who complained; unspecified for local errors. */
  readonly offender = new IpAddress();
  /** Where the packet that failed was sent to. */
  readonly destination = new SocketAddress();
  interfaceIndex = 0;
  /** Bytes of the packet that are there. */
  length = 0;
  isTruncated = false;

  copy(other: ReceivedError): void {
    this.errno = other.errno;
    this.origin = other.origin;
    this.type = other.type;
    this.code = other.code;
    this.info = other.info;
    this.offender.copy(other.offender);
    this.destination.copy(other.destination);
    this.interfaceIndex = other.interfaceIndex;
    this.length = other.length;
    this.isTruncated = other.isTruncated;
  }
}
