/**
 * A command line made of verbs, each a file in bin/verbs. Turns whatever ends a verb into an exit status and at most one sentence on standard
 * error.
 *
 * Exit status: that of the verb (for `do`: as a shell gives it), 2 for wrong usage, 125 when tsvisor itself fails.
 */
import { writeSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT_FAILURE, EXIT_USAGE, UserError } from './errors.ts';
import { addOciGlobals } from './oci/globals.ts';
import { VERSION } from './version.ts';

const STDERR = 2;

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
    .version(VERSION)
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('usage: tsvisor [options] <command> … (--help tells more)');
  addOciGlobals(command);
  for (const make of verbs) {
    const verb = make();
    verb.exitOverride().showHelpAfterError(`usage: tsvisor ${verb.name()} ${verb.usage()} (--help tells more)`);
    command.addCommand(verb);
  }
  return command;
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
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
