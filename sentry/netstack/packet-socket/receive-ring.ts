/**
 * PACKET_RX_RING: frames go to memory that the guest has mapped, where it takes them without a call and gives each place back by a word of its own.
 *
 *     block │ frame │ frame │ … │        frame: header │ sockaddr_ll │ … │ link header │ packet
 *           │ block size        │               0        32                  link        network
 *
 *     if (!ring.put(frame)) …                  // full: the next place is the guest's still
 *     ring.hasUnread                           // whether poll(2) says so
 *
 * The guest may write whatever it likes there, at any time. Nothing of it is read but the word that says whose a place is; where places are is
 * known from the request.
 *
 * packet(7); Linux Documentation/networking/packet_mmap.rst, net/packet/af_packet.c packet_set_ring, tpacket_rcv, packet_poll.
 */
import { EINVAL } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/packet.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { copyBytes } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { LinkAddress } from './link-address.ts';

const NS = 1e9;
const PAGE_SIZE = 4096;
/** Header and address; both versions have the same sizes. */
export const RING_HEADER_LENGTH: number = abi.Tpacket2Hdr.size;
const PLACE_HEADER_LENGTH = RING_HEADER_LENGTH + abi.SockaddrLl.size;
/** Room for a link header, even where there is none. */
const LINK_LENGTH_MIN = 16;

export interface RingRequest {
  /** Bytes; a multiple of the page size. */
  readonly blockSize: number;
  readonly blocks: number;
  readonly frameSize: number;
  readonly frames: number;
  /** TPACKET_V1 or TPACKET_V2. */
  readonly version: number;
  /** PACKET_RESERVE. */
  readonly reserve: number;
}

/** 0 or -EINVAL. */
export function checkRing({ blockSize, blocks, frameSize, frames, reserve }: RingRequest): number {
  if (blockSize === 0 || blockSize > 0x7fff_ffff || blockSize % PAGE_SIZE !== 0) return -EINVAL;
  if (frameSize < PLACE_HEADER_LENGTH + reserve || frameSize % abi.TPACKET_ALIGNMENT !== 0) return -EINVAL;
  const framesPerBlock = Math.floor(blockSize / frameSize);
  return framesPerBlock > 0 && framesPerBlock * blocks === frames ? 0 : -EINVAL;
}

/** What is put. The caller's object. */
export class RingFrame {
  packet: Packet | null = null;
  /** Bytes at the packet's start that are not shown, how many there are behind them, and how many of those the filter leaves. */
  skipped = 0;
  length = 0;
  captured = 0;
  /** Of the link header, as far as it is shown. */
  linkLength = 0;
  /** Some were lost since anybody asked. */
  isLosing = false;
  /** CLOCK_REALTIME. */
  timeNs = 0;
}

export class ReceiveRing {
  readonly request: RingRequest;
  private readonly memory: HostMemory;
  private readonly framesPerBlock: number;
  /** The place to be filled next. */
  private next = 0;

  /** `request` was checked; `memory` holds all blocks. */
  constructor(memory: HostMemory, request: RingRequest) {
    this.memory = memory;
    this.request = request;
    this.framesPerBlock = Math.floor(request.blockSize / request.frameSize);
  }

  /** Whether the frame that was put last is the guest's still. */
  get hasUnread(): boolean {
    const last = this.next === 0 ? this.request.frames - 1 : this.next - 1;
    return this.statusAt(this.placeOf(last)) !== abi.TP_STATUS_KERNEL;
  }

  /** False: the next place is the guest's, or too much is reserved in front of what is to be put there. */
  put(frame: RingFrame, from: LinkAddress): boolean {
    const { request, memory } = this;
    const place = this.placeOf(this.next);
    const network = aligned(PLACE_HEADER_LENGTH + Math.max(frame.linkLength, LINK_LENGTH_MIN)) + request.reserve;
    if (this.statusAt(place) !== abi.TP_STATUS_KERNEL || network > 0xffff) return false;
    const packet = frame.packet!;
    const link = network - frame.linkLength;
    const copied = Math.max(Math.min(frame.captured, request.frameSize - link), 0);
    if (copied > 0) copyBytes(packet.memory, packet.start + frame.skipped, memory, place + link, copied);
    from.write(memory.view, place + RING_HEADER_LENGTH);
    const status = abi.TP_STATUS_USER | (frame.isLosing ? abi.TP_STATUS_LOSING : 0);
    const write = request.version === abi.TPACKET_V1 ? writeFirst : writeSecond;
    write(memory.view, place, frame.length, copied, link, network, frame.timeNs);
    // Last of all: from now on it is the guest's.
    memory.view.setUint32(place, status, true);
    this.next = this.next + 1 === request.frames ? 0 : this.next + 1;
    return true;
  }

  private placeOf(index: number): number {
    const block = Math.floor(index / this.framesPerBlock);
    return block * this.request.blockSize + (index % this.framesPerBlock) * this.request.frameSize;
  }

  private statusAt(place: number): number {
    return this.memory.view.getUint32(place, true);
  }
}

function aligned(length: number): number {
  return (length + abi.TPACKET_ALIGNMENT - 1) & ~(abi.TPACKET_ALIGNMENT - 1);
}

function writeFirst(view: DataView, at: number, length: number, captured: number, link: number, network: number, timeNs: number): void {
  const { offsets } = abi.TpacketHdr;
  view.setUint32(at + offsets.statusHigh, 0, true);
  view.setUint32(at + offsets.length, length, true);
  view.setUint32(at + offsets.captured, captured, true);
  view.setUint16(at + offsets.link, link, true);
  view.setUint16(at + offsets.network, network, true);
  view.setUint32(at + offsets.seconds, Math.floor(timeNs / NS), true);
  view.setUint32(at + offsets.micros, Math.floor((timeNs % NS) / 1000), true);
}

function writeSecond(view: DataView, at: number, length: number, captured: number, link: number, network: number, timeNs: number): void {
  const { offsets } = abi.Tpacket2Hdr;
  view.setUint32(at + offsets.length, length, true);
  view.setUint32(at + offsets.captured, captured, true);
  view.setUint16(at + offsets.link, link, true);
  view.setUint16(at + offsets.network, network, true);
  view.setUint32(at + offsets.seconds, Math.floor(timeNs / NS), true);
  view.setUint32(at + offsets.nanos, Math.floor(timeNs % NS), true);
  view.setUint32(at + offsets.vlanTag, 0, true);
  view.setUint32(at + offsets.padding, 0, true);
}
