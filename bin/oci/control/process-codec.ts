/** A ProcessConfig as it travels in JSON, which has no number for a limit that is none. */
import type { ProcessConfig } from '../config/types.ts';

const UNLIMITED = -1;

export function encodeProcess(process: ProcessConfig): ProcessConfig {
  return withLimits(process, (value) => (value === Infinity ? UNLIMITED : value));
}

export function decodeProcess(process: ProcessConfig): ProcessConfig {
  return withLimits(process, (value) => (value === UNLIMITED ? Infinity : value));
}

function withLimits(process: ProcessConfig, change: (value: number) => number): ProcessConfig {
  return { ...process, rlimits: process.rlimits.map(({ resource, soft, hard }) => ({ resource, soft: change(soft), hard: change(hard) })) };
}
