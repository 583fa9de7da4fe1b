/**
 * Looks a command up in PATH as a shell does, but inside the sandbox: execvp(3).
 */
import { EACCES, ENOENT, errnoName } from '#sentry/abi/errno.ts';
import { openExecutable } from '#sentry/kernel/exec/open-executable.ts';
import type { Task } from '#sentry/kernel/task.ts';
import type { FileDescription } from '#sentry/vfs/file-description.ts';
import { toText } from '../byte-text.ts';
import { EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, UserError } from '../errors.ts';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface FoundProgram {
  readonly path: string;
  readonly file: FileDescription;
}

/** The program that `name` means for `task`, opened for execution, or -errno. */
export function searchProgram(task: Task, name: string, environment: readonly string[]): FoundProgram | number {
  let result = -ENOENT;
  for (const path of candidates(name, environment)) {
    const file = openExecutable(task, null, path, 0);
    if (typeof file !== 'number') return { path, file };
    // As execvp: a file that may not be executed is remembered, but the search goes on.
    if (file === -EACCES || result === -ENOENT) result = file;
  }
  return result;
}

/** Throws UserError with 126 or 127 when there is nothing to execute. */
export function findProgram(task: Task, name: string, environment: readonly string[]): FoundProgram {
  const shown = toText(name);
  if (name === '') throw new UserError('the command is an empty string.', EXIT_NOT_FOUND);
  const found = searchProgram(task, name, environment);
  if (typeof found !== 'number') return found;
  if (found === -ENOENT) {
    const where = name.includes('/') ? '' : ' in PATH';
    throw new UserError(`${shown}: not found${where} inside the sandbox.`, EXIT_NOT_FOUND);
  }
  if (found === -EACCES) throw new UserError(`${shown}: permission denied; is it an executable file?`, EXIT_NOT_EXECUTABLE);
  throw new UserError(`${shown}: cannot be executed (${errnoName(-found)}).`, EXIT_NOT_EXECUTABLE);
}

function candidates(name: string, environment: readonly string[]): string[] {
  if (name === '' || name.includes('/')) return [name];
  const path = environment.find((entry) => entry.startsWith('PATH='))?.slice(5) ?? DEFAULT_PATH;
  return path.split(':').map((directory) => (directory === '' ? name : `${directory}/${name}`));
}
