/** `tsvisor create` and `tsvisor run`: a container from a bundle. The work is in bin/oci/lifecycle/create.ts. */
import { resolve } from 'node:path';
import { Command } from 'commander';
import type { CreateOptions } from '../oci/lifecycle/create.ts';
import { createContainer } from '../oci/lifecycle/create.ts';
import { tidyUp } from '../oci/lifecycle/tidy-up.ts';
import { aftermath } from '../starter/hand-over.ts';
import { ociAction, parseCount } from './oci-action.ts';
import type { VerbContext, VerbResult } from './oci-action.ts';

interface CreateFlags {
  bundle: string;
  consoleSocket?: string;
  pidFile?: string;
  preserveFds: number;
  detach?: boolean;
  keep?: boolean;
}

function addFlags(command: Command): Command {
  return command
    .argument('<id>', 'name of the container, unique on this host')
    .option('-b, --bundle <dir>', 'directory with config.json', '.')
    .option('--console-socket <path>', "socket that gets the terminal's other end")
    .option('--pid-file <path>', 'file for the process id that stands for the container on the host')
    .option('--preserve-fds <n>', 'pass on this many descriptors after standard error', parseCount, 0)
    .option('--no-pivot', 'accepted: there is no root to pivot on the host')
    .option('--no-new-keyring', 'accepted: there is no keyring of the host inside');
}

export function createCommand(): Command {
  const command = addFlags(new Command('create').description('Create a container; it runs when it is started.'));
  return ociAction(command, (context, id: string, flags: CreateFlags) =>
    begin(context, id, flags, { startNow: false, attended: false, keep: false }),
  );
}

export function runCommand(): Command {
  const command = addFlags(new Command('run').description('Create a container and start it.'))
    .option('-d, --detach', 'return when it runs')
    .option('--keep', 'do not delete it when it has ended')
    .option('--no-subreaper', 'accepted: processes of the container are never children of this one');
  return ociAction(command, (context, id: string, flags: CreateFlags) =>
    begin(context, id, flags, { startNow: true, attended: flags.detach !== true, keep: flags.keep === true }),
  );
}

function begin(
  { globals, log }: VerbContext,
  id: string,
  flags: CreateFlags,
  how: Pick<CreateOptions, 'startNow' | 'attended' | 'keep'>,
): VerbResult {
  const after = aftermath();
  if (after !== null) return tidyUp(globals.root, id, after, log);
  const { bundle, consoleSocket, pidFile, preserveFds } = flags;
  return createContainer(
    {
      id,
      bundle,
      consoleSocket: consoleSocket === undefined || consoleSocket === '' ? null : resolve(consoleSocket),
      pidFile: pidFile === undefined || pidFile === '' ? null : resolve(pidFile),
      preserveFds,
      ...how,
    },
    globals,
    log,
  );
}
