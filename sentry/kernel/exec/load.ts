/**
 * Maps an executable and its interpreter into a fresh address space and lays out the initial stack (fs/binfmt_elf.c; System V ABI for
 * x86-64, "Process Initialization").
 *
 * Layout, low to high: program (fixed, or near 0x5555…), heap, …, mappings growing down, stack, then what belongs to the platform.
 */
import { ENOMEM, EFAULT } from '#sentry/abi/errno.ts';
import * as elf from '#sentry/abi/elf.ts';
import { MAP_NORESERVE, MAP_PRIVATE, PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE, pageRoundDown, pageRoundUp } from '#sentry/abi/mman.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { MEMORY_CALLS_SCRATCH } from '#platform/contract/platform.ts';
import type { GuestThread } from '#platform/contract/platform.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import type { Kernel } from '../kernel.ts';
import type { Executable, Segment } from './elf.ts';

/** Where position-independent programs lie without randomisation (two thirds of the address range, as Linux's ELF_ET_DYN_BASE). */
const PIE_BASE = 0x5555_5555_4000;
/** Distance kept between the stack and the mappings below it. */
const STACK_GAP = 0x10_0000;
const STACK_MAX = 256 * 1024 * 1024;

export interface Program {
  readonly entry: number;
  readonly stackPointer: number;
}

export interface LoadRequest {
  readonly kernel: Kernel;
  readonly thread: GuestThread;
  readonly mm: AddressSpace;
  readonly program: Executable;
  readonly interpreter: Executable | null;
  readonly path: string;
  readonly args: readonly string[];
  readonly environment: readonly string[];
  readonly credentials: Credentials;
  readonly secure: boolean;
  /** Soft RLIMIT_STACK in bytes, Infinity for none. */
  readonly stackLimit: number;
  /** Whether to put things where nobody expects them (off with ADDR_NO_RANDOMIZE). */
  readonly randomize: boolean;
}

/** Loads the program; registers are the caller's business. Returns entry and stack pointer, or -errno (the space is then useless). */
export function load(request: LoadRequest): Program | number {
  const { thread, mm, program, interpreter, kernel } = request;
  const { vdso } = thread.space;
  if (vdso !== null) {
    mm.adopt(vdso.vvar.start, vdso.vvar.end, PROT_READ, '[vvar]');
    mm.adopt(vdso.code.start, vdso.code.end, PROT_READ | PROT_EXEC, '[vdso]');
  }
  const stack = mapStack(request);
  if (stack < 0) return stack;
  const bias = program.isDynamic ? pieBase(request) : 0;
  const tails = new ImageTails();
  thread.beginMemoryCalls(stack - MEMORY_CALLS_SCRATCH);
  const base = mapImages(request, bias, tails);
  const done = thread.endMemoryCalls();
  if (base < 0 || done < 0) return Math.min(base, done);
  if (tails.clear(mm, kernel.scratch) < 0) return -EFAULT;
  const stackPointer = writeStack(request, stack, bias, base);
  const entry = interpreter === null ? program.entry + bias : interpreter.entry + base;
  return stackPointer < 0 ? stackPointer : { entry, stackPointer };
}

/** Maps the program at `bias` and its interpreter where there is room; returns the interpreter's base (0 without one). */
function mapImages(request: LoadRequest, bias: number, tails: ImageTails): number {
  const { thread, mm, program, interpreter } = request;
  const end = mapSegments(thread, mm, program, bias, tails);
  if (end < 0) return end;
  setProgramLayout(mm, program, bias);
  mm.brkStart = mm.brk = pageRoundUp(end) + randomPages(request, 0x2000) * (program.isDynamic ? 1 : 0);
  if (interpreter === null) return 0;
  const base = interpreter.isDynamic ? mm.findFree(imageSize(interpreter)) : 0;
  if (base < 0) return base;
  const mapped = mapSegments(thread, mm, interpreter, base, tails);
  return mapped < 0 ? mapped : base;
}

