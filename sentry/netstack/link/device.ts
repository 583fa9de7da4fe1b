/**
 * A link device: what carries frames, with no opinion about what is in them. Wrappers compose (trace, pcap, faults) around any of them.
 *
 *     device.send(packet, 14, offload)    // the frame is [start, end) of the packet; the device holds it if it keeps it
 *     device.poll(receiver, budget)       // frames that arrived go to receiver.frame(packet, offload)
 *
 * Ethernet devices carry frames with their header, devices without hardware addresses bare IP packets (tun). Offloads are those of
 * virtio-net's header (Virtual I/O Device specification, section 5.1.6): a checksum left to the device, and segmentation of TCP.
 */
import type { Packet } from '../packet.ts';

export type LinkKind = 'ethernet' | 'ip';

/** What a frame leaves to the device, or what a device already knows of a frame. One reusable object each way. */
export class Offload {
  /** Where the checksummed part begins, counted from the beginning of the IP header, -1: the checksum is complete. */
  checksumStart = -1;
  /** Place of the checksum field behind `checksumStart`. */
  checksumOffset = 0;
  /** Payload bytes of each segment the device has to make, 0: none. */
  segmentSize = 0;
  /** Bytes of the IP and TCP headers before the payload that is cut. */
  headerLength = 0;
  /** Input: the device vouches for the checksums above IP. */
  isVerified = false;

  clear(): this {
    this.checksumStart = -1;
    this.checksumOffset = 0;
    this.segmentSize = 0;
    this.headerLength = 0;
    this.isVerified = false;
    return this;
  }

  copy(other: Offload): this {
    this.checksumStart = other.checksumStart;
    this.checksumOffset = other.checksumOffset;
    this.segmentSize = other.segmentSize;
    this.headerLength = other.headerLength;
    this.isVerified = other.isVerified;
    return this;
  }
}

/** Nothing left to do. Not to be changed. */
export const NO_OFFLOAD = new Offload();

export interface FrameReceiver {
  /** A frame; the receiver holds the packet if it keeps it, and may change it. */
  frame(packet: Packet, offload: Offload, nowNs: number): void;
}

export interface LinkDevice {
  readonly kind: LinkKind;
  /** Bytes of IP in one frame. */
  readonly mtu: number;
  /** Six bytes for Ethernet, nothing otherwise: a byte string. */
  readonly hardwareAddress: string;
  /** The device completes checksums of TCP and UDP. */
  readonly canChecksum: boolean;
  /** Bytes of the largest IP packet whose TCP payload the device cuts to segments, 0: it does not. */
  readonly segmentationMax: number;
  /** Sends the frame [start, end), whose IP header is `linkLength` bytes behind its start. 0 or -errno: -ENOBUFS when the device's queue is full, -EIO when it is gone. */
  send(packet: Packet, linkLength: number, offload: Offload): number;
  /** Hands over at most `budget` frames that arrived; returns how many. */
  poll(receiver: FrameReceiver, budget: number, nowNs: number): number;
  /** When `poll` will have something without news from outside, Infinity otherwise. Simulated links have delays. */
  readonly nextDeadline: number;
}
