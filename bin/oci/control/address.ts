/** struct sockaddr_un (unix(7)). */
import type { HostMemory } from '#platform/contract/host.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { AF_UNIX } from '#sentry/abi/socket.ts';

const PATH = 2;
const PATH_MAX = 108;

/** `path` is a byte string shorter than 108 bytes. */
export function unixAddress(path: string): { readonly memory: HostMemory; readonly length: number } {
  if (path.length >= PATH_MAX) throw new Error(`a socket's path is too long: ${path}`);
  const memory = allocateMemory(PATH + PATH_MAX);
  memory.view.setUint16(0, AF_UNIX, true);
  memory.writeLatin1(`${path}\0`, PATH);
  return { memory, length: PATH + path.length + 1 };
}
