/**
 * The process that runs the poststart hooks of `run`: the one that makes the container has become its sentry by then, and may start no process any more. `start`
 * runs them itself.
 *
 *     descriptor 3:   a message with the hooks (PoststartTask, JSON), then one of any content when the container runs; or the end: it never did
 */
import { runHooks } from './oci/hooks.ts';
import type { PoststartTask } from './oci/lifecycle/poststart.ts';
import { openLog } from './oci/log.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { receiveMessage } from '#platform/host/messages.ts';
import { UserError } from './errors.ts';

const SOCKET = 3;
const FOR_EVER = -1;
const MESSAGE_MAX = 192 * 1024;

const memory = allocateMemory(MESSAGE_MAX);

function receive(): string | null {
  const { length } = receiveMessage(SOCKET, memory, 0, MESSAGE_MAX, null, FOR_EVER);
  return length <= 0 ? null : Buffer.from(memory.bytes.subarray(0, length)).toString();
}

function main(): void {
  const text = receive();
  if (text === null || receive() === null) return;
  const { hooks, state, log } = JSON.parse(text) as PoststartTask;
  try {
    runHooks('poststart', hooks, state, { directory: state.bundle });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // The container runs, and goes on.
    openLog(log).warn(error.message);
  }
}

main();
