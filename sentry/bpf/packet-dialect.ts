/**
 * What programs of sockets load: bytes of the packet, big endian, and what the kernel knows of it besides.
 *
 * Specification: socket(7), SO_ATTACH_FILTER; Linux Documentation/networking/filter.rst, net/core/filter.c bpf_check_classic,
 * convert_bpf_extensions.
 */
import * as bpf from '#sentry/abi/bpf.ts';
import { FIRST_OWN_INDEX_KIND, FIRST_OWN_KIND, Op } from './program.ts';
import type { Dialect, Instruction } from './program.ts';

/** Loads from the packet: absolute from offset `k`, indexed from `k` behind the index register. */
export const PacketOp = {
  Word: FIRST_OWN_KIND,
  Half: FIRST_OWN_KIND + 1,
  Byte: FIRST_OWN_KIND + 2,
  IndexedWord: FIRST_OWN_KIND + 3,
  IndexedHalf: FIRST_OWN_KIND + 4,
  IndexedByte: FIRST_OWN_KIND + 5,
  /** Bytes of the packet. */
  Length: FIRST_OWN_KIND + 6,
  IndexLength: FIRST_OWN_INDEX_KIND,
  /** Length of the IPv4 header at offset `k`. */
  HeaderLength: FIRST_OWN_INDEX_KIND + 1,
  // What is known besides.
  Protocol: FIRST_OWN_KIND + 7,
  PacketType: FIRST_OWN_KIND + 8,
  InterfaceIndex: FIRST_OWN_KIND + 9,
  HardwareType: FIRST_OWN_KIND + 10,
  Random: FIRST_OWN_KIND + 11,
} as const;

const ABSOLUTE: ReadonlyMap<number, number> = new Map([
  [bpf.BPF_LD | bpf.BPF_W | bpf.BPF_ABS, PacketOp.Word],
  [bpf.BPF_LD | bpf.BPF_H | bpf.BPF_ABS, PacketOp.Half],
  [bpf.BPF_LD | bpf.BPF_B | bpf.BPF_ABS, PacketOp.Byte],
]);

const OTHERS: ReadonlyMap<number, number> = new Map([
  [bpf.BPF_LD | bpf.BPF_W | bpf.BPF_IND, PacketOp.IndexedWord],
  [bpf.BPF_LD | bpf.BPF_H | bpf.BPF_IND, PacketOp.IndexedHalf],
  [bpf.BPF_LD | bpf.BPF_B | bpf.BPF_IND, PacketOp.IndexedByte],
  [bpf.BPF_LD | bpf.BPF_W | bpf.BPF_LEN, PacketOp.Length],
  [bpf.BPF_LDX | bpf.BPF_W | bpf.BPF_LEN, PacketOp.IndexLength],
  [bpf.BPF_LDX | bpf.BPF_B | bpf.BPF_MSH, PacketOp.HeaderLength],
]);

/** There is one CPU that packets come by, one queue, no hash, and neither marks nor tags of VLANs. */
const ZERO: Instruction = { kind: Op.LoadConstant, operand: 0 };

const FACTS: ReadonlyMap<number, Instruction> = new Map([
  [bpf.SKF_AD_PROTOCOL, { kind: PacketOp.Protocol, operand: 0 }],
  [bpf.SKF_AD_PKTTYPE, { kind: PacketOp.PacketType, operand: 0 }],
  [bpf.SKF_AD_IFINDEX, { kind: PacketOp.InterfaceIndex, operand: 0 }],
  [bpf.SKF_AD_HATYPE, { kind: PacketOp.HardwareType, operand: 0 }],
  [bpf.SKF_AD_RANDOM, { kind: PacketOp.Random, operand: 0 }],
  [bpf.SKF_AD_ALU_XOR_X, { kind: Op.ArithmeticX, operand: 0, operation: bpf.BPF_XOR }],
  [bpf.SKF_AD_MARK, ZERO],
  [bpf.SKF_AD_QUEUE, ZERO],
  [bpf.SKF_AD_RXHASH, ZERO],
  [bpf.SKF_AD_CPU, ZERO],
  [bpf.SKF_AD_VLAN_TAG, ZERO],
  [bpf.SKF_AD_VLAN_TAG_PRESENT, ZERO],
  [bpf.SKF_AD_VLAN_TPID, ZERO],
]);

function load(code: number, k: number): Instruction | null {
  const offset = k | 0;
  const absolute = ABSOLUTE.get(code);
  if (absolute !== undefined) {
    if (offset < 0 && offset >= bpf.SKF_AD_OFF) return FACTS.get(offset - bpf.SKF_AD_OFF) ?? null;
    return { kind: absolute, operand: offset };
  }
  const kind = OTHERS.get(code);
  return kind === undefined ? null : { kind, operand: offset };
}

export const PACKET_DIALECT: Dialect = { load, hasModulo: true };
