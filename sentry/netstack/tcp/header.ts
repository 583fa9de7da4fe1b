/**
 * A TCP header in memory (RFC 9293 section 3.1, options of RFC 7323 and 2018) as one reusable object, so that a segment on loopback is
 * never written to bytes: output fills a header, the lower layer copies it to the queue of the loopback, input reads it there.
 *
 *     header.clear();
 *     header.seq = …;                       // ports, seq, ack, flags, window are set by the caller; options are absent after clear
 *     lower.send(ip, header, payload);
 *
 * 32-bit values are signed (`| 0`): those are small integers to V8. The wire format is codec.ts's business.
 */
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;

/** SACK blocks that fit behind a header (RFC 2018 section 3). */
export const SACK_BLOCKS_MAX = 4;

export class TcpHeader {
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  /** FIN … URG; ECE and CWR may be among them and mean nothing to us. */
  flags = 0;
  /** As on the wire: 16 bits, not scaled. */
  window = 0;
  urgent = 0;
  /** Maximum segment size option, 0: absent. */
  mss = 0;
  /** Window scale option, -1: absent. */
  windowScale = -1;
  /** 1: SACK-permitted option present. */
  sackPermitted = 0;
  /** 1: timestamps option present. */
  timestamps = 0;
  tsValue = 0;
  tsEcho = 0;
  /** Blocks in `sack`: pairs of left and right edge. */
  sackCount = 0;
  readonly sack = new Int32Array(2 * SACK_BLOCKS_MAX);
  /** 1: the peer asked for TCP Fast Open (RFC 7413), which is refused by answering as if it had not. */
  fastOpen = 0;
  /** Payload longer than one segment, to be cut by the device (or not at all on loopback): octets in each, 0: it is one segment. */
  segmentSize = 0;

  /** No options, no flags, no segmentation. Ports and numbers keep what they had. */
  clear(): void {
    this.flags = 0;
    this.urgent = 0;
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = 0;
    this.timestamps = 0;
    this.sackCount = 0;
    this.fastOpen = 0;
    this.segmentSize = 0;
  }

  /** Becomes a copy of `other`. */
  copy(other: TcpHeader): void {
    this.sourcePort = other.sourcePort;
    this.destinationPort = other.destinationPort;
    this.seq = other.seq;
    this.ack = other.ack;
    this.flags = other.flags;
    this.window = other.window;
    this.urgent = other.urgent;
    this.mss = other.mss;
    this.windowScale = other.windowScale;
    this.sackPermitted = other.sackPermitted;
    this.timestamps = other.timestamps;
    this.tsValue = other.tsValue;
    this.tsEcho = other.tsEcho;
    this.sackCount = other.sackCount;
    for (let i = 0; i < 2 * other.sackCount; i++) this.sack[i] = other.sack[i]!;
    this.fastOpen = other.fastOpen;
    this.segmentSize = other.segmentSize;
  }
}
