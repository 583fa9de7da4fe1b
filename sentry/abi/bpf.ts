/**
 * Classic BPF, in which filters of system calls (seccomp.ts) and of sockets are written: Linux uapi/linux/bpf_common.h, filter.h.
 *
 * A program is an array of `struct sock_filter`: 16 bits of code, two jump distances of 8 bits, 32 bits of operand.
 */

/** Bytes of `struct sock_fprog` and of one `struct sock_filter`. */
export const SOCK_FPROG_SIZE = 16;
export const SOCK_FILTER_SIZE = 8;

/** Instructions one program may have. */
export const BPF_MAXINSNS = 4096;
/** Words of scratch memory. */
export const BPF_MEMWORDS = 16;

// Instruction classes, bits 0-2.
export const BPF_LD = 0x00;
export const BPF_LDX = 0x01;
export const BPF_ST = 0x02;
export const BPF_STX = 0x03;
export const BPF_ALU = 0x04;
export const BPF_JMP = 0x05;
export const BPF_RET = 0x06;
export const BPF_MISC = 0x07;
// Sizes of loads, bits 3-4.
export const BPF_W = 0x00;
export const BPF_H = 0x08;
export const BPF_B = 0x10;
// Modes of loads, bits 5-7.
export const BPF_IMM = 0x00;
export const BPF_ABS = 0x20;
export const BPF_IND = 0x40;
export const BPF_MEM = 0x60;
export const BPF_LEN = 0x80;
export const BPF_MSH = 0xa0;
// Operand of arithmetic and jumps, bit 3; of BPF_RET, bits 3-4.
export const BPF_K = 0x00;
export const BPF_X = 0x08;
export const BPF_A = 0x10;
// Arithmetic, bits 4-7.
export const BPF_ADD = 0x00;
export const BPF_SUB = 0x10;
export const BPF_MUL = 0x20;
export const BPF_DIV = 0x30;
export const BPF_OR = 0x40;
export const BPF_AND = 0x50;
export const BPF_LSH = 0x60;
export const BPF_RSH = 0x70;
export const BPF_NEG = 0x80;
export const BPF_MOD = 0x90;
export const BPF_XOR = 0xa0;
// Jumps, bits 4-7.
export const BPF_JA = 0x00;
export const BPF_JEQ = 0x10;
export const BPF_JGT = 0x20;
export const BPF_JGE = 0x30;
export const BPF_JSET = 0x40;
// BPF_MISC.
export const BPF_TAX = 0x00;
export const BPF_TXA = 0x80;

// Filters of sockets: loads from negative offsets (socket(7), Documentation/networking/filter.rst).
/** What the kernel knows of a packet besides its bytes: SKF_AD_OFF and one of the following. */
export const SKF_AD_OFF = -0x1000;
export const SKF_AD_PROTOCOL = 0;
export const SKF_AD_PKTTYPE = 4;
export const SKF_AD_IFINDEX = 8;
export const SKF_AD_MARK = 20;
export const SKF_AD_QUEUE = 24;
export const SKF_AD_HATYPE = 28;
export const SKF_AD_RXHASH = 32;
export const SKF_AD_CPU = 36;
export const SKF_AD_ALU_XOR_X = 40;
export const SKF_AD_VLAN_TAG = 44;
export const SKF_AD_VLAN_TAG_PRESENT = 48;
export const SKF_AD_RANDOM = 56;
export const SKF_AD_VLAN_TPID = 60;
export const SKF_AD_MAX = 64;
/** Where the network header begins, and the link header. */
export const SKF_NET_OFF = -0x10_0000;
export const SKF_LL_OFF = -0x20_0000;
