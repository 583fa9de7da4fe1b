/** /proc/PID/maps and statm: the areas of an address space as text (fs/proc/task_mmu.c). */
import { MAP_SHARED, PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from '#sentry/abi/mman.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Vma } from '../../mm/vma.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Path } from '../../vfs/mount.ts';
import { pathName } from '../../vfs/path-name.ts';
import { deviceMajor, deviceMinor } from '../../vfs/special-files.ts';

/** Column at which the name begins. */
const NAME_COLUMN = 73;

export function mapsText(mm: AddressSpace, root: Path): string {
  return mm.areas.all.map((area) => mapsLine(area, mm, root)).join('');
}

export function mapsLine(area: Vma, mm: AddressSpace, root: Path): string {
  const { file } = area;
  const hex = (value: number, width: number): string => value.toString(16).padStart(width, '0');
  const device = file === null ? 0 : file.inode.fileSystem.device;
  const ino = file === null ? 0 : file.inode.ino;
  const offset = file === null ? 0 : area.offset;
  const head = `${hex(area.start, 8)}-${hex(area.end, 8)} ${permissions(area)} ${hex(offset, 8)} ${hex(deviceMajor(device), 2)}:${hex(deviceMinor(device), 2)} ${ino} `;
  const name = areaName(area, mm, root);
  return name === '' ? `${head}\n` : `${head.padEnd(NAME_COLUMN)}${name}\n`;
}

function permissions({ protection, flags }: Vma): string {
  const r = (protection & PROT_READ) !== 0 ? 'r' : '-';
  const w = (protection & PROT_WRITE) !== 0 ? 'w' : '-';
  const x = (protection & PROT_EXEC) !== 0 ? 'x' : '-';
  return r + w + x + ((flags & MAP_SHARED) !== 0 ? 's' : 'p');
}

function areaName(area: Vma, mm: AddressSpace, root: Path): string {
  // Every mapped file of the sentry is a file description; mm knows it only by the narrower interface.
  if (area.file !== null) return pathName(area.file as FileDescription, root).replaceAll('\n', '\\012');
  if (area.name !== '') return area.name;
  if (area.shared !== null) return '/dev/zero (deleted)';
  return area.start < mm.brk && area.end > mm.brkStart ? '[heap]' : '';
}

/** Sizes in pages: total, resident, shared, text, lib, data, dirty. Resident is what is mapped and accessible. */
export function statmText(mm: AddressSpace): string {
  const figures = memoryFigures(mm);
  const pages = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE);
  return `${pages(figures.total)} ${pages(figures.accessible)} ${pages(figures.file)} ${pages(figures.text)} 0 ${pages(figures.data + figures.stack)} 0\n`;
}

export interface MemoryFigures {
  readonly total: number;
  readonly accessible: number;
  readonly file: number;
  readonly text: number;
  readonly data: number;
  readonly stack: number;
  readonly locked: number;
}

/** Sums over the areas, in bytes. */
export function memoryFigures(mm: AddressSpace): MemoryFigures {
  let accessible = 0;
  let file = 0;
  let text = 0;
  let data = 0;
  let stack = 0;
  let locked = 0;
  for (const area of mm.areas.all) {
    const size = area.end - area.start;
    if (area.locked) locked += size;
    if (area.name === '[stack]') stack += size;
    else if (area.protection !== 0) accessible += size;
    if (area.file !== null) file += size;
    if ((area.protection & PROT_EXEC) !== 0) text += size;
    else if ((area.protection & PROT_WRITE) !== 0 && (area.flags & MAP_SHARED) === 0 && area.name !== '[stack]') data += size;
  }
  return { total: mm.areas.totalBytes, accessible, file, text, data, stack, locked };
}
