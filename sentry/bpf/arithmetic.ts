/**
 * What instructions of classic BPF compute. Values are signed 32-bit integers; what is unsigned in BPF is compared and divided as such.
 *
 * Specification: Linux Documentation/networking/filter.rst; shifts count modulo 32 (kernel/bpf/core.c).
 */
import * as bpf from '#sentry/abi/bpf.ts';

/** `a` BPF_ADD… `b` in 32 bits. `b` of BPF_DIV and BPF_MOD is not zero. */
export function arithmetic(operation: number, a: number, b: number): number {
  switch (operation) {
    case bpf.BPF_ADD:
      return (a + b) | 0;
    case bpf.BPF_SUB:
      return (a - b) | 0;
    case bpf.BPF_MUL:
      return Math.imul(a, b);
    case bpf.BPF_DIV:
      return ((a >>> 0) / (b >>> 0)) | 0;
    case bpf.BPF_MOD:
      return ((a >>> 0) % (b >>> 0)) | 0;
    case bpf.BPF_OR:
      return a | b;
    case bpf.BPF_AND:
      return a & b;
    case bpf.BPF_XOR:
      return a ^ b;
    case bpf.BPF_LSH:
      return a << b;
    default:
      return (a >>> b) | 0;
  }
}

/** Whether the operation cannot be done with zero: the program ends with 0 then. */
export function dividesBy(operation: number): boolean {
  return operation === bpf.BPF_DIV || operation === bpf.BPF_MOD;
}

/** Whether the comparison BPF_JEQ… holds. */
export function holds(operation: number, a: number, b: number): boolean {
  switch (operation) {
    case bpf.BPF_JEQ:
      return a === b;
    case bpf.BPF_JGT:
      return a >>> 0 > b >>> 0;
    case bpf.BPF_JGE:
      return a >>> 0 >= b >>> 0;
    default:
      return (a & b) !== 0;
  }
}
