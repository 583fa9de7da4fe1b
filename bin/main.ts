/**
 * The `tsvisor` command. Each verb is a file in bin/verbs; this one declares their options and turns whatever ends a verb into an exit
 * status and at most one sentence on standard error.
 *
 * Exit status: that of the verb (for `do`: as a shell gives it), 2 for wrong usage, 125 when tsvisor itself fails.
 */
import { writeSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { leaveIfConfined } from './confine/sentry.ts';
import { EXIT_FAILURE, EXIT_USAGE, UserError } from './errors.ts';
import { addOciGlobals } from './oci/globals.ts';
import { checkpointCommand, restoreCommand } from './verbs/checkpoint.ts';
import { createCommand, runCommand } from './verbs/create.ts';
import { deleteCommand } from './verbs/delete.ts';
import { doCommand } from './verbs/do.ts';
import { execCommand } from './verbs/exec.ts';
import { featuresCommand } from './verbs/features.ts';
import { installCommand } from './verbs/install.ts';
import { killCommand } from './verbs/kill.ts';
import { listCommand } from './verbs/list.ts';
import { pauseCommand, resumeCommand } from './verbs/pause.ts';
import { psCommand } from './verbs/ps.ts';
import { specCommand } from './verbs/spec.ts';
import { startCommand } from './verbs/start.ts';
import { stateCommand } from './verbs/state.ts';
import { syscallsCommand } from './verbs/syscalls.ts';
import { waitCommand } from './verbs/wait.ts';
import { VERSION } from './version.ts';

const STDERR = 2;

/** In the order of the help. */
const VERBS: readonly (() => Command)[] = [
  doCommand,
  runCommand,
  createCommand,
  startCommand,
  stateCommand,
  execCommand,
  killCommand,
  deleteCommand,
  listCommand,
  psCommand,
  pauseCommand,
  resumeCommand,
  waitCommand,
  checkpointCommand,
  restoreCommand,
  specCommand,
  installCommand,
  syscallsCommand,
  featuresCommand,
];

function program(): Command {
  const command = new Command('tsvisor');
  command
    .description('Runs programs on a Linux kernel of their own, in user space.')
    .version(VERSION)
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('usage: tsvisor [options] <command> … (--help tells more)');
  addOciGlobals(command);
  for (const make of VERBS) {
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

try {
  program().parse();
} catch (error) {
  process.exitCode = report(error);
}
leaveIfConfined(Number(process.exitCode ?? 0));
