/** Sets of CPUs as the kernel prints them: `0-3` and `f` (Linux lib/bitmap-str.c). The sets here are ranges, end exclusive. */

export function cpuList(from: number, to: number): string {
  return to - from === 1 ? String(from) : `${from}-${to - 1}`;
}

/** Hexadecimal in groups of 32 bits, as wide as `count` CPUs need. */
export function cpuMask(from: number, to: number, count: number): string {
  const groups: string[] = [];
  for (let low = 0; low < count; low += 32) {
    let word = 0;
    for (let cpu = Math.max(from, low); cpu < Math.min(to, low + 32); cpu++) word = (word | (1 << (cpu - low))) >>> 0;
    const digits = Math.ceil(Math.min(32, count - low) / 4);
    groups.unshift(word.toString(16).padStart(digits, '0'));
  }
  return groups.join(',');
}
