/**
 * For tests that need programs which a machine may lack: they are skipped, and the report says what was missing.
 *
 *     test('nginx answers wrk', async (context) => {
 *       needsPrograms(context, 'nginx', 'wrk');
 *       …
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { plainEnvironment } from './run.ts';

/** Skips the test that runs unless all `programs` (names to look up in PATH, or paths) are there. */
export function needsPrograms(context: TestContext, ...programs: readonly string[]): void {
  const missing = programs.filter((program) => !isInstalled(program));
  if (missing.length > 0) context.skip(`${missing.join(', ')} not installed`);
}

function isInstalled(program: string): boolean {
  if (program.includes('/')) return existsSync(program);
  return plainEnvironment.PATH!.split(':').some((directory) => existsSync(join(directory, program)));
}
