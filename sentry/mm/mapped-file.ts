/**
 * What memory management needs of an open file. `FileDescription` of the VFS satisfies it; the interface lives here because the VFS lies
 * above this layer.
 */
import type { HostFd } from '#platform/contract/host.ts';

/** What a mapping of a file maps on the host. */
export interface Mappable {
  /** The host file to map, or -1: anonymous zero pages (/dev/zero). */
  readonly hostFd: HostFd;
  /** Offset in the host file that corresponds to offset 0 of the guest's file. */
  readonly hostOffset: number;
}

export interface MappedFile {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly inode: { readonly ino: number; readonly fileSystem: { readonly device: number } };
  /** Whether and how `size` bytes from `offset` on can be mapped, or -errno. */
  mappable(shared: boolean, offset: number, size: number): Mappable | number;
  /** Whether a seal forbids to write to it through a new shared mapping (memfd_create(2)). */
  readonly refusesSharedWrites: boolean;
  /** A shared mapping that could be written to came (1) or went (-1): F_SEAL_WRITE is refused while there are any. */
  noteSharedMapping(change: 1 | -1): void;
  /** Whether each area that shows it counts by itself (shared memory segments): then it is told of all, and they are never merged. */
  readonly countsAreas?: true;
  /** With `countsAreas`: an area came (1) or went (-1) by a call of process `pid`. */
  noteArea?(change: 1 | -1, pid: number): void;
  acquire(): unknown;
  release(): void;
}
