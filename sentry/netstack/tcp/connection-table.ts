/**
 * Connections by four-tuple: a hash table with open addressing and linear probing over words, at most half full, keyed by a secret so that a
 * peer cannot aim at one place of it.
 *
 * In front of it lies a small cache indexed by the ports alone: a segment that finds its connection there costs one comparison and no hash.
 * The table holds hashes beside entries, so a probe that misses touches no object.
 */
import type { IpAddress } from '../address.ts';
import { TCP_ENTRIES_MAX } from './limits.ts';
import { HalfSipHash } from './siphash.ts';
import type { TcpEntry } from './entry.ts';

const CAPACITY_FIRST = 64;
const CACHE_SIZE = 256;

export class ConnectionTable {
  size = 0;
  private hashes = new Int32Array(CAPACITY_FIRST);
  private entries: (TcpEntry | null)[] = emptySlots(CAPACITY_FIRST);
  private readonly cache: (TcpEntry | null)[] = emptySlots(CACHE_SIZE);
  private readonly hasher: HalfSipHash;

  constructor(random: () => number) {
    this.hasher = new HalfSipHash(random, 1);
  }

  get isFull(): boolean {
    return this.size >= TCP_ENTRIES_MAX;
  }

  find(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, scope: number): TcpEntry | null {
    const line = cacheLine(localPort, remotePort);
    const cached = this.cache[line]!;
    if (cached !== null && matches(cached, local, localPort, remote, remotePort, scope)) return cached;
    const { entries, hashes } = this;
    const mask = entries.length - 1;
    const hash = this.hash(local, localPort, remote, remotePort, scope);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = entries[slot]!;
      if (entry === null) return null;
      if (hashes[slot] !== hash || !matches(entry, local, localPort, remote, remotePort, scope)) continue;
      this.cache[line] = entry;
      return entry;
    }
  }

  /** Adds `entry`, whose four-tuple is not in the table. The caller has looked at `isFull`. */
  add(entry: TcpEntry): void {
    if (2 * (this.size + 1) > this.entries.length) this.grow();
    this.place(entry, this.hashOf(entry));
    entry.isListed = true;
    this.size++;
  }

  remove(entry: TcpEntry): void {
    if (!entry.isListed) return;
    entry.isListed = false;
    const line = cacheLine(entry.localPort, entry.remotePort);
    if (this.cache[line] === entry) this.cache[line] = null;
    const mask = this.entries.length - 1;
    let slot = this.hashOf(entry) & mask;
    while (this.entries[slot] !== entry) slot = (slot + 1) & mask;
    this.closeGap(slot, mask);
    this.size--;
  }

  /** Calls `visit` with each entry, for /proc/net/tcp and ss. Entries must not be added or removed meanwhile. */
  forEach(visit: (entry: TcpEntry) => void): void {
    for (const entry of this.entries) if (entry !== null) visit(entry);
  }

  /** Moves entries behind an emptied slot back, so that no probe ends too early. */
  private closeGap(emptied: number, mask: number): void {
    const { entries, hashes } = this;
    let gap = emptied;
    for (let slot = (gap + 1) & mask; entries[slot] !== null; slot = (slot + 1) & mask) {
      const home = hashes[slot]! & mask;
      // It may move if its home is not between the gap (exclusive) and where it is.
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      entries[gap] = entries[slot]!;
      hashes[gap] = hashes[slot]!;
      gap = slot;
    }
    entries[gap] = null;
  }

  private place(entry: TcpEntry, hash: number): void {
    const mask = this.entries.length - 1;
    let slot = hash & mask;
    while (this.entries[slot] !== null) slot = (slot + 1) & mask;
    this.entries[slot] = entry;
    this.hashes[slot] = hash;
  }

  private grow(): void {
    const { entries, hashes } = this;
    this.entries = emptySlots(entries.length * 2);
    this.hashes = new Int32Array(entries.length * 2);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (entry !== null) this.place(entry, hashes[i]!);
    }
  }

  private hashOf(entry: TcpEntry): number {
    return this.hash(entry.local, entry.localPort, entry.remote, entry.remotePort, entry.scope);
  }

  private hash(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, scope: number): number {
    const { hasher } = this;
    hasher.begin().word(local.w0).word(local.w1).word(local.w2).word(local.w3);
    hasher.word(remote.w0).word(remote.w1).word(remote.w2).word(remote.w3);
    return hasher
      .word((localPort << 16) | remotePort)
      .word(scope)
      .finish();
  }
}

function emptySlots(count: number): (TcpEntry | null)[] {
  const slots: (TcpEntry | null)[] = [];
  for (let i = 0; i < count; i++) slots.push(null);
  return slots;
}

function cacheLine(localPort: number, remotePort: number): number {
  return (localPort ^ Math.imul(remotePort, 31)) & (CACHE_SIZE - 1);
}

function matches(entry: TcpEntry, local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, scope: number): boolean {
  return (
    entry.remotePort === remotePort &&
    entry.localPort === localPort &&
    entry.scope === scope &&
    entry.remote.equals(remote) &&
    entry.local.equals(local)
  );
}
