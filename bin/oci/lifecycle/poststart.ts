/** Poststart hooks of `run`, which a helper process runs (bin/hooks-main.ts). */
import { closeSync } from 'node:fs';
import { errnoName } from '#sentry/abi/errno.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { sendMessage } from '#platform/host/messages.ts';
import * as sockets from '#platform/host/sockets.ts';
import { UserError } from '../../errors.ts';
import { launchHelper } from '../../sandbox/gofer-launch.ts';
import type { HooksConfig } from '../config/types.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';
import type { ContainerState } from '../hooks.ts';
import type { LogOptions } from '../log.ts';

const MSG_NOSIGNAL = 0x4000;

export interface PoststartTask {
  readonly hooks: HooksConfig;
  readonly state: ContainerState;
  readonly log: LogOptions;
}

/** Starts the helper, if there are such hooks. To be called while processes can be started; the result, when the container runs. */
export function preparePoststart(task: PoststartTask): () => void {
  if (task.hooks.poststart.length === 0) return () => {};
  const socket: number = launchHelper('hooks');
  if (socket < 0) throw new UserError(`the process for poststart hooks cannot be started (${errnoName(-socket)})`, EXIT_OCI_FAILURE);
  const text = Buffer.from(JSON.stringify(task));
  const memory = allocateMemory(text.length);
  memory.bytes.set(text);
  const sent = sendMessage(socket, memory, 0, text.length, []);
  if (sent < 0) throw new UserError(`the poststart hooks cannot be passed on (${errnoName(-sent)})`, EXIT_OCI_FAILURE);
  return () => {
    // Not by sendmsg, which a confined sentry has not.
    sockets.send(socket, memory.address, 1, MSG_NOSIGNAL);
    closeSync(socket);
  };
}
