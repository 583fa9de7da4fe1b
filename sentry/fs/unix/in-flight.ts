/**
 * Open files on their way in SCM_RIGHTS messages.
 *
 * They are counted and bounded. A Unix socket may travel through itself or through others in a circle; once nobody else holds them such
 * sockets keep each other alive for ever. `collect` finds them: sockets all of whose references are in flight, and whose messages lie in
 * queues of such sockets only. Their queues are emptied, which frees them. Linux: net/unix/garbage.c.
 *
 * Files are let go through a list, not recursively: closing a socket throws away messages that may hold sockets that hold messages …
 */
import type { FileDescription } from '../../vfs/file-description.ts';
import { FILES_IN_FLIGHT_MAX } from '../anonymous/limits.ts';
import type { MessageQueue } from '../socket/message.ts';

/** A socket that can be sent and whose queue can hold files. */
export interface Carrier extends FileDescription {
  readonly received: MessageQueue;
  /** Times it is in flight. */
  inFlight: number;
  /** Sockets waiting in it to be accepted hold messages, too. */
  embryos(): readonly Carrier[];
  discardMessages(): void;
}

const FIRST_COLLECTION = 32;

export class InFlight {
  private count = 0;
  private readonly carriers = new Set<Carrier>();
  private collectAt = FIRST_COLLECTION;
  private readonly released: FileDescription[] = [];
  private releasing = false;
  private readonly isCarrier: (file: FileDescription) => Carrier | null;

  constructor(isCarrier: (file: FileDescription) => Carrier | null) {
    this.isCarrier = isCarrier;
  }

  /** Whether `more` files may be sent. */
  admits(more: number): boolean {
    if (this.count + more > FILES_IN_FLIGHT_MAX) this.collect();
    return this.count + more <= FILES_IN_FLIGHT_MAX;
  }

  depart(files: readonly FileDescription[]): void {
    this.count += files.length;
    for (const file of files) {
      const carrier = this.isCarrier(file);
      if (carrier === null) continue;
      carrier.inFlight++;
      this.carriers.add(carrier);
    }
    if (this.carriers.size >= this.collectAt) this.collect();
  }

  arrive(files: readonly FileDescription[]): void {
    this.count -= files.length;
    for (const file of files) {
      const carrier = this.isCarrier(file);
      if (carrier !== null && --carrier.inFlight === 0) this.carriers.delete(carrier);
    }
  }

  /** The message that held `files` is thrown away. */
  release(files: readonly FileDescription[]): void {
    this.arrive(files);
    this.released.push(...files);
    if (this.releasing) return;
    this.releasing = true;
    for (let file = this.released.pop(); file !== undefined; file = this.released.pop()) file.release();
    this.releasing = false;
  }

  /** Frees circles of sockets that only hold each other. */
  collect(): void {
    const garbage = this.unreachable();
    for (const carrier of garbage) carrier.acquire();
    for (const carrier of garbage) carrier.discardMessages();
    for (const carrier of garbage) carrier.release();
    this.collectAt = Math.max(FIRST_COLLECTION, 2 * this.carriers.size);
  }

  private unreachable(): Set<Carrier> {
    const candidates = new Set<Carrier>();
    for (const carrier of this.carriers) if (carrier.referenceCount === carrier.inFlight) candidates.add(carrier);
    // References from queues of candidates; one that has more comes from outside.
    const inside = new Map<Carrier, number>();
    for (const carrier of candidates) {
      for (const held of this.held(carrier)) inside.set(held, (inside.get(held) ?? 0) + 1);
    }
    const reachable: Carrier[] = [];
    for (const carrier of candidates) if ((inside.get(carrier) ?? 0) < carrier.inFlight) reachable.push(carrier);
    for (let carrier = reachable.pop(); carrier !== undefined; carrier = reachable.pop()) {
      if (!candidates.delete(carrier)) continue;
      for (const held of this.held(carrier)) if (candidates.has(held)) reachable.push(held);
    }
    return candidates;
  }

  /** Sockets in the messages that wait in `carrier`. */
  private held(carrier: Carrier): Carrier[] {
    const found: Carrier[] = [];
    for (const queue of [carrier, ...carrier.embryos()]) {
      for (let message = queue.received.head; message !== null; message = message.next) {
        for (const file of message.rights ?? []) {
          const held = this.isCarrier(file);
          if (held !== null) found.push(held);
        }
      }
    }
    return found;
  }
}
