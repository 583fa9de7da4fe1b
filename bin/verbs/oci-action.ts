/** What the verbs of the OCI runtime have in common: the options before the verb, and that a failure goes to the log that clients read. */
import type { Command } from 'commander';
import { EXIT_FAILURE, UserError } from '../errors.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { ociGlobals } from '../oci/globals.ts';
import type { OciGlobals } from '../oci/globals.ts';
import { openLog } from '../oci/log.ts';
import type { RuntimeLog } from '../oci/log.ts';
import { StartMode, startMode } from '../starter/hand-over.ts';
import { usageStatus } from '../usage-status.ts';

export interface VerbContext {
  readonly globals: OciGlobals;
  readonly log: RuntimeLog;
}

/** Verbs whose standard error the container's process inherits. Of an attended run somebody reads both. */
const SHARE_STDERR: ReadonlySet<string> = new Set(['create', 'run', 'exec']);

/** The exit status of the verb; nothing: 0. */
export type VerbResult = number | void;

/** Has `verb` run `action` with its arguments and options. `failure`: its exit status when that throws UserError, by default what the error says. */
export function ociAction<A extends unknown[]>(
  verb: Command,
  action: (context: VerbContext, ...args: A) => VerbResult,
  failure: number | null = null,
): Command {
  usageStatus.set(verb, EXIT_OCI_FAILURE);
  return verb.action((...args: unknown[]) => {
    const globals = ociGlobals(verb);
    const log = openLog(globals.log, { sharesStderr: SHARE_STDERR.has(verb.name()) && startMode() !== StartMode.Attended });
    try {
      process.exitCode = action({ globals, log }, ...(args as A)) ?? 0;
    } catch (error) {
      process.exitCode = report(error, log, failure);
    }
  });
}

function report(error: unknown, log: RuntimeLog, failure: number | null): number {
  if (error instanceof UserError) {
    log.error(error.message);
    return failure ?? (error.exitCode === EXIT_FAILURE ? EXIT_OCI_FAILURE : error.exitCode);
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  log.debug(stack ?? message);
  log.error(`internal error: ${message}; run again with --debug --log FILE for details`);
  return EXIT_OCI_FAILURE;
}

/** For an option that is a number of descriptors. */
export function parseCount(value: string): number {
  const count = Number(value);
  if (!Number.isInteger(count) || count < 0) throw new UserError(`"${value}" is not a number of descriptors.`, EXIT_OCI_FAILURE);
  return count;
}
