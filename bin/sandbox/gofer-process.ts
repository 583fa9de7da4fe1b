/**
 * Starts the gofer: a second Node process that serves host directories over a socket pair. It is started first of all, because it takes
 * as long to start as the sentry itself.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { GoferConfig, MountConfig } from '#gofer/server/config.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { socketPair } from '#platform/host/messages.ts';
import { UserError } from '../errors.ts';

/** The descriptor of the socket inside the gofer. */
const GOFER_SOCKET = 3;

export interface GoferProcess {
  readonly socket: HostFd;
  readonly pid: number;
}

export function startGofer(mounts: readonly MountConfig[], debugLog: string | null): GoferProcess {
  const pair = socketPair();
  if (typeof pair === 'number') throw new UserError(`cannot make a socket pair (errno ${-pair}).`);
  const [ours, theirs] = pair;
  const config: GoferConfig = { mounts, socket: GOFER_SOCKET };
  const errors = debugLog === null ? 'ignore' : openSync(debugLog, 'a');
  const child = spawn(process.execPath, ['--disable-sigusr1', goferProgram(), JSON.stringify(config)], {
    stdio: ['ignore', 'ignore', errors, theirs],
    env: {},
    cwd: '/',
    // A session of its own: Ctrl-C at the terminal is the guest's business, and the gofer ends with its socket.
    detached: true,
  });
  if (child.pid === undefined) throw new UserError('cannot start the file server process; is the process limit reached?');
  child.unref();
  // The child has its copy. Ours would keep the connection alive when the gofer dies.
  closeSync(theirs);
  return { socket: ours, pid: child.pid };
}

/** Beside the program that runs now: dist/gofer.js, or the source. */
function goferProgram(): string {
  const self = process.argv[1]!;
  return join(dirname(self), self.endsWith('.ts') ? 'gofer-main.ts' : 'gofer.js');
}
