/** `tsvisor kill`: a signal for a container's first process, or for all of them. */
import { Command } from 'commander';
import { SIGKILL, SIGTERM, signalName } from '#sentry/abi/signal.ts';
import { UserError } from '../errors.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { permit } from '../oci/lifecycle/state-machine.ts';
import { ociAction } from './oci-action.ts';

const SIGNAL_MAX = 64;
const LAST_STANDARD_SIGNAL = 31;
/** The first that the C library leaves to programs, and by whose name clients mean it: systemd is stopped by SIGRTMIN+3. */
const SIGRTMIN = 34;

export function killCommand(): Command {
  const command = new Command('kill')
    .description('Send a signal to a container.')
    .argument('<id>')
    .argument('[signal]', 'name or number', 'SIGTERM')
    .option('-a, --all', 'to every process in it');
  return ociAction(command, ({ globals }, id: string, name: string, { all = false }: { all?: boolean }) => {
    const signal = parseSignal(name);
    const container = KnownContainer.find(globals.root, id);
    const { status } = container;
    // Nobody is left, which is what the client wants.
    if (all && status === 'stopped') return;
    permit('kill', id, status);
    container.ask({ verb: 'kill', signal, all });
    // A sandbox that has nobody left to run ends at once, unless something is wrong with it.
    if (signal === SIGKILL && container.record.sandbox === id) container.awaitEnd();
  });
}

/** `15`, `TERM`, `SIGTERM` or `RTMIN+3`; what a client leaves empty is SIGTERM. */
function parseSignal(text: string): number {
  const signal = text === '' ? SIGTERM : /^\d+$/.test(text) ? Number(text) : numberOf(text.toUpperCase().replace(/^SIG/, ''));
  if (signal === undefined || signal > SIGNAL_MAX) throw new UserError(`unknown signal "${text}"`, EXIT_OCI_FAILURE);
  return signal;
}

function numberOf(name: string): number | undefined {
  const realTime = /^RT(MIN|MAX)([+-]\d+)?$/.exec(name);
  if (realTime !== null) return (realTime[1] === 'MIN' ? SIGRTMIN : SIGNAL_MAX) + Number(realTime[2] ?? 0);
  return Array.from({ length: LAST_STANDARD_SIGNAL }, (_, i) => i + 1).find((signal) => signalName(signal) === `SIG${name}`);
}
