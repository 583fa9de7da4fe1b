/**
 * The gofer of a sandbox: a second Node process that serves host directories over a socket pair. It was launched before
 * (gofer-launch.ts); here it learns what to serve.
 */
import { closeSync, openSync } from 'node:fs';
import type { HostFd } from '#platform/contract/host.ts';
import type { GoferConfig, MountConfig } from '#gofer/server/config.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { sendMessage } from '#platform/host/messages.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { UserError } from '../errors.ts';
import { launchGofer } from './gofer-launch.ts';

/** The descriptor of the socket inside the gofer. */
const GOFER_SOCKET = 3;

/** Returns the socket to it. `ids`: of a container with a user namespace; without them owners are told as they are. */
export function startGofer(
  mounts: readonly MountConfig[],
  debugLog: string | null,
  { uidMappings = [], gidMappings = [] }: Pick<GoferConfig, 'uidMappings' | 'gidMappings'> = {},
): HostFd {
  const socket: number = launchGofer();
  if (socket < 0) throw new UserError(`cannot start the file server process (${errnoName(-socket)}); is a limit reached?`);
  const config: GoferConfig = { mounts, socket: GOFER_SOCKET, uidMappings, gidMappings };
  const errors = debugLog === null ? [] : [openSync(debugLog, 'a')];
  const text = Buffer.from(JSON.stringify(config));
  const memory = allocateMemory(text.length);
  memory.bytes.set(text);
  const sent = sendMessage(socket, memory, 0, text.length, errors);
  for (const fd of errors) closeSync(fd);
  if (sent !== text.length) throw new UserError(`cannot tell the file server process what to serve (${errnoName(-sent)}).`);
  return socket;
}
