/** Where --strace lines go. The text of a line is made in sentry/syscalls/strace. */
import { writeSync } from 'node:fs';
import { StraceWriter } from '#sentry/syscalls/strace/strace-writer.ts';
import { openForAppending } from './debug-log.ts';
import type { SandboxSpec } from './spec.ts';

const STDERR = 2;

/** null when nothing is traced. */
export function createTracer(target: SandboxSpec['strace']): StraceWriter | null {
  if (target.kind === 'off') return null;
  const fd = target.kind === 'stderr' ? STDERR : openForAppending(target.path, 'strace log');
  return new StraceWriter((line) => {
    writeSync(fd, `${line}\n`, null, 'latin1');
  });
}
