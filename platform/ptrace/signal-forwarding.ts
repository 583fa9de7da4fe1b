/**
 * Brings together the signal pipe of the host, the handler's machine code and its installation.
 *
 * Separate from `createPtracePlatform`, because a unit test or an embedding program may want its signals for itself.
 */
import type { LinuxHost } from '../host/host.ts';
import { forwardSignals } from '../host/signals.ts';
import { assembleSignalHandler } from '../stub/signal-handler.ts';

/** From now on signals to this process are read with `host.takeSignal`. The result puts the previous handlers back. */
export function installSignalForwarding(host: LinuxHost, signals?: readonly number[]): () => void {
  return forwardSignals(assembleSignalHandler(host.events.signalWriteFd), signals);
}
