/**
 * Launches a gofer process before anybody knows what it shall serve: that arrives as the first message on its socket (gofer-process.ts).
 *
 * A Node process takes 50 ms until it can serve, as long as the sentry needs for itself. `launchEarly` is therefore the first thing that the
 * command does, and the two start side by side. A gofer that is not needed after all ends when its socket closes.
 */
import { closeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { HostFd } from '#platform/contract/host.ts';
import { socketPair } from '#platform/host/messages.ts';
import { spawnWithDescriptor } from '#platform/host/spawn.ts';

export interface GoferProcess {
  readonly socket: HostFd;
  readonly pid: number;
}

/** Where the gofer launched early is until it is taken. Not a variable: in dist/ the launcher is a bundle with a copy of this module of its own. */
const EARLY = Symbol.for('tsvisor.early-gofer');
const shared = globalThis as { [EARLY]?: GoferProcess | null };

/** Once; does nothing when the gofer is on its way already. */
export function launchEarly(): void {
  if (shared[EARLY] !== undefined) return;
  const launched = launch();
  shared[EARLY] = typeof launched === 'number' ? null : launched;
}

/** The gofer launched early, once; else a new one. Or -errno. */
export function takeGofer(): GoferProcess | number {
  const taken = shared[EARLY] ?? launch();
  shared[EARLY] = null;
  return taken;
}

function launch(): GoferProcess | number {
  const pair = socketPair();
  if (typeof pair === 'number') return pair;
  const [ours, theirs] = pair;
  const pid = spawnWithDescriptor(process.execPath, [process.execPath, '--disable-sigusr1', goferProgram()], theirs);
  // The child has its copy. Ours would keep the connection alive when the gofer dies.
  closeSync(theirs);
  if (pid < 0) closeSync(ours);
  return pid < 0 ? pid : { socket: ours, pid };
}

/** Beside the program that runs now: dist/gofer.js, or the source. */
function goferProgram(): string {
  const self = process.argv[1]!;
  return join(dirname(self), self.endsWith('.ts') ? 'gofer-main.ts' : 'gofer.js');
}
