/**
 * What a container's process reads and writes: this process's own standard files and those after them that are to be preserved, or a terminal.
 *
 * The sentry keeps none of them as its own 0 to 2, for a reader waits until the last writer has closed: there it has /dev/null.
 */
import { openSync } from 'node:fs';
import type { HostFd } from '#platform/contract/host.ts';
import { close as closeDescriptor } from '#platform/host/libc.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import { O_RDWR } from '#sentry/abi/fs.ts';
import type { Inherited } from '../../sandbox/standard-files.ts';
import { inheritFiles } from '../../sandbox/standard-files.ts';

const SYS_FCNTL = 72;
const F_DUPFD = 0;
const F_DUPFD_CLOEXEC = 1030;
const FIRST_OTHER = 3;
const STANDARD_FILES = [0, 1, 2];

export interface StandardIo {
  /** Descriptors of the guest, in their order; null for one that the caller closed. */
  readonly files: readonly (Inherited | null)[];
  /** Lets go of what this process itself was given. Needs no name of the host; nothing that is said on standard error afterwards is seen. */
  letGo(): void;
}

/** Standard input, output and error, then as many as are preserved. To be called before the sentry is isolated. */
export function takeStandardFiles(preserved: number): StandardIo {
  const files = inheritFiles(preserved).map((file) =>
    file === null || file.fd >= FIRST_OTHER ? file : { ...file, fd: duplicate(file.fd) },
  );
  return { files, letGo: prepareToLetGo() };
}

/** `terminal` as all three. */
export function terminalFiles(terminal: HostFd): StandardIo {
  return { files: STANDARD_FILES.map(() => ({ fd: duplicate(terminal), flags: O_RDWR })), letGo: prepareToLetGo() };
}

function duplicate(fd: HostFd): HostFd {
  return systemCall(SYS_FCNTL, fd, F_DUPFD_CLOEXEC, FIRST_OTHER);
}

function prepareToLetGo(): () => void {
  const nothing = openSync('/dev/null', 'r+');
  return () => {
    for (const fd of STANDARD_FILES) {
      closeDescriptor(fd);
      systemCall(SYS_FCNTL, nothing, F_DUPFD, fd); // the lowest that is free: this one
    }
    closeDescriptor(nothing);
  };
}
