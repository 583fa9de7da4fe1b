/** `tsvisor delete`: takes away a container that has stopped, or with --force any. */
import { Command } from 'commander';
import { ociError } from '../oci/errors.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { permitDelete } from '../oci/lifecycle/state-machine.ts';
import { ContainerDirectory } from '../oci/state/container-directory.ts';
import { ociAction } from './oci-action.ts';

export function deleteCommand(): Command {
  const command = new Command('delete')
    .description('Delete a container that has stopped, or was never started.')
    .argument('<id>')
    .option('-f, --force', 'kill it first if it runs; no error if there is none');
  return ociAction(command, ({ globals, log }, id: string, { force = false }: { force?: boolean }) => {
    const container = KnownContainer.tryFind(globals.root, id);
    if (container === null) {
      // What somebody left who was killed while deleting it.
      if (force) new ContainerDirectory(globals.root, id).remove();
      if (force) return;
      throw ociError('doesNotExist', id);
    }
    if (!force) permitDelete(id, container.status);
    container.killHost();
    container.destroy(log);
  });
}
