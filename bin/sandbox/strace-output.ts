import type { CallTracer } from '#sentry/syscalls/dispatch.ts';
import type { SandboxSpec } from './spec.ts';
export function createTracer(_target: SandboxSpec['strace']): CallTracer | null {
  return null;
}
