/**
 * The gofer's process before anybody knows what it shall serve: that arrives as the first message on its socket (gofer-process.ts).
 *
 * A Node process takes 50 ms until it can serve, as long as the sentry needs for itself. So the starter (bin/starter) has launched it before this
 * process became Node; only where that could not be is it launched here. A gofer that is not needed after all ends when its socket closes.
 */
import { closeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { HostFd } from '#platform/contract/host.ts';
import { socketPair } from '#platform/host/messages.ts';
import { spawnWithDescriptors } from '#platform/host/spawn.ts';
import { startedGofer } from '../starter/hand-over.ts';

/** The socket to a gofer that waits to be told what to serve, or -errno. To be called once. */
export function launchGofer(): HostFd | number {
  return startedGofer() ?? launchHelper('gofer');
}

/** A new process of the program bin/NAME-main.ts: the socket to it, or -errno. */
export function launchHelper(name: 'gofer' | 'network' | 'hooks'): HostFd | number {
  const pair = socketPair();
  if (typeof pair === 'number') return pair;
  const [ours, theirs] = pair;
  const pid = spawnWithDescriptors(process.execPath, [process.execPath, '--disable-sigusr1', helperProgram(name)], [theirs]);
  // The child has its copy. Ours would keep the connection alive when the gofer dies.
  closeSync(theirs);
  if (pid < 0) closeSync(ours);
  return pid < 0 ? pid : ours;
}

/** Beside the program that runs now: in dist/, or the source. */
function helperProgram(name: string): string {
  const self = process.argv[1]!;
  return join(dirname(self), self.endsWith('.ts') ? `${name}-main.ts` : `${name}.js`);
}
