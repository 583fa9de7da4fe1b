/** `tsvisor pause` and `tsvisor resume`: no instruction of a guest runs in between. */
import { Command } from 'commander';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { ociAction } from './oci-action.ts';

function command(verb: 'pause' | 'resume', description: string): Command {
  return ociAction(new Command(verb).description(description).argument('<id>'), ({ globals }, id: string) => {
    const container = KnownContainer.find(globals.root, id);
    container.permit(verb);
    container.ask({ verb });
  });
}

export function pauseCommand(): Command {
  return command('pause', 'Hold every process of a container.');
}

export function resumeCommand(): Command {
  return command('resume', 'Let them go on.');
}
