/**
 * A filter of a socket: says how much of a packet the socket gets.
 *
 *     const filter = PacketFilter.decode(words);          // null: EINVAL
 *     filter.run(packet)                                  // bytes to keep from `packet.start` on; 0: it is dropped
 *
 * Specification: socket(7), SO_ATTACH_FILTER; Linux net/core/filter.c bpf_prog_run_clear_cb, bpf_skb_load_helper_32,
 * bpf_internal_load_pointer_neg_helper. A load beyond the packet and a division by an index register of zero end the program with 0.
 */
import * as bpf from '#sentry/abi/bpf.ts';
import { arithmetic, dividesBy, holds } from './arithmetic.ts';
import { PACKET_DIALECT, PacketOp } from './packet-dialect.ts';
import { decodeProgram, Op } from './program.ts';
import type { Program } from './program.ts';

/** A packet as a filter sees it. The caller's object, used for one run after the other. */
export class FilteredPacket {
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

  constructor(view: DataView) {
    this.view = view;
  }
}

const memory = new Int32Array(bpf.BPF_MEMWORDS);

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
    const { op, operation, k, yes, no } = this.program;
    const { view } = packet;
    let a = 0;
    let x = 0;
    let pc = 0;
    for (;;) {
      const operand = k[pc]!;
      const kind = op[pc]!;
      let at: number;
      switch (kind) {
        case PacketOp.Half:
        case PacketOp.IndexedHalf:
          at = placeOf(packet, kind === PacketOp.Half ? operand : (operand + x) | 0, 2);
          if (at < 0) return 0;
          a = view.getUint16(at);
          break;
        case PacketOp.Byte:
        case PacketOp.IndexedByte:
          at = placeOf(packet, kind === PacketOp.Byte ? operand : (operand + x) | 0, 1);
          if (at < 0) return 0;
          a = view.getUint8(at);
          break;
        case PacketOp.Word:
        case PacketOp.IndexedWord:
          at = placeOf(packet, kind === PacketOp.Word ? operand : (operand + x) | 0, 4);
          if (at < 0) return 0;
          a = view.getInt32(at);
          break;
        case PacketOp.HeaderLength:
          at = placeOf(packet, operand, 1);
          if (at < 0) return 0;
          x = (view.getUint8(at) & 15) << 2;
          break;
        case Op.CompareK:
          pc = holds(operation[pc]!, a, operand) ? yes[pc]! : no[pc]!;
          continue;
        case Op.CompareX:
          pc = holds(operation[pc]!, a, x) ? yes[pc]! : no[pc]!;
          continue;
        case Op.Jump:
          pc = yes[pc]!;
          continue;
        case Op.ReturnConstant:
          return operand >>> 0;
        case Op.ReturnAccumulator:
          return a >>> 0;
        case Op.ArithmeticK:
          a = arithmetic(operation[pc]!, a, operand);
          break;
        case Op.ArithmeticX:
          if (x === 0 && dividesBy(operation[pc]!)) return 0;
          a = arithmetic(operation[pc]!, a, x);
          break;
        case Op.Negate:
          a = -a | 0;
          break;
        case Op.LoadConstant:
          a = operand;
          break;
        case Op.LoadIndexConstant:
          x = operand;
          break;
        case Op.LoadMemory:
          a = memory[operand]!;
          break;
        case Op.LoadIndexMemory:
          x = memory[operand]!;
          break;
        case Op.Store:
          memory[operand] = a;
          break;
        case Op.StoreIndex:
          memory[operand] = x;
          break;
        case Op.ToIndex:
          x = a;
          break;
        case Op.FromIndex:
          a = x;
          break;
        case PacketOp.IndexLength:
          x = packet.end - packet.start;
          break;
        default:
          a = factOf(packet, kind);
      }
      pc++;
    }
  }
}

/** Where `size` bytes at `offset` lie, which counts from the packet's start or, negative, from one of its headers; -1: not in the packet. */
function placeOf(packet: FilteredPacket, offset: number, size: number): number {
  const { start, network, link } = packet;
  let at = -1;
  if (offset >= 0) at = start + offset;
  else if (offset >= bpf.SKF_NET_OFF) at = network < 0 ? -1 : network + offset - bpf.SKF_NET_OFF;
  else if (offset >= bpf.SKF_LL_OFF) at = link < 0 ? -1 : link + offset - bpf.SKF_LL_OFF;
  return at + size > packet.end ? -1 : at;
}

/** What is known of a packet besides its bytes. */
function factOf(packet: FilteredPacket, kind: number): number {
  switch (kind) {
    case PacketOp.Protocol:
      return packet.protocol;
    case PacketOp.PacketType:
      return packet.type;
    case PacketOp.InterfaceIndex:
      return packet.interfaceIndex;
    case PacketOp.HardwareType:
      return packet.hardwareType;
    case PacketOp.Random:
      return packet.random();
    default:
      return packet.end - packet.start;
  }
}
