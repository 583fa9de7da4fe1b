/** The debug log: what tsvisor itself has to say, with the time since its start. Opened before the sentry loses the right to open files. */
import { openSync, writeSync } from 'node:fs';
import { UserError } from '../errors.ts';

export type LogLine = (line: string) => void;

export function openDebugLog(path: string | null): LogLine | undefined {
  if (path === null) return undefined;
  const fd = openForAppending(path, 'debug log');
  return (line) => writeSync(fd, `${(performance.now() / 1000).toFixed(6)} ${line}\n`);
}

/** Throws UserError naming `what` when the file cannot be opened. */
export function openForAppending(path: string, what: string): number {
  try {
    return openSync(path, 'a');
  } catch (error) {
    throw new UserError(`cannot open the ${what} ${path} (${(error as NodeJS.ErrnoException).code ?? 'error'}).`);
  }
}