function randomPages({ kernel, randomize }: LoadRequest, count: number): number {
  if (!randomize) return 0;
  kernel.host.random(kernel.cell, 0, 4);
  return (kernel.cell.view.getUint32(0, true) % count) * PAGE_SIZE;
}

function pieBase(request: LoadRequest): number {
  const { program } = request;
  const base = PIE_BASE + randomPages(request, 0x1000_0000);
  return base - (base % program.alignment);
}

function imageSize({ segments }: Executable): number {
  const last = segments.at(-1)!;
  return pageRoundUp(last.address + last.memorySize) - pageRoundDown(segments[0]!.address);
}

/** Maps the stack and sets the mmap base below it. Returns the top. */
function mapStack(request: LoadRequest): number {
  const { thread, mm, stackLimit, program } = request;
  const size = pageRoundUp(Math.max(32 * PAGE_SIZE, Math.min(stackLimit, STACK_MAX)));
  const highest = mm.limits.highestAddress - randomPages(request, 0x4000) - PAGE_SIZE;
  mm.setMmapBase(highest);
  const bottom = mm.findFree(size);
  if (bottom < 0) return bottom;
  const protection = PROT_READ | PROT_WRITE | (program.executableStack ? PROT_EXEC : 0);
  const mapped = mm.mapAt(thread, bottom, size, protection, MAP_PRIVATE | MAP_NORESERVE, null, 0, '[stack]');
  if (mapped < 0) return mapped;
  mm.setMmapBase(bottom - STACK_GAP - randomPages(request, 0x1000));
  return bottom + size;
}

/** Maps every segment at `bias`; returns the end of the image (unrounded). */
function mapSegments(thread: GuestThread, mm: AddressSpace, image: Executable, bias: number, tails: ImageTails): number {
  let end = 0;
  for (const segment of image.segments) {
    if (segment.memorySize === 0) continue;
    const start = pageRoundDown(segment.address) + bias;
    const shift = segment.address % PAGE_SIZE;
    const fileEnd = segment.address + bias + segment.fileSize;
    const memoryEnd = segment.address + bias + segment.memorySize;
    if (start < 0x1_0000 || memoryEnd > mm.limits.highestAddress) return -ENOMEM;
    tails.replaced(start, memoryEnd);
    if (segment.fileSize > 0) {
      const size = pageRoundUp(fileEnd - start);
      const mapped = mm.mapAt(thread, start, size, segment.protection, MAP_PRIVATE, image.file, segment.offset - shift);
      if (mapped < 0) return mapped;
    }
    if (memoryEnd > fileEnd) {
      const mapped = mapTail(thread, mm, segment, start, fileEnd, memoryEnd, tails);
      if (mapped < 0) return mapped;
    }
    end = Math.max(end, memoryEnd);
  }
  return end;
}

/** The part of a segment beyond its file contents reads as zeros: the rest of the last file page, then anonymous pages. */
function mapTail(
  thread: GuestThread,
  mm: AddressSpace,
  segment: Segment,
  start: number,
  fileEnd: number,
  memoryEnd: number,
  tails: ImageTails,
): number {
  const anonymous = segment.fileSize > 0 ? pageRoundUp(fileEnd) : start;
  if (segment.fileSize > 0 && (segment.protection & PROT_WRITE) !== 0) tails.add(fileEnd, Math.min(anonymous, pageRoundUp(memoryEnd)));
  const size = pageRoundUp(memoryEnd) - anonymous;
  if (size <= 0) return 0;
  return mm.mapAt(thread, anonymous, size, segment.protection, MAP_PRIVATE, null, 0);
}

/** What must read as zeros in the last file page of segments; cleared when everything is mapped. */
class ImageTails {
  private readonly ranges: { start: number; end: number }[] = [];

  add(start: number, end: number): void {
    if (end > start) this.ranges.push({ start, end });
  }

  /** A later segment is mapped at [start, end), perhaps over the last page of the one before. */
  replaced(start: number, end: number): void {
    const last = this.ranges.at(-1);
    if (last === undefined || last.end <= start || last.start >= end) return;
    if (last.start >= start) this.ranges.pop();
    else last.end = start;
  }

