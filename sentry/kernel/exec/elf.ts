/**
 * Reads ELF executables: header and program headers, checked as fs/binfmt_elf.c checks them. Nothing is mapped here. Every number comes from
 * a hostile file.
 *
 * The caller has read the beginning of the file already; nearly always that is all it takes.
 */
import { EINVAL, ENOEXEC } from '#sentry/abi/errno.ts';
import {
  ELFCLASS64,
  ELFDATA2LSB,
  EM_X86_64,
  ET_DYN,
  ET_EXEC,
  ElfHeader,
  PF_R,
  PF_W,
  PF_X,
  PT_GNU_STACK,
  PT_INTERP,
  PT_LOAD,
  ProgramHeader,
} from '#sentry/abi/elf.ts';
import { PATH_MAX } from '#sentry/abi/fs.ts';
import { PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from '#sentry/abi/mman.ts';
import type { FileHead } from './file-head.ts';

/** Linux allows 64 KiB of program headers; real files have about a dozen. */
const PROGRAM_HEADERS_BYTES_MAX = 65536;

export interface Segment {
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly offset: number;
  readonly protection: number;
}

/** Addresses as the file has them, end exclusive. */
export interface ImageRange {
  readonly start: number;
  readonly end: number;
}

export interface ElfImage {
  readonly kind: 'elf';
  readonly isDynamic: boolean;
  readonly entry: number;
  readonly programHeaderOffset: number;
  readonly programHeaderCount: number;
  /** PT_LOAD segments by ascending address. */
  readonly segments: readonly Segment[];
  /** Path of the program interpreter (ld.so), or null for a static program. */
  readonly interpreter: string | null;
  readonly executableStack: boolean;
  /** Largest PT_LOAD alignment, at least a page. */
  readonly alignment: number;
  /** What lies in executable and in writable segments, for /proc/PID/stat. */
  readonly code: ImageRange;
  readonly data: ImageRange;
}

/** -ENOEXEC when it is no ELF executable for this machine. */
export function parseElf(head: FileHead): ElfImage | number {
  if (head.length < ElfHeader.size) return -ENOEXEC;
  const header = ElfHeader.decode(head.memory.view, 0);
  if (!isSupported(header)) return -ENOEXEC;
  const bytes = header.phnum * ProgramHeader.size;
  if (bytes === 0 || bytes > PROGRAM_HEADERS_BYTES_MAX) return -ENOEXEC;
  const at = head.find(header.phoff, bytes);
  // Linux: load_elf_phdrs tells no reason.
  if (at < 0) return -ENOEXEC;
  const { view } = head.memory;
  const headers = Array.from({ length: header.phnum }, (_, i) => ProgramHeader.decode(view, at + i * ProgramHeader.size));
  const segments = headers.filter(({ type }) => type === PT_LOAD).map(toSegment);
  if (segments.length === 0 || !segments.every(isSane) || !isAscending(segments)) return -EINVAL;
  const interpreter = readInterpreter(headers, head);
  if (typeof interpreter === 'number') return interpreter;
  const stack = headers.find(({ type }) => type === PT_GNU_STACK);
  const alignments = headers.filter(({ type, align }) => type === PT_LOAD && isPowerOfTwo(align)).map(({ align }) => align);
  return {
    kind: 'elf',
    isDynamic: header.type === ET_DYN,
    entry: header.entry,
    programHeaderOffset: header.phoff,
    programHeaderCount: header.phnum,
    segments,
    interpreter,
    executableStack: stack === undefined || (stack.flags & PF_X) !== 0,
    alignment: Math.max(PAGE_SIZE, ...alignments),
    code: rangeOf(segments, PROT_EXEC),
    data: rangeOf(segments, PROT_WRITE),
  };
}

/** From the first segment with `protection` to the end of the last one's contents. */
function rangeOf(segments: readonly Segment[], protection: number): ImageRange {
  const chosen = segments.filter((segment) => (segment.protection & protection) !== 0);
  return { start: chosen[0]?.address ?? 0, end: Math.max(0, ...chosen.map(({ address, fileSize }) => address + fileSize)) };
}

function isSupported(header: ElfHeader): boolean {
  const [m0, m1, m2, m3, elfClass, data] = header.ident;
  if (m0 !== 0x7f || m1 !== 0x45 || m2 !== 0x4c || m3 !== 0x46) return false;
  if (elfClass !== ELFCLASS64 || data !== ELFDATA2LSB) return false;
  return header.machine === EM_X86_64 && header.phentsize === ProgramHeader.size && (header.type === ET_EXEC || header.type === ET_DYN);
}

function toSegment({ vaddr, filesz, memsz, offset, flags }: ProgramHeader): Segment {
  const protection =
    ((flags & PF_R) !== 0 ? PROT_READ : 0) | ((flags & PF_W) !== 0 ? PROT_WRITE : 0) | ((flags & PF_X) !== 0 ? PROT_EXEC : 0);
  return { address: vaddr, fileSize: filesz, memorySize: memsz, offset, protection };
}

function isSane(segment: Segment): boolean {
  const { address, fileSize, memorySize, offset } = segment;
  return (
    fileSize <= memorySize && address + memorySize < 2 ** 47 && offset + fileSize < 2 ** 52 && address % PAGE_SIZE === offset % PAGE_SIZE
  );
}

function isAscending(segments: readonly Segment[]): boolean {
  return segments.every((segment, i) => i === 0 || segment.address >= segments[i - 1]!.address);
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && value <= 2 ** 30 && 2 ** Math.round(Math.log2(value)) === value;
}

function readInterpreter(headers: readonly ProgramHeader[], head: FileHead): string | null | number {
  const entry = headers.find(({ type }) => type === PT_INTERP);
  if (entry === undefined) return null;
  if (entry.filesz < 2 || entry.filesz > PATH_MAX) return -ENOEXEC;
  const at = head.find(entry.offset, entry.filesz);
  if (at < 0) return at;
  const { memory } = head;
  const end = at + entry.filesz;
  if (memory.bytes[end - 1] !== 0) return -ENOEXEC;
  return memory.latin1(at, memory.bytes.indexOf(0, at));
}
