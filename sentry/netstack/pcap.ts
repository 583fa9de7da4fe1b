/**
 * Captures: what crosses an interface, as a pcap file (draft-ietf-opsawg-pcap) that tcpdump and wireshark read.
 *
 *     const capture = new PcapCapture(memory, sink, link, state, realtimeOffsetNs);
 *     link.taps.push(capture);  …  capture.flush();
 *
 * A capture is one more tap: frames come with their checksums complete, whatever was left to a device. Records gather in a buffer, and what the
 * sink does not take at once is dropped and counted: capturing never stops the network.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import { PACKET_DATA_MAX, copyBytes } from './packet.ts';
import type { Packet } from './packet.ts';
import type { NetworkInterface } from './link/interface.ts';
import { PACKET_OUTGOING } from './link/tap.ts';
import type { PacketTap } from './link/tap.ts';
import type { StackState } from './stack-state.ts';

/** Little-endian with times in nanoseconds. */
const MAGIC = 0xa1b23c4d;
const VERSION = 0x0004_0002;
const FILE_HEADER_LENGTH = 24;
const RECORD_HEADER_LENGTH = 16;
/** Bytes of one frame that are kept: all of them. */
const SNAP_LENGTH = 262_144;
const LINKTYPE_ETHERNET = 1;
const LINKTYPE_RAW = 101;

/** Bytes of the buffer a capture needs. */
export const PCAP_BUFFER_BYTES = 2 * (PACKET_DATA_MAX + 4096);

/** Where the file goes. */
export interface PcapSink {
  /** Takes all of the bytes, or answers -errno: then they are lost. */
  write(memory: HostMemory, offset: number, length: number): number;
}

export class PcapCapture implements PacketTap {
  /** Frames in the file, and frames lost. */
  written = 0;
  lost = 0;
  private readonly memory: HostMemory;
  private readonly sink: PcapSink;
  private readonly state: StackState;
  /** CLOCK_REALTIME minus CLOCK_MONOTONIC. */
  private readonly realtimeOffsetNs: number;
  private used = 0;
  private buffered = 0;

  constructor(memory: HostMemory, sink: PcapSink, owner: NetworkInterface, state: StackState, realtimeOffsetNs: number) {
    this.memory = memory;
    this.sink = sink;
    this.state = state;
    this.realtimeOffsetNs = realtimeOffsetNs;
    const { view } = memory;
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, VERSION, true);
    view.setUint32(8, 0, true);
    view.setUint32(12, 0, true);
    view.setUint32(16, SNAP_LENGTH, true);
    view.setUint32(20, owner.isEthernet || owner.isLoopback ? LINKTYPE_ETHERNET : LINKTYPE_RAW, true);
    this.used = FILE_HEADER_LENGTH;
  }

  tap(from: NetworkInterface, packet: Packet, _linkLength: number, _etherType: number, kind: number): void {
    // What leaves by lo arrives there too, and is shown once.
    if (from.isLoopback && kind === PACKET_OUTGOING) return;
    const { length } = packet;
    if (this.used + RECORD_HEADER_LENGTH + length > this.memory.bytes.length) this.flush();
    const at = this.used;
    const { view } = this.memory;
    const timeNs = this.state.nowNs + this.realtimeOffsetNs;
    const seconds = Math.floor(timeNs / 1e9);
    view.setUint32(at, seconds, true);
    view.setUint32(at + 4, timeNs - seconds * 1e9, true);
    view.setUint32(at + 8, length, true);
    view.setUint32(at + 12, length, true);
    copyBytes(packet.memory, packet.start, this.memory, at + RECORD_HEADER_LENGTH, length);
    this.used = at + RECORD_HEADER_LENGTH + length;
    this.buffered++;
  }

  /** Hands what has gathered to the sink. */
  flush(): void {
    const { used, buffered } = this;
    this.used = 0;
    this.buffered = 0;
    if (used === 0) return;
    if (this.sink.write(this.memory, 0, used) === used) this.written += buffered;
    else this.lost += buffered;
  }
}
