/**
 * A filter of a socket: says how much of a packet the socket gets.
 *
 *     const filter = PacketFilter.decode(words);          // null: EINVAL
 *     filter.run(packet)                                  // bytes to keep from `packet.start` on; 0: it is dropped
 *
 * Specification: socket(7), SO_ATTACH_FILTER; Linux net/core/filter.c bpf_prog_run_clear_cb, bpf_skb_load_helper_32,
 * bpf_internal_load_pointer_neg_helper.
 */
import * as bpf from '#sentry/abi/bpf.ts';
import { run } from './interpreter.ts';
import type { Loads } from './interpreter.ts';
import { PACKET_DIALECT, PacketOp } from './packet-dialect.ts';
import { decodeProgram } from './program.ts';
import type { Program } from './program.ts';

/** A packet as a filter sees it. The caller's object, used for one run after the other. */
export class FilteredPacket implements Loads {
  view: DataView;
  /** Offsets in `view`: the packet is [start, end). */
  start = 0;
  end = 0;
  /** Where SKF_NET_OFF and SKF_LL_OFF lead, before or behind `start`; -1: there is no such header. */
  network = -1;
  link = -1;
  /** Ethertype, host order. */
  protocol = 0;
  /** PACKET_HOST … PACKET_OUTGOING. */
  type = 0;
  interfaceIndex = 0;
  /** ARPHRD_*. */
  hardwareType = 0;
  random: () => number = () => 0;
  isBeyond = false;

  constructor(view: DataView) {
    this.view = view;
  }

  load(kind: number, operand: number, x: number): number {
    switch (kind) {
      case PacketOp.Half:
        return this.half(operand);
      case PacketOp.Byte:
        return this.byte(operand);
      case PacketOp.Word:
        return this.word(operand);
      case PacketOp.IndexedHalf:
        return this.half((operand + x) | 0);
      case PacketOp.IndexedByte:
        return this.byte((operand + x) | 0);
      case PacketOp.IndexedWord:
        return this.word((operand + x) | 0);
      case PacketOp.HeaderLength:
        return (this.byte(operand) & 15) << 2;
      default:
        return this.fact(kind);
    }
  }

  private byte(offset: number): number {
    const at = this.place(offset, 1);
    return at < 0 ? 0 : this.view.getUint8(at);
  }

  private half(offset: number): number {
    const at = this.place(offset, 2);
    return at < 0 ? 0 : this.view.getUint16(at);
  }

  private word(offset: number): number {
    const at = this.place(offset, 4);
    return at < 0 ? 0 : this.view.getInt32(at);
  }

  /** Where `size` bytes at `offset` lie, which counts from the packet's start or, negative, from one of its headers; -1: beyond it. */
  private place(offset: number, size: number): number {
    const { start, network, link } = this;
    let at = -1;
    if (offset >= 0) at = start + offset;
    else if (offset >= bpf.SKF_NET_OFF) at = network < 0 ? -1 : network + offset - bpf.SKF_NET_OFF;
    else if (offset >= bpf.SKF_LL_OFF) at = link < 0 ? -1 : link + offset - bpf.SKF_LL_OFF;
    this.isBeyond = at < 0 || at + size > this.end;
    return this.isBeyond ? -1 : at;
  }

  /** What is known besides the bytes. */
  private fact(kind: number): number {
    switch (kind) {
      case PacketOp.Protocol:
        return this.protocol;
      case PacketOp.PacketType:
        return this.type;
      case PacketOp.InterfaceIndex:
        return this.interfaceIndex;
      case PacketOp.HardwareType:
        return this.hardwareType;
      case PacketOp.Random:
        return this.random();
      default:
        return this.end - this.start;
    }
  }
}

const NO_DATA = new Int32Array(0);

export class PacketFilter {
  /** As the guest gave it, for SO_GET_FILTER. */
  readonly words: Uint32Array;
  private readonly program: Program;

  private constructor(words: Uint32Array, program: Program) {
    this.words = words;
    this.program = program;
  }

  /** @param words as for `decodeProgram`. @returns null for a program that Linux refuses with EINVAL. */
  static decode(words: Uint32Array): PacketFilter | null {
    const program = decodeProgram(words, PACKET_DIALECT);
    return program === null ? null : new PacketFilter(words, program);
  }

  get length(): number {
    return this.program.length;
  }

  /** What the program returns of a packet, unsigned: bytes to keep, which may be more than there are. */
  run(packet: FilteredPacket): number {
    packet.isBeyond = false;
    return run(this.program, NO_DATA, packet) >>> 0;
  }
}
