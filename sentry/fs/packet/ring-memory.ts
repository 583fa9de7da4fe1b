/**
 * Memory of packet rings: an anonymous file of the host each, which guests map, shown in sentry memory. That memory cannot be given back to the
 * host, so pieces of it come in powers of two and are used again; a file and its pages go with the ring.
 */
import { ENOMEM } from '#sentry/abi/errno.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import type { MemoryBudget } from '../../mm/memory-budget.ts';
import { PACKET_RING_BYTES_MAX, PACKET_RINGS_BYTES_MAX } from '../anonymous/limits.ts';

const SMALLEST = 64 * 1024;

export interface RingMemory {
  /** At least as long as asked for; what lies beyond must not be touched. */
  readonly memory: HostMemory;
  readonly fd: HostFd;
  readonly bytes: number;
}

export class RingMemories {
  private readonly host: Pick<Host, 'allocate' | 'show' | 'memfd' | 'ftruncate' | 'close'>;
  private readonly budget: MemoryBudget | null;
  /** Pieces that show nothing, by their length. */
  private readonly spare = new Map<number, HostMemory[]>();
  private used = 0;

  constructor(host: Pick<Host, 'allocate' | 'show' | 'memfd' | 'ftruncate' | 'close'>, budget: MemoryBudget | null) {
    this.host = host;
    this.budget = budget;
  }

  /** Zeroed memory for `bytes`, or -ENOMEM. */
  take(bytes: number): RingMemory | number {
    const { host, budget } = this;
    if (bytes > PACKET_RING_BYTES_MAX || this.used + bytes > PACKET_RINGS_BYTES_MAX || host.show === undefined) return -ENOMEM;
    if (budget !== null && !budget.fits(bytes)) return -ENOMEM;
    const fd = host.memfd('packet-ring');
    if (fd < 0) return -ENOMEM;
    const size = Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(bytes)));
    const memory = this.spare.get(size)?.pop() ?? host.allocate(size);
    if (host.ftruncate(fd, bytes) < 0 || host.show(memory, fd, 0) < 0) {
      host.close(fd);
      this.keep(memory);
      return -ENOMEM;
    }
    this.used += bytes;
    budget?.charge(bytes);
    return { memory, fd, bytes };
  }

  /** Nobody maps it any more. */
  give({ memory, fd, bytes }: RingMemory): void {
    this.used -= bytes;
    this.budget?.charge(-bytes);
    this.host.show!(memory, -1, 0);
    this.host.close(fd);
    this.keep(memory);
  }

  private keep(memory: HostMemory): void {
    const size = memory.bytes.length;
    const spare = this.spare.get(size);
    if (spare === undefined) this.spare.set(size, [memory]);
    else spare.push(memory);
  }
}
