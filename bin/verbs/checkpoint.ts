/** `tsvisor checkpoint` and `tsvisor restore`: clients know these verbs and are told that there is nothing behind them yet. */
import { Command } from 'commander';
import { ociError } from '../oci/errors.ts';
import { ociAction } from './oci-action.ts';

function command(verb: string): Command {
  const refused = new Command(verb).description('Not supported yet.').argument('[id]').allowUnknownOption().allowExcessArguments();
  return ociAction(refused, () => {
    throw ociError('notSupported', verb);
  });
}

export function checkpointCommand(): Command {
  return command('checkpoint');
}

export function restoreCommand(): Command {
  return command('restore');
}
