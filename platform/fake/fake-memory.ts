/**
 * Memory without a host: `HostMemory` over an ordinary buffer, and guest address spaces as sparse maps of pages.
 *
 * A guest page is either private bytes or a window on a fake file, so shared mappings are coherent with reads and writes of the file.
 * Deviations from a real host: a private file mapping copies its pages when it is made, and nothing is lazily allocated.
 */
import type { HostMemory } from '../contract/host.ts';
import type { FakeFile } from './fake-files.ts';

export const PAGE = 4096;
export const PROT_READ = 1;
export const PROT_WRITE = 2;

let nextAddress = 0x1000_0000_0000;

export class FakeMemory implements HostMemory {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.address = nextAddress;
    nextAddress += Math.ceil(bytes.length / PAGE) * PAGE + PAGE;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  latin1(start: number, end: number): string {
    let text = '';
    for (let i = start; i < end; i += 1) text += String.fromCharCode(this.bytes[i]!);
    return text;
  }

  writeLatin1(text: string, offset: number): number {
    const length = Math.min(text.length, this.bytes.length - offset);
    for (let i = 0; i < length; i += 1) this.bytes[offset + i] = text.charCodeAt(i);
    return length;
  }
}

/** One mapped page. */
interface GuestPage {
  protection: number;
  /** The bytes of a private page. */
  readonly bytes: Uint8Array | null;
  /** What a shared page shows. */
  readonly file: FakeFile | null;
  readonly fileOffset: number;
}

/** The pages of one guest address space. */
export class FakePages {
  readonly #pages = new Map<number, GuestPage>();

  mapPrivate(address: number, length: number, protection: number, file: FakeFile | null, offset: number): void {
    forEachPage(address, length, (page, at) => {
      const bytes = new Uint8Array(PAGE);
      if (file !== null) file.read(bytes, 0, PAGE, offset + at);
      this.#pages.set(page, { protection, bytes, file: null, fileOffset: 0 });
    });
  }

  mapShared(address: number, length: number, protection: number, file: FakeFile, offset: number): void {
    forEachPage(address, length, (page, at) => {
      this.#pages.set(page, { protection, bytes: null, file, fileOffset: offset + at });
    });
  }

  unmap(address: number, length: number): void {
    forEachPage(address, length, (page) => this.#pages.delete(page));
  }

  /** False when a page is not mapped. */
  protect(address: number, length: number, protection: number): boolean {
    let mapped = true;
    forEachPage(address, length, (page) => {
      const found = this.#pages.get(page);
      if (found === undefined) mapped = false;
      else found.protection = protection;
    });
    return mapped;
  }

  move(from: number, oldLength: number, to: number, newLength: number): void {
    const moved: (GuestPage | undefined)[] = [];
    forEachPage(from, Math.min(oldLength, newLength), (page) => moved.push(this.#pages.get(page)));
    const last = moved.at(-1);
    this.unmap(from, oldLength);
    this.unmap(to, newLength);
    forEachPage(to, newLength, (page, at) => {
      const source = moved[at / PAGE] ?? grown(last, at - (moved.length - 1) * PAGE);
      if (source !== undefined) this.#pages.set(page, source);
    });
  }

  /** MADV_DONTNEED: private pages read as zeros again. */
  discard(address: number, length: number): void {
    forEachPage(address, length, (page) => this.#pages.get(page)?.bytes?.fill(0));
  }

  copy(): FakePages {
    const copy = new FakePages();
    for (const [page, { protection, bytes, file, fileOffset }] of this.#pages) {
      copy.#pages.set(page, { protection, bytes: bytes?.slice() ?? null, file, fileOffset });
    }
    return copy;
  }

  clear(): void {
    this.#pages.clear();
  }

  /** Bytes copied before the first page that does not grant `need`. */
  read(address: number, into: Uint8Array, need = PROT_READ): number {
    return this.#transfer(address, into.length, need, (page, at, done, count) => {
      if (page.bytes !== null) into.set(page.bytes.subarray(at, at + count), done);
      else page.file!.read(into, done, count, page.fileOffset + at);
    });
  }

  write(address: number, from: Uint8Array): number {
    return this.#transfer(address, from.length, PROT_WRITE, (page, at, done, count) => {
      if (page.bytes !== null) page.bytes.set(from.subarray(done, done + count), at);
      else page.file!.write(from, done, count, page.fileOffset + at);
    });
  }

  #transfer(
    address: number,
    length: number,
    need: number,
    copy: (page: GuestPage, at: number, done: number, count: number) => void,
  ): number {
    let done = 0;
    while (done < length) {
      const at = (address + done) % PAGE;
      const page = this.#pages.get((address + done - at) / PAGE);
      if (page === undefined || (page.protection & need) !== need) break;
      // Behind the last page of a file there is nothing (SIGBUS on a real host).
      if (page.file !== null && page.fileOffset >= Math.ceil(page.file.size / PAGE) * PAGE) break;
      const count = Math.min(PAGE - at, length - done);
      copy(page, at, done, count);
      done += count;
    }
    return done;
  }
}

function forEachPage(address: number, length: number, visit: (page: number, offset: number) => void): void {
  for (let at = 0; at < length; at += PAGE) visit((address + at) / PAGE, at);
}

/** The page that follows `last` by `distance` bytes when a mapping grows. */
function grown(last: GuestPage | undefined, distance: number): GuestPage | undefined {
  if (last === undefined) return undefined;
  if (last.file !== null) return { ...last, fileOffset: last.fileOffset + distance };
  return { protection: last.protection, bytes: new Uint8Array(PAGE), file: null, fileOffset: 0 };
}
