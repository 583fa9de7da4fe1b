/** `tsvisor wait`: until a container has ended; its exit status is printed. */
import { writeSync } from 'node:fs';
import { Command } from 'commander';
import { FOR_EVER } from '../oci/control/client.ts';
import type { WaitReply } from '../oci/control/protocol.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { ociAction } from './oci-action.ts';

const STDOUT = 1;

export function waitCommand(): Command {
  const command = new Command('wait').description('Wait until a container has ended, and print its exit status.').argument('<id>');
  return ociAction(command, ({ globals }, id: string) => {
    const { exitStatus } = KnownContainer.find(globals.root, id).ask<WaitReply>({ verb: 'wait' }, [], FOR_EVER);
    writeSync(STDOUT, `${exitStatus}\n`);
  });
}
