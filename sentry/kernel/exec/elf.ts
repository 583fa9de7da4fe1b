/**
 * Reads ELF executables: header and program headers, checked as fs/binfmt_elf.c checks them. Nothing is mapped here. Every number comes from
 * a hostile file.
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
import type { HostMemory } from '#platform/contract/host.ts';
import { KernelIo } from '../../mm/io.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';

/** Linux allows 64 KiB of program headers; real files have about a dozen. */
const PROGRAM_HEADERS_BYTES_MAX = 65536;

export interface Segment {
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly offset: number;
  readonly protection: number;
}

export interface Executable {
  readonly file: FileDescription;
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
}

/** Reads up to `length` bytes of `file` at `position` to the start of `memory`. Bytes read or -errno. */
export function readFile(file: FileDescription, memory: HostMemory, position: number, length: number, caller: Caller): number {
  const io = new KernelIo(memory, 0, length);
  while (io.remaining > 0) {
    const got = file.read(io, position + length - io.remaining, caller);
    if (got < 0) return got;
    if (got === 0) break;
  }
  return length - io.remaining;
}

/** Parses `file`; -ENOEXEC when it is no ELF executable for this machine. Uses `scratch`. */
export function readExecutable(file: FileDescription, scratch: HostMemory, caller: Caller): Executable | number {
  const got = readFile(file, scratch, 0, ElfHeader.size, caller);
  if (got < 0) return got;
  if (got < ElfHeader.size) return -ENOEXEC;
  const header = ElfHeader.decode(scratch.view, 0);
  if (!isSupported(header)) return -ENOEXEC;
  const bytes = header.phnum * ProgramHeader.size;
  if (bytes === 0 || bytes > PROGRAM_HEADERS_BYTES_MAX) return -ENOEXEC;
  const read = readFile(file, scratch, header.phoff, bytes, caller);
  // Linux: load_elf_phdrs tells no reason.
  if (read < bytes) return -ENOEXEC;
  const headers = Array.from({ length: header.phnum }, (_, i) => ProgramHeader.decode(scratch.view, i * ProgramHeader.size));
  const segments = headers.filter(({ type }) => type === PT_LOAD).map(toSegment);
  if (segments.length === 0 || !segments.every(isSane) || !isAscending(segments)) return -EINVAL;
  const interpreter = readInterpreter(headers, file, scratch, caller);
  if (typeof interpreter === 'number') return interpreter;
  const stack = headers.find(({ type }) => type === PT_GNU_STACK);
  const alignments = headers.filter(({ type, align }) => type === PT_LOAD && isPowerOfTwo(align)).map(({ align }) => align);
  return {
    file,
    isDynamic: header.type === ET_DYN,
    entry: header.entry,
    programHeaderOffset: header.phoff,
    programHeaderCount: header.phnum,
    segments,
    interpreter,
    executableStack: stack === undefined || (stack.flags & PF_X) !== 0,
    alignment: Math.max(PAGE_SIZE, ...alignments),
  };
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

function readInterpreter(
  headers: readonly ProgramHeader[],
  file: FileDescription,
  scratch: HostMemory,
  caller: Caller,
): string | null | number {
  const entry = headers.find(({ type }) => type === PT_INTERP);
  if (entry === undefined) return null;
  if (entry.filesz < 2 || entry.filesz > PATH_MAX) return -ENOEXEC;
  const got = readFile(file, scratch, entry.offset, entry.filesz, caller);
  if (got < 0) return got;
  if (got < entry.filesz || scratch.bytes[entry.filesz - 1] !== 0) return -ENOEXEC;
  return scratch.latin1(0, scratch.bytes.subarray(0, entry.filesz).indexOf(0));
}
