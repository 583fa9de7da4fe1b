/**
 * A command line made of verbs, each a file in bin/verbs. Turns whatever ends a verb into an exit status and at most one sentence on standard
 * error.
 *
 * Exit status: that of the verb (for `do`: as a shell gives it), 2 for wrong usage (1 for the verbs of the OCI runtime), 125 when tsvisor itself fails.
 */
import { writeSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import type { OutputConfiguration } from 'commander';
import { EXIT_FAILURE, EXIT_USAGE, UserError } from './errors.ts';
import { addOciGlobals, ociGlobals } from './oci/globals.ts';
import { openLog } from './oci/log.ts';
import { OCI_VERSION } from './oci/spec-version.ts';
import { aftermath } from './starter/hand-over.ts';
import { usageStatus } from './usage-status.ts';
import { VERSION } from './version.ts';

const STDERR = 2;
/** containerd and Docker read it in this form. */
const VERSION_TEXT = `tsvisor version ${VERSION}\nspec: ${OCI_VERSION}`;

export type MakeVerb = () => Command;

/** Runs the verb that the command line names; `verbs` in the order of the help. Sets the exit status. */
export function runProgram(verbs: readonly MakeVerb[]): void {
  try {
    program(verbs).parse();
  } catch (error) {
    process.exitCode = report(error);
  }
}

function program(verbs: readonly MakeVerb[]): Command {
  const command = new Command('tsvisor');
  command
    .description('Runs programs on a Linux kernel of their own, in user space.')
    .version(VERSION_TEXT, '-v, --version')
    .enablePositionalOptions()
    .exitOverride(endWith(EXIT_USAGE))
    .showHelpAfterError('usage: tsvisor [options] <command> … (--help tells more)');
  addOciGlobals(command);
  for (const make of verbs) {
    const verb = make();
    verb.configureOutput(complaintsOf(verb));
    verb
      .exitOverride(endWith(usageStatus.get(verb) ?? EXIT_USAGE))
      .showHelpAfterError(`usage: tsvisor ${verb.name()} ${verb.usage()} (--help tells more)`);
    command.addCommand(verb);
  }
  return command;
}

/** Where commander's own complaints about `verb` go: for the runtime's verbs to the log, if clients read one. */
function complaintsOf(verb: Command): OutputConfiguration {
  // In the aftermath of a run that has said it already.
  if (aftermath() !== null) return { writeErr: () => {} };
  if (!usageStatus.has(verb)) return {};
  return {
    outputError: (text, write) => {
      const { log } = ociGlobals(verb);
      if (log.file === null) write(text);
      else openLog(log).error(text.trim());
    },
  };
}

/** Wrong usage, or help, which is none. */
function endWith(status: number): (error: CommanderError) => never {
  return (error) => {
    if (error.exitCode !== 0) error.exitCode = status;
    throw error;
  };
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode;
  if (error instanceof UserError) {
    complain(error.message);
    return error.exitCode;
  }
  const message = error instanceof Error ? error.message : String(error);
  complain(`internal error: ${message}; run again with --debug-log FILE for details`);
  return EXIT_FAILURE;
}

/** Directly to the descriptor: Node's stream would first ask the host what lies behind it. */
function complain(sentence: string): void {
  writeSync(STDERR, `tsvisor: ${sentence}\n`);
}
