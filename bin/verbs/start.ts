/** `tsvisor start`: runs the program of a created container. */
import { Command } from 'commander';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { runHooks } from '../oci/hooks.ts';
import { NO_NETWORK } from '../sandbox/network-device.ts';
import { takeNetworkOf } from '../sandbox/network-namespace.ts';
import { ociAction } from './oci-action.ts';

export function startCommand(): Command {
  const command = new Command('start').description('Start a container that was created.').argument('<id>');
  return ociAction(command, ({ globals }, id: string) => {
    const container = KnownContainer.find(globals.root, id);
    container.permit('start');
    const { sandbox, process: host, hooks, bundle } = container.record;
    const connection = container.connectFor('start');
    // What managers have put into the namespace since it was created (bin/sandbox/network-namespace.ts). A pod's first container has done it for all; an
    // ordinary user could have made none.
    const { interfaces, resolver } = sandbox === id && process.geteuid!() === 0 ? takeNetworkOf(host.pid) : NO_NETWORK;
    connection.ask({ container: id, verb: 'start', interfaces: interfaces.map(({ facts }) => facts) }, [
      ...interfaces.map(({ fd }) => fd),
      ...(resolver < 0 ? [] : [resolver]),
    ]);
    runHooks('poststart', hooks, container.state('running'), { directory: bundle });
  });
}
