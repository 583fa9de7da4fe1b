/**
 * The objects of one kind in an IPC namespace, by id and by key (Linux ipc_ids).
 *
 * An id is an index and, above it, a sequence number that changes whenever the indexes start over: the id of an object that is gone does not
 * lead to its successor for a long time. Indexes are given out in a circle that is half as large again as there are objects.
 *
 *     const id = table.get(key, flags, credentials, existing => -errno or 0, () => new object or -errno);
 *     const object = table.find(id);                      // undefined: EINVAL
 *
 * Spec: Linux ipc/util.c (ipcget, ipc_addid, ipc_idr_alloc).
 */
import { EACCES, EEXIST, ENOENT, ENOSPC } from '#sentry/abi/errno.ts';
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE } from '#sentry/abi/ipc.ts';
import { IPC_OBJECTS_MAX } from '../../limits.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import type { IpcObject } from './ipc-object.ts';

const INDEX_BITS = 15;
const INDEX_MASK = (1 << INDEX_BITS) - 1;
const SEQUENCES = 0x7fff_ffff >> INDEX_BITS;
/** Indexes are not used again before so many others were (Linux ipc_min_cycle). */
const CYCLE_MIN = 64;

export class IpcTable<T extends IpcObject> {
  inUse = 0;
  private readonly slots: (T | undefined)[] = [];
  private readonly keys = new Map<number, T>();
  private sequence = 0;
  private lastIndex = -1;

  /** The object called `id`, unless it is gone. */
  find(id: number): T | undefined {
    const object = this.slots[id & INDEX_MASK];
    return object !== undefined && object.id === id ? object : undefined;
  }

  /** The object at an index, for the calls that go over all of them. */
  at(index: number): T | undefined {
    return this.slots[index & INDEX_MASK];
  }

  /** Highest index in use, 0 when there is none, as the INFO calls return it. */
  get highestIndex(): number {
    for (let index = this.slots.length - 1; index > 0; index--) if (this.slots[index] !== undefined) return index;
    return 0;
  }

  all(): T[] {
    return this.slots.filter((object) => object !== undefined);
  }

  /**
   * The get call: the id of the object `key` leads to, or of a new one, or -errno. `refusal` looks at an existing object's size, `make` makes
   * and adds a new one.
   */
  get(key: number, flags: number, credentials: Credentials, refusal: (existing: T) => number, make: () => number): number {
    const existing = key === IPC_PRIVATE ? undefined : this.keys.get(key);
    if (existing === undefined) return key === IPC_PRIVATE || (flags & IPC_CREAT) !== 0 ? make() : -ENOENT;
    if ((flags & (IPC_CREAT | IPC_EXCL)) === (IPC_CREAT | IPC_EXCL)) return -EEXIST;
    const refused = refusal(existing);
    if (refused < 0) return refused;
    return existing.permits(credentials, flags) ? existing.id : -EACCES;
  }

  /** Whether there may be one more. `limit`: the sysctl. */
  hasRoom(limit: number): boolean {
    return this.inUse < Math.min(limit, IPC_OBJECTS_MAX);
  }

  /** Takes a new object in, gives it its id and returns that, or -ENOSPC. */
  add(object: T, limit: number): number {
    if (!this.hasRoom(limit)) return -ENOSPC;
    const index = this.freeIndex();
    if (index <= this.lastIndex && ++this.sequence >= SEQUENCES) this.sequence = 0;
    this.lastIndex = index;
    this.inUse++;
    object.seq = this.sequence;
    object.id = (this.sequence << INDEX_BITS) + index;
    this.slots[index] = object;
    if (object.key !== IPC_PRIVATE) this.keys.set(object.key, object);
    return object.id;
  }

  private freeIndex(): number {
    const cycle = Math.min(Math.max(Math.floor((this.inUse * 3) / 2), CYCLE_MIN), IPC_OBJECTS_MAX);
    for (let i = this.lastIndex + 1; i < cycle; i++) if (this.slots[i] === undefined) return i;
    let index = 0;
    while (this.slots[index] !== undefined) index++;
    return index;
  }

  remove(object: T): void {
    this.makePrivate(object);
    this.slots[object.id & INDEX_MASK] = undefined;
    this.inUse--;
  }

  /** Its key no longer leads to it. */
  makePrivate(object: T): void {
    if (object.key !== IPC_PRIVATE) this.keys.delete(object.key);
    object.key = IPC_PRIVATE;
  }
}
