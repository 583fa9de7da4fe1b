/**
 * One sandbox for each network namespace: two stacks with the same addresses would answer each other's connections with resets. The mark is an abstract Unix
 * socket (unix(7)), whose names belong to the network namespace; it is held as long as the sentry lives and goes with it, however that ends.
 */
import { EADDRINUSE } from '#sentry/abi/errno.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from '#sentry/abi/socket.ts';
import { close } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import * as sockets from '#platform/host/sockets.ts';

const NAME = '\0tsvisor-network';
/** struct sockaddr_un without the path. */
const FAMILY_BYTES = 2;

/** A sandbox that ends takes its guests' processes, which share its descriptors, with it, but not in the same moment. */
const PATIENCE_MS = 2000;
const STEP_MS = 20;

/** Claims the namespace this thread is in, for the rest of this process. False: another sandbox has it. */
export function claimNetworkNamespace(): boolean {
  const fd = sockets.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const memory = allocateMemory(FAMILY_BYTES + NAME.length);
  memory.view.setUint16(0, AF_UNIX, true);
  memory.writeLatin1(NAME, FAMILY_BYTES);
  const bind = () => sockets.bind(fd, memory.address, FAMILY_BYTES + NAME.length);
  const clock = new Int32Array(new SharedArrayBuffer(4));
  let bound = bind();
  for (let waited = 0; bound === -EADDRINUSE && waited < PATIENCE_MS; waited += STEP_MS) {
    Atomics.wait(clock, 0, 0, STEP_MS);
    bound = bind();
  }
  if (bound < 0) close(fd);
  return bound !== -EADDRINUSE;
}
