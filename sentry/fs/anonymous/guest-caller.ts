/**
 * What files of this layer need of the calling task beyond `Caller`: guest memory, for ioctl arguments. The kernel's Task satisfies it;
 * the interface lives here because the kernel lies above.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import type { UserMemory } from '../../mm/user-memory.ts';
import type { Caller } from '../../vfs/inode.ts';

export interface GuestCaller {
  readonly memory: Pick<UserMemory, 'copyIn' | 'copyOut' | 'loadU32' | 'storeU32' | 'loadU64'>;
  readonly scratch: HostMemory;
}

export function guestOf(caller: Caller): GuestCaller {
  return caller.task as GuestCaller;
}
