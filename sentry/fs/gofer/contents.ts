/**
 * Contents of small files of exclusive mounts, in the memory shared with the gofer (gofer/server/window.ts), outside of the V8 heap. A file whose
 * content is here is opened and read without a message and without a host call.
 *
 * The window is divided in two, for what the gofer reads ahead and for what we read ourselves: the gofer may be at work on its part at any time.
 * Each part is a ring: what comes is stored behind what came last, over what is oldest. Only files that nobody has open for writing have
 * contents; whoever opens one for writing drops them first (file.ts).
 *
 *     const at = contents.reserve(bytes);             // makes room; then the gofer stores the files there
 *     const content = contents.add(at, length, …);    // one for each of them, in the order in which they lie
 */
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { fetchedExtent } from '#gofer/protocol/messages.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { Ready } from './listings.ts';

/** Who reads a content. */
export interface ContentUser {
  content: Content | null;
}

export class Content implements Ready {
  readonly at: number;
  readonly length: number;
  readonly attributes: Attributes;
  /** The live file, once it has been opened. */
  user: ContentUser | null = null;
  /** Still in the ring. */
  present = true;
  private readonly contents: Contents;

  constructor(contents: Contents, at: number, length: number, attributes: Attributes) {
    this.contents = contents;
    this.at = at;
    this.length = length;
    this.attributes = attributes;
  }

  get isUsable(): boolean {
    return this.present;
  }

  discard(): void {
    this.contents.drop(this);
  }
}

export class Contents {
  readonly memory: HostMemory;
  /** Oldest first, which is also the order in which they lie, from `head` on and around. */
  private readonly ring = new Set<Content>();
  private head: number;
  private readonly start: number;
  private readonly end: number;
  /** What was reserved last is being filled; nothing else may be reserved until it has been added. */
  isReserved = false;

  /** The part [start, end) of the window. */
  constructor(memory: HostMemory, start: number, end: number) {
    this.memory = memory;
    this.start = start;
    this.end = end;
    this.head = start;
  }

  get size(): number {
    return this.end - this.start;
  }

  /** For tests: how many there are. */
  get count(): number {
    return this.ring.size;
  }

  /** Makes room for `bytes` (at most half of the ring). Returns where it begins. */
  reserve(bytes: number): number {
    if (this.head + bytes > this.end) {
      this.evict(this.head, this.end);
      this.head = this.start;
    }
    this.evict(this.head, this.head + bytes);
    return this.head;
  }

  /** Drops what lies in [from, to), which is the oldest there is. */
  private evict(from: number, to: number): void {
    for (const content of this.ring) {
      if (content.at >= to || content.at + fetchedExtent(content.length) <= from) return;
      this.drop(content);
    }
  }

  /** `length` bytes were stored at `at`, within what was reserved. */
  add(at: number, length: number, attributes: Attributes): Content {
    const content = new Content(this, at, length, attributes);
    this.ring.add(content);
    this.head = at + fetchedExtent(length);
    return content;
  }

  drop(content: Content): void {
    content.present = false;
    this.ring.delete(content);
    if (content.user !== null) content.user.content = null;
    content.user = null;
  }
}
