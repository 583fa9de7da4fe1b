/**
 * Regions: what patched sites jump through. One for each lineage of address spaces, that is a program and the copies it forks, which
 * inherit the patched text together with the mapping of the region.
 *
 *     0x0000  the table of transfers, the same in all
 *     0x1000  slots, eight bytes each: the address of a site's thunk. Their own addresses, 0x050fxxxx, are part of the patch.
 *     0x3000  thunks
 *
 * All regions are pieces of one memfd. A guest maps its lineage's piece private, readable and executable: additions of the sentry show up
 * there by themselves, and a guest that makes its mapping writable changes a copy of its own. Entries are only ever added, because
 * a copy of the address space may still use them; the piece is cleared when the last space of the lineage is gone.
 */
import type { HostFd, HostMemory } from '../../contract/host.ts';
import type { LinuxHost } from '../../host/host.ts';
import { THUNK_BYTES, writeThunk } from '../../stub/thunk.ts';
import { REGION_BASE, TRANSFER_ENTRIES } from '../../stub/trampoline-layout.ts';

const SLOTS = 0x1000;
const THUNKS = 0x3000;
/** Sites that can be patched in one lineage. */
export const SITES_MAX = 1024;
export const REGION_BYTES = THUNKS + SITES_MAX * THUNK_BYTES + 0x1000;
export const REGION_END = REGION_BASE + REGION_BYTES;
/** Programs that can have patched sites at the same time. */
const REGIONS_MAX = 1024;

export interface Site {
  /** Behind its `syscall` instruction. */
  readonly returnAddress: number;
  readonly moved: readonly number[];
  /** Where the jump to the slot lies, if not at the site itself, else 0. */
  readonly jumpAddress: number;
  /** What the patch overwrites. */
  readonly originals: readonly { readonly address: number; readonly bytes: readonly number[] }[];
}

export class Region {
  readonly fileOffset: number;
  readonly sites: Site[] = [];
  /** Address spaces that use it. */
  users = 1;
  readonly #memory: HostMemory;

  constructor(memory: HostMemory, fileOffset: number, table: Uint32Array) {
    this.#memory = memory;
    this.fileOffset = fileOffset;
    this.clear(table);
  }

  get isFull(): boolean {
    return this.sites.length === SITES_MAX;
  }

  /** Where the slot of the site lies that is added next. */
  get nextSlotAddress(): number {
    return REGION_BASE + SLOTS + this.sites.length * 8;
  }

  /** Adds a slot and a thunk. */
  add(site: Site, trampolineEntry: number): void {
    const index = this.sites.length;
    const thunk = THUNKS + index * THUNK_BYTES;
    writeThunk(this.#memory.view, thunk, site.moved, site.returnAddress, trampolineEntry);
    this.#memory.view.setUint32(SLOTS + index * 8, REGION_BASE + thunk, true);
    this.sites.push(site);
  }

  clear(table: Uint32Array): void {
    const { bytes, view } = this.#memory;
    bytes.fill(0);
    for (let i = 0; i < table.length; i += 1) view.setUint32(4 * i, table[i]!, true);
    this.sites.length = 0;
    this.users = 1;
  }
}

/** The site whose jump lies at `address`, apart from itself; null when there is none. */
export function jumpAt(region: Region, address: number): Site | null {
  return region.sites.find((site) => site.jumpAddress !== 0 && site.jumpAddress === address) ?? null;
}

/** The site whose thunk `address` lies in and how far; null when it is no thunk. */
export function thunkAt(region: Region, address: number): { readonly site: Site; readonly offset: number } | null {
  const from = address - REGION_BASE - THUNKS;
  const site = from < 0 ? undefined : region.sites[Math.floor(from / THUNK_BYTES)];
  return site === undefined ? null : { site, offset: from % THUNK_BYTES };
}

export class Regions {
  readonly fd: HostFd;
  readonly #host: LinuxHost;
  readonly #makeTable: () => Uint32Array;
  #table: Uint32Array | null = null;
  readonly #free: Region[] = [];
  #count = 0;

  /** `table`: two words for each call number, see trampoline-layout.ts; asked for when the first region is needed. */
  constructor(host: LinuxHost, table: () => Uint32Array) {
    this.#host = host;
    this.#makeTable = table;
    this.fd = host.memfd('patches');
  }

  /** A region without sites; null when there are too many or the host has no memory for it. */
  take(): Region | null {
    this.#table ??= this.#makeTable();
    if (this.#table.length !== 2 * TRANSFER_ENTRIES) throw new RangeError('regions: the table of transfers has another length');
    const free = this.#free.pop();
    if (free !== undefined) {
      free.clear(this.#table);
      return free;
    }
    if (this.fd < 0 || this.#count === REGIONS_MAX) return null;
    const offset = this.#count * REGION_BYTES;
    if (this.#host.ftruncate(this.fd, offset + REGION_BYTES) < 0) return null;
    const memory = this.#host.mapShared(this.fd, offset, REGION_BYTES);
    if (typeof memory === 'number') return null;
    this.#count += 1;
    return new Region(memory, offset, this.#table);
  }

  /** An address space that used it is gone. */
  release(region: Region): void {
    region.users -= 1;
    if (region.users === 0) this.#free.push(region);
  }
}
