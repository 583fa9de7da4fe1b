/**
 * The window: memory that the gofer shares with its sentry, into which it reads the contents of small files, so that they need no descriptor and
 * no copy through the socket.
 *
 * The gofer only lets the kernel write there and never looks at it, so whatever a hostile sentry stores in it has no effect here; where a file
 * goes is the sentry's choice, checked against the window's end for each message. The memory is sealed: neither side can shorten it under the
 * other. It is made before the gofer is confined; its descriptor goes to the sentry with the hello.
 */
import { WINDOW_SIZE } from '#gofer/protocol/limits.ts';
import { close, memfdCreate } from '#platform/host/libc.ts';
import { mapSharedMemory } from '#platform/host/memory.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import { ftruncate } from '#platform/host/files.ts';

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const SYS_FCNTL = 72;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW. */
const SIZE_SEALS = 1 | 2 | 4;

export interface Window {
  /** Sent to the sentry, then closed. */
  readonly fd: number;
  readonly address: number;
  readonly size: number;
}

/** A window, or null where the host gives none: contents are then not fetched. */
export function openWindow(): Window | null {
  const fd = memfdCreate('tsvisor-window', MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return null;
  const memory = ftruncate(fd, WINDOW_SIZE) < 0 ? -1 : mapSharedMemory(fd, 0, WINDOW_SIZE);
  if (typeof memory === 'number' || systemCall(SYS_FCNTL, fd, F_ADD_SEALS, SIZE_SEALS) < 0) {
    close(fd);
    return null;
  }
  return { fd, address: memory.address, size: WINDOW_SIZE };
}
