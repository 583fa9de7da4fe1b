/**
 * What guests may know of the machine: read from the host's /proc once, before the sentry is confined. Only what the CPU tells any program
 * by itself (cpuid) is passed on, and the amount of memory.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import * as elf from '#sentry/abi/elf.ts';
import type { MachineView } from '#sentry/fs/proc/process-view.ts';

/** Fields of /proc/cpuinfo that are the same for every CPU. Frequencies and topology stay out: they tell about the host. */
const CPU_FIELDS = new Set([
  'vendor_id',
  'cpu family',
  'model',
  'model name',
  'stepping',
  'cache size',
  'fpu',
  'fpu_exception',
  'cpuid level',
  'wp',
  'flags',
  'bugs',
  'bogomips',
  'clflush size',
  'cache_alignment',
  'address sizes',
]);

/** `cpuCount`: CPUs guests may use. `memoryLimit`: bytes, or null for all there is. */
export function describeMachine(cpuCount: number, memoryLimit: number | null): MachineView {
  // Read now, while names can still be opened; parsed when a guest asks.
  const cpu = readFirstCpu();
  return {
    cpuCount,
    get cpuDescription() {
      return describeCpu(cpu);
    },
    memoryBytes: Math.min(memoryLimit ?? Infinity, totalmem()),
  };
}

function readFirstCpu(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'latin1').split('\n\n', 1)[0]!;
  } catch {
    return '';
  }
}

function describeCpu(text: string): string {
  const known = text.split('\n').filter((line) => CPU_FIELDS.has(line.slice(0, Math.max(0, line.indexOf(':'))).trim()));
  return known.map((line) => `${line}\n`).join('');
}

export interface AuxiliaryFacts {
  readonly hardwareCapabilities: readonly [number, number];
  readonly minimumSignalStack: number;
}

/** AT_HWCAP, AT_HWCAP2 and AT_MINSIGSTKSZ as the host gave them to this process. */
export function readAuxiliaryFacts(): AuxiliaryFacts {
  const bytes = readFileSync('/proc/self/auxv');
  const values = new Map<number, number>();
  for (let at = 0; at + 16 <= bytes.length; at += 16) values.set(Number(bytes.readBigUInt64LE(at)), Number(bytes.readBigUInt64LE(at + 8)));
  return {
    hardwareCapabilities: [values.get(elf.AT_HWCAP) ?? 0, values.get(elf.AT_HWCAP2) ?? 0],
    minimumSignalStack: values.get(elf.AT_MINSIGSTKSZ) ?? 2048,
  };
}
