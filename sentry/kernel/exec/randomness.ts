/**
 * What is random about a new program: where its parts lie, and the 16 bytes that AT_RANDOM points to. Drawn at once, since asking the host
 * costs the same for one byte as for all. Ranges are in pages and at most Linux's (arch/x86/mm/mmap.c, fs/binfmt_elf.c).
 */
import type { Kernel } from '../kernel.ts';

const BASE_PAGES = 0x1000_0000;
const HEAP_PAGES = 0x2000;
const STACK_PAGES = 0x4000;
const GAP_PAGES = 0x1000;
const NUMBERS = 4;
const BYTES = 16;

export interface Randomness {
  /** Off with ADDR_NO_RANDOMIZE: then all places are 0. The bytes are random always. */
  readonly isOn: boolean;
  readonly basePages: number;
  readonly heapPages: number;
  readonly stackPages: number;
  readonly gapPages: number;
  /** 16 bytes, one character each. */
  readonly bytes: string;
}

export function drawRandomness({ host, cell }: Kernel, isOn: boolean): Randomness {
  host.random(cell, 0, BYTES + 4 * NUMBERS);
  const draw = (index: number, range: number): number => (isOn ? cell.view.getUint32(BYTES + 4 * index, true) % range : 0);
  return {
    isOn,
    basePages: draw(0, BASE_PAGES),
    heapPages: draw(1, HEAP_PAGES),
    stackPages: draw(2, STACK_PAGES),
    gapPages: draw(3, GAP_PAGES),
    bytes: cell.latin1(0, BYTES),
  };
}
