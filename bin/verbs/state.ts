/** `tsvisor state`: what a client asks first. The fields are runc's: those of the specification, and some that clients have come to use. */
import { writeSync } from 'node:fs';
import { Command } from 'commander';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { describeContainer } from '../oci/lifecycle/describe.ts';
import { ociAction } from './oci-action.ts';

const STDOUT = 1;

export function stateCommand(): Command {
  const command = new Command('state').description('Print the state of a container, as JSON.').argument('<id>');
  return ociAction(command, ({ globals }, id: string) => {
    writeSync(STDOUT, `${JSON.stringify(describeContainer(KnownContainer.find(globals.root, id)), null, 2)}\n`);
  });
}