  clear(mm: AddressSpace, scratch: HostMemory): number {
    scratch.bytes.fill(0, 0, PAGE_SIZE);
    for (const { start, end } of this.ranges) if (mm.memory.copyOut(start, scratch, 0, end - start) < 0) return -EFAULT;
    return 0;
  }
}

function setProgramLayout(mm: AddressSpace, { segments, file }: Executable, bias: number): void {
  const code = segments.filter(({ protection }) => (protection & PROT_EXEC) !== 0);
  const data = segments.filter(({ protection }) => (protection & PROT_WRITE) !== 0);
  mm.codeStart = (code[0]?.address ?? 0) + bias;
  mm.codeEnd = Math.max(0, ...code.map(({ address, fileSize }) => address + fileSize)) + bias;
  mm.dataStart = (data[0]?.address ?? 0) + bias;
  mm.dataEnd = Math.max(0, ...data.map(({ address, fileSize }) => address + fileSize)) + bias;
  mm.executable = file;
  file.acquire();
}

/** Writes strings, auxiliary vector, envp and argv; returns the stack pointer (argc). */
function writeStack(request: LoadRequest, top: number, bias: number, base: number): number {
  const { mm, args, environment, kernel, path } = request;
  const strings = new StackWriter(mm, kernel.scratch, top - 8);
  const execfn = strings.string(path);
  // Environment above arguments, each in order of ascending addresses, as /proc/PID/{cmdline,environ} rely on.
  const environmentAddresses = strings.block(environment);
  mm.envStart = strings.address;
  mm.envEnd = environmentAddresses.end;
  const argumentAddresses = strings.block(args);
  mm.argStart = strings.address;
  mm.argEnd = argumentAddresses.end;
  const platformName = strings.string('x86_64');
  kernel.host.random(kernel.cell, 0, 16);
  const random = strings.bytes(kernel.cell.latin1(0, 16));
  const auxv = auxiliaryVector(request, bias, base, { execfn, platformName, random });
  mm.auxv = auxv;
  const count = 1 + args.length + 1 + environment.length + 1 + 2 * auxv.length;
  let pointer = strings.address - (strings.address % 16);
  pointer -= count * 8;
  pointer -= pointer % 16;
  const words = [args.length, ...argumentAddresses.starts, 0, ...environmentAddresses.starts, 0, ...auxv.flat()];
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
  const first = program.segments[0]!;
  const phdr = first.address - first.offset + program.programHeaderOffset + bias;
  const { vdso } = thread.space;
  return [
    ...(vdso === null ? [] : [[elf.AT_SYSINFO_EHDR, vdso.code.start] as [number, number]]),
    [elf.AT_HWCAP, hwcap],
    [elf.AT_PAGESZ, PAGE_SIZE],
    [elf.AT_CLKTCK, 100],
    [elf.AT_PHDR, phdr],
    [elf.AT_PHENT, elf.ProgramHeader.size],
    [elf.AT_PHNUM, program.programHeaderCount],
    [elf.AT_BASE, base],
    [elf.AT_FLAGS, 0],
    [elf.AT_ENTRY, program.entry + bias],
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

  /** Strings one after the other; where each starts, and the end of the last. */
  block(texts: readonly string[]): { starts: number[]; end: number } {
    const end = this.address;
    const joined = texts.map((text) => `${text}\0`).join('');
    let start = this.bytes(joined);
    const starts = texts.map((text) => {
      const here = start;
      start += text.length + 1;
      return here;
    });
    return { starts, end };
  }

  /** Words from `address` on, which lies below everything pushed so far. */
  words(address: number, words: readonly number[]): void {
    const gap = this.address - (address + words.length * 8);
    const at = this.push(gap);
    this.scratch.bytes.fill(0, at, at + gap);
    for (let i = words.length - 1; i >= 0; i--) putI64(this.scratch.view, this.push(8), words[i]!);
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
