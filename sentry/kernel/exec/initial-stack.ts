/**
 * The initial stack of a program: strings, auxiliary vector, environment and arguments (System V ABI for x86-64, "Process Initialization";
 * fs/binfmt_elf.c create_elf_tables). It is laid out in scratch memory and stored with one copy, unless it is very large.
 */
import { EFAULT } from '#sentry/abi/errno.ts';
import * as elf from '#sentry/abi/elf.ts';
import { PAGE_SIZE } from '#sentry/abi/mman.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { LoadRequest } from './load.ts';

const WORDS_AT_ONCE = 4096;

/** Where things lie that the program is told of. */
interface Places {
  /** End of the stack. */
  readonly top: number;
  /** What was added to the program's addresses, and to its interpreter's (0 without one). */
  readonly bias: number;
  readonly base: number;
  /** 16 bytes for AT_RANDOM. */
  readonly random: string;
}

/** Writes everything; returns the stack pointer (argc) or -EFAULT. */
export function writeStack(request: LoadRequest, { top, bias, base, random }: Places): number {
  const { mm, args, environment, kernel, path } = request;
  const strings = new StackWriter(mm, kernel.scratch, top - 8);
  const execfn = strings.string(path);
  // Environment above arguments, each in order of ascending addresses, as /proc/PID/{cmdline,environ} rely on.
  mm.envEnd = strings.address;
  const environmentStarts = strings.block(environment);
  mm.envStart = mm.argEnd = strings.address;
  const argumentStarts = strings.block(args);
  mm.argStart = strings.address;
  const platformName = strings.string('x86_64');
  const randomAddress = strings.bytes(random);
  const auxv = auxiliaryVector(request, bias, base, { execfn, platformName, random: randomAddress });
  mm.auxv = auxv;
  const words = [args.length];
  for (const start of argumentStarts) words.push(start);
  words.push(0);
  for (const start of environmentStarts) words.push(start);
  words.push(0);
  for (const [key, value] of auxv) words.push(key, value);
  let pointer = strings.address - (strings.address % 16) - words.length * 8;
  pointer -= pointer % 16;
  strings.words(pointer, words);
  strings.flush();
  mm.stackStart = pointer;
  return strings.failed ? -EFAULT : pointer;
}

function auxiliaryVector(
  request: LoadRequest,
  bias: number,
  base: number,
  strings: { execfn: number; platformName: number; random: number },
): [number, number][] {
  const { program, credentials, kernel, thread, secure } = request;
  const [hwcap, hwcap2] = kernel.options.hardwareCapabilities;
  const { image } = program;
  const first = image.segments[0]!;
  const phdr = first.address - first.offset + image.programHeaderOffset + bias;
  const { vdso } = thread.space;
  return [
    ...(vdso === null ? [] : [[elf.AT_SYSINFO_EHDR, vdso.code.start] as [number, number]]),
    [elf.AT_HWCAP, hwcap],
    [elf.AT_PAGESZ, PAGE_SIZE],
    [elf.AT_CLKTCK, 100],
    [elf.AT_PHDR, phdr],
    [elf.AT_PHENT, elf.ProgramHeader.size],
    [elf.AT_PHNUM, image.programHeaderCount],
    [elf.AT_BASE, base],
    [elf.AT_FLAGS, 0],
    [elf.AT_ENTRY, image.entry + bias],
    [elf.AT_UID, credentials.uid],
    [elf.AT_EUID, credentials.euid],
    [elf.AT_GID, credentials.gid],
    [elf.AT_EGID, credentials.egid],
    [elf.AT_SECURE, secure ? 1 : 0],
    [elf.AT_RANDOM, strings.random],
    [elf.AT_HWCAP2, hwcap2],
    [elf.AT_EXECFN, strings.execfn],
    [elf.AT_PLATFORM, strings.platformName],
    [elf.AT_MINSIGSTKSZ, kernel.options.minimumSignalStack],
    [elf.AT_NULL, 0],
  ];
}

/** Pushes strings and words onto a stack that grows down. They are collected in scratch memory, whose end stands for `top`. */
class StackWriter {
  address: number;
  failed = false;
  private readonly mm: AddressSpace;
  private readonly scratch: HostMemory;
  /** What lies above has been stored. */
  private top: number;

  constructor(mm: AddressSpace, scratch: HostMemory, top: number) {
    this.mm = mm;
    this.scratch = scratch;
    this.address = top;
    this.top = top;
  }

  string(text: string): number {
    return this.bytes(`${text}\0`);
  }

  bytes(text: string): number {
    const step = this.scratch.bytes.length;
    for (let end = text.length; end > 0; end -= step) {
      const piece = text.slice(Math.max(0, end - step), end);
      this.scratch.writeLatin1(piece, this.push(piece.length));
    }
    return this.address;
  }

  /** Strings one after the other; where each starts. */
  block(texts: readonly string[]): number[] {
    const starts: number[] = [];
    if (texts.length === 0) return starts;
    let start = this.string(texts.join('\0'));
    for (const text of texts) {
      starts.push(start);
      start += text.length + 1;
    }
    return starts;
  }

  /** Words from `address` on, which lies below everything pushed so far. */
  words(address: number, words: readonly number[]): void {
    const { view, bytes } = this.scratch;
    const gap = this.address - (address + words.length * 8);
    const at = this.push(gap);
    bytes.fill(0, at, at + gap);
    for (let end = words.length; end > 0; ) {
      const start = Math.max(0, end - WORDS_AT_ONCE);
      const place = this.push((end - start) * 8);
      for (let i = start; i < end; i++) putI64(view, place + (i - start) * 8, words[i]!);
      end = start;
    }
  }

  /** Stores what was collected. */
  flush(): void {
    const length = this.top - this.address;
    if (length > 0 && this.mm.memory.copyOut(this.address, this.scratch, this.scratch.bytes.length - length, length) < 0)
      this.failed = true;
    this.top = this.address;
  }

  /** Makes room for `length` bytes; where they belong in the scratch memory. */
  private push(length: number): number {
    if (this.top - this.address + length > this.scratch.bytes.length) this.flush();
    this.address -= length;
    return this.scratch.bytes.length - (this.top - this.address);
  }
}
