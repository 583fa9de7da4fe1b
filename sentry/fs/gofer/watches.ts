/**
 * Which directories of shared mounts the gofer watches for us (gofer/server/watch.ts). What was looked up in one since then is believed, for its
 * first change is told here before anybody can rely on it:
 *
 *     vfs.beforeWalk = () => watches.drain();        // each walk looks first whether something changed
 *     watches.begin(directory, fid)                  // its names are believed from now on ...
 *     directory.changed()                            // ... until this is called
 *
 * Our own changes are told like those of others: a directory in which much is written is asked about, as without watches.
 * Spec: inotify(7), struct inotify_event.
 */
import { Watch } from '#gofer/protocol/messages.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { GOFER_WATCHES_MAX } from '../../limits.ts';
import type { GoferConnection } from './connection.ts';

export interface Watched {
  /** What the host calls its watch. */
  wd: number;
  /** Something in the directory is not what it was, or that cannot be told. */
  changed(): void;
}

const EVENT_HEADER = 16;
const BUFFER_SIZE = 4096;
const OVERFLOWED = -1;

export class Watches {
  /** Walks so far: what was told during the present one is news. */
  walk = 0;
  /** Somebody calls `drain` before each walk. */
  isEnabled = false;
  private readonly connection: GoferConnection;
  private readonly memory: HostMemory;
  private readonly watched = new Map<number, Set<Watched>>();
  private generation = 0;

  constructor(connection: GoferConnection) {
    this.connection = connection;
    this.memory = connection.host.allocate(BUFFER_SIZE);
  }

  /** Has `fid`, a directory, watched: its generation (see Inode), or 0 when it cannot be. */
  begin(directory: Watched, fid: number): number {
    const body = this.canWatch ? this.connection.ask(Watch, { fid }) : null;
    return body === null ? 0 : this.began(directory, body.wd);
  }

  /** Whether another directory can be watched. */
  get canWatch(): boolean {
    return this.isEnabled && this.connection.watches >= 0 && this.watched.size < GOFER_WATCHES_MAX;
  }

  /** The gofer watches `directory` as number `wd`: its generation. */
  began(directory: Watched, wd: number): number {
    directory.wd = wd;
    const those = this.watched.get(wd);
    if (those === undefined) this.watched.set(wd, new Set([directory]));
    else those.add(directory);
    return ++this.generation;
  }

  /** Looks whether something changed. */
  drain(): void {
    this.walk++;
    if (this.watched.size === 0) return;
    const { connection, memory } = this;
    for (let length = BUFFER_SIZE; length > 0; ) {
      length = connection.host.read(connection.watches, memory, 0, BUFFER_SIZE);
      for (let at = 0; at + EVENT_HEADER <= length; at += EVENT_HEADER + memory.view.getUint32(at + 12, true))
        this.happened(memory.view.getInt32(at, true));
    }
  }

  private happened(wd: number): void {
    const { watched } = this;
    if (wd === OVERFLOWED) {
      for (const those of watched.values()) for (const directory of those) directory.changed();
      watched.clear();
      return;
    }
    const those = watched.get(wd);
    if (those === undefined) return;
    // The host's watch ended with its first event.
    watched.delete(wd);
    for (const directory of those) directory.changed();
  }

  /** Nobody asks about `directory` any more. Its watch stays with the host until something changes there. */
  forget(directory: Watched): void {
    this.watched.get(directory.wd)?.delete(directory);
  }
}
