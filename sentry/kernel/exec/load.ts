/**
 * Maps an executable and its interpreter into a fresh address space (fs/binfmt_elf.c). The initial stack is initial-stack.ts's.
 *
 * Layout, low to high: program (fixed, or near 0x5555…), heap, …, mappings growing down, stack, then what belongs to the platform.
 *
 * All mappings are asked for first and made together (`endMemoryCalls`); only then memory is written: the ends of data segments, the stack.
 */
import { ENOMEM, EFAULT } from '#sentry/abi/errno.ts';
import { MAP_NORESERVE, MAP_PRIVATE, PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE, pageRoundDown, pageRoundUp } from '#sentry/abi/mman.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { MEMORY_CALLS_SCRATCH } from '#platform/contract/platform.ts';
import type { GuestThread } from '#platform/contract/platform.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Kernel } from '../kernel.ts';
import type { ElfImage, Segment } from './elf.ts';
import { writeStack } from './initial-stack.ts';
import { drawRandomness } from './randomness.ts';
import type { Randomness } from './randomness.ts';

/** Where position-independent programs lie without randomisation (two thirds of the address range, as Linux's ELF_ET_DYN_BASE). */
const PIE_BASE = 0x5555_5555_4000;
/**
 * Where the heap of a program with fixed addresses begins at the earliest, if its place is random anyway: a platform may keep pages of its
 * own below, at 0x050f0000 to 0x050fffff.
 */
const LOW_HEAP_FLOOR = 0x0510_0000;
/** Distance kept between the stack and the mappings below it. */
const STACK_GAP = 0x10_0000;
const STACK_MAX = 256 * 1024 * 1024;

/** An open executable file and what is in it. */
export interface Executable {
  readonly file: FileDescription;
  readonly image: ElfImage;
}

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
  const randomness = drawRandomness(kernel, request.randomize);
  const size = stackSize(request.stackLimit);
  const stack = placeStack(mm, size, randomness);
  if (stack < 0) return stack;
  const top = stack + size;
  const bias = program.image.isDynamic ? pieBase(program.image, randomness) : 0;
  const tails = new ImageTails();
  thread.beginMemoryCalls(top - MEMORY_CALLS_SCRATCH);
  const mapped = mapStack(request, stack, size);
  const base = mapped < 0 ? mapped : mapImages(request, bias, tails, randomness);
  const done = thread.endMemoryCalls();
  if (base < 0 || done < 0) return Math.min(base, done);
  if (tails.clear(mm, kernel.scratch) < 0) return -EFAULT;
  const stackPointer = writeStack(request, { top, bias, base, random: randomness.bytes });
  const entry = interpreter === null ? program.image.entry + bias : interpreter.image.entry + base;
  return stackPointer < 0 ? stackPointer : { entry, stackPointer };
}

/** Maps the program at `bias` and its interpreter where there is room; returns the interpreter's base (0 without one). */
function mapImages(request: LoadRequest, bias: number, tails: ImageTails, randomness: Randomness): number {
  const { thread, mm, program, interpreter } = request;
  const end = mapSegments(thread, mm, program, bias, tails);
  if (end < 0) return end;
  setProgramLayout(mm, program, bias);
  mm.brkStart = mm.brk = heapStart(program.image, end, randomness);
  if (interpreter === null) return 0;
  const base = interpreter.image.isDynamic ? mm.free.find(imageSize(interpreter.image)) : 0;
  if (base < 0) return base;
  const mapped = mapSegments(thread, mm, interpreter, base, tails);
  return mapped < 0 ? mapped : base;
}

function pieBase({ alignment }: ElfImage, { basePages }: Randomness): number {
  const base = PIE_BASE + basePages * PAGE_SIZE;
  return base - (base % alignment);
}

/** Right behind the program when nothing is random, as programs that ask for that expect. */
function heapStart({ isDynamic }: ElfImage, end: number, { isOn, heapPages }: Randomness): number {
  const behind = pageRoundUp(end);
  if (!isOn) return behind;
  return (isDynamic ? behind : Math.max(behind, LOW_HEAP_FLOOR)) + heapPages * PAGE_SIZE;
}

function imageSize({ segments }: ElfImage): number {
  const last = segments.at(-1)!;
  return pageRoundUp(last.address + last.memorySize) - pageRoundDown(segments[0]!.address);
}

function stackSize(limit: number): number {
  return pageRoundUp(Math.max(32 * PAGE_SIZE, Math.min(limit, STACK_MAX)));
}

/** Finds a place for the stack and sets the mmap base below it. Returns its lowest address or -errno. */
function placeStack(mm: AddressSpace, size: number, { stackPages, gapPages }: Randomness): number {
  mm.free.setBase(mm.limits.highestAddress - stackPages * PAGE_SIZE - PAGE_SIZE);
  const bottom = mm.free.find(size);
  if (bottom >= 0) mm.free.setBase(bottom - STACK_GAP - gapPages * PAGE_SIZE);
  return bottom;
}

function mapStack({ thread, mm, program }: LoadRequest, bottom: number, size: number): number {
  const protection = PROT_READ | PROT_WRITE | (program.image.executableStack ? PROT_EXEC : 0);
  return mm.mapAt(thread, bottom, size, protection, MAP_PRIVATE | MAP_NORESERVE, null, 0, '[stack]');
}

/** Maps every segment at `bias`; returns the end of the image (unrounded). */
function mapSegments(thread: GuestThread, mm: AddressSpace, { file, image }: Executable, bias: number, tails: ImageTails): number {
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
      const mapped = mm.mapAt(thread, start, size, segment.protection, MAP_PRIVATE, file, segment.offset - shift);
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

function setProgramLayout(mm: AddressSpace, { file, image }: Executable, bias: number): void {
  mm.codeStart = image.code.start + bias;
  mm.codeEnd = image.code.end + bias;
  mm.dataStart = image.data.start + bias;
  mm.dataEnd = image.data.end + bias;
  mm.executable = file;
  file.acquire();
}
