/**
 * The smallest program file that holds given machine code: one segment, readable and executable, and a stack that is not executable.
 *
 * Specification: elf(5).
 */
import {
  EM_X86_64,
  ELFCLASS64,
  ELFDATA2LSB,
  ElfHeader,
  ET_EXEC,
  PF_R,
  PF_W,
  PF_X,
  ProgramHeader,
  PT_GNU_STACK,
  PT_LOAD,
} from '#sentry/abi/elf.ts';

const EV_CURRENT = 1;
const BASE = 0x40_0000;
const PAGE = 4096;
const HEADERS = 2;

/** An executable whose first instruction is the first byte of `code`, which runs at any address. */
export function executable(code: Uint8Array): Uint8Array {
  const start = ElfHeader.size + HEADERS * ProgramHeader.size;
  const size = start + code.length;
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  const ident = [0x7f, 0x45, 0x4c, 0x46, ELFCLASS64, ELFDATA2LSB, EV_CURRENT, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  ElfHeader.encode(view, 0, {
    ident,
    type: ET_EXEC,
    machine: EM_X86_64,
    version: EV_CURRENT,
    entry: BASE + start,
    phoff: ElfHeader.size,
    shoff: 0,
    flags: 0,
    ehsize: ElfHeader.size,
    phentsize: ProgramHeader.size,
    phnum: HEADERS,
    shentsize: 0,
    shnum: 0,
    shstrndx: 0,
  });
  const text = { offset: 0, vaddr: BASE, paddr: BASE, filesz: size, memsz: size, align: PAGE };
  const none = { offset: 0, vaddr: 0, paddr: 0, filesz: 0, memsz: 0, align: 16 };
  ProgramHeader.encode(view, ElfHeader.size, { type: PT_LOAD, flags: PF_R | PF_X, ...text });
  ProgramHeader.encode(view, ElfHeader.size + ProgramHeader.size, { type: PT_GNU_STACK, flags: PF_R | PF_W, ...none });
  file.set(code, start);
  return file;
}
