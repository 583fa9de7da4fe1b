/**
 * Numbers of users or groups inside a container and on the host (user_namespaces(7), "User and group ID mappings"): the files of a container lie on the
 * host with host numbers, and the sentry and its guests know only those of the container.
 *
 *     const map = new IdMap([{ containerID: 0, hostID: 100000, size: 65536 }]);
 *     map.toHost(33)         // 100033; -1: there is no such user on the host
 *     map.toContainer(0)     // UNMAPPED_ID: whoever owns it is nobody inside
 *
 * Linux keeps at most 340 ranges, which are searched one after the other; the range found last is tried first.
 */
import type { IdRange } from '#sentry/abi/id-range.ts';
import { UNMAPPED_ID } from '#sentry/abi/stat.ts';

export class IdMap {
  private readonly ranges: readonly IdRange[];
  private latest: IdRange;

  /** `ranges`: at least one. */
  constructor(ranges: readonly IdRange[]) {
    this.ranges = ranges;
    this.latest = ranges[0]!;
  }

  /** The host's number, or -1. */
  toHost(id: number): number {
    let range: IdRange | undefined = this.latest;
    if (!isIn(id, range.containerID, range.size)) range = this.ranges.find(({ containerID, size }) => isIn(id, containerID, size));
    if (range === undefined) return -1;
    this.latest = range;
    return id - range.containerID + range.hostID;
  }

  /** The container's number, or UNMAPPED_ID. */
  toContainer(id: number): number {
    let range: IdRange | undefined = this.latest;
    if (!isIn(id, range.hostID, range.size)) range = this.ranges.find(({ hostID, size }) => isIn(id, hostID, size));
    if (range === undefined) return UNMAPPED_ID;
    this.latest = range;
    return id - range.hostID + range.containerID;
  }
}

function isIn(id: number, first: number, size: number): boolean {
  return id >= first && id < first + size;
}
