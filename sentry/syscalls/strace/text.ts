/**
 * The small pieces of a strace line: quoted strings, sets of flags, addresses, file modes. As strace(1) writes them, see its man page on
 * abbreviation: strings end after 32 bytes with "...", unless they are file names.
 */
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '#sentry/abi/fs.ts';

/** Bytes of a buffer shown (strace -s). */
export const STRING_MAX = 32;

const ESCAPES: Readonly<Record<number, string>> = { 9: '\\t', 10: '\\n', 11: '\\v', 12: '\\f', 13: '\\r', 34: '\\"', 92: '\\\\' };

/** A byte string (one character per byte) as a C literal. */
export function quote(bytes: string): string {
  let text = '"';
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes.charCodeAt(i);
    const escape = ESCAPES[code];
    if (escape !== undefined) text += escape;
    else if (code >= 32 && code < 127) text += bytes[i];
    else text += octalEscape(code, bytes.charCodeAt(i + 1));
  }
  return `${text}"`;
}

/** As short as it can be without running into a digit that follows. */
function octalEscape(code: number, next: number): string {
  const isDigit = next >= 48 && next <= 55;
  return `\\${isDigit ? code.toString(8).padStart(3, '0') : code.toString(8)}`;
}

/** A buffer of `length` bytes of which `bytes` are known. */
export function quoteBuffer(bytes: string, length: number): string {
  return length > STRING_MAX ? `${quote(bytes.slice(0, STRING_MAX))}...` : quote(bytes);
}

export function hex(value: number): string {
  return value === 0 ? '0' : `0x${value.toString(16)}`;
}

export function pointer(address: number): string {
  return address === 0 ? 'NULL' : `0x${address.toString(16)}`;
}

/** C's octal: a leading 0. */
export function octal(value: number): string {
  return value === 0 ? '0' : `0${value.toString(8)}`;
}

/** `A|B|0x40`. Names that stand for several bits win over their parts; a name for 0 is used when nothing is set. */
export function flagText(value: number, names: Readonly<Record<string, number>>): string {
  const entries = Object.entries(names);
  const parts: string[] = [];
  let rest = value >>> 0;
  if ('O_RDONLY' in names) {
    const access = rest & 3;
    parts.push(access === 0 ? 'O_RDONLY' : access === 1 ? 'O_WRONLY' : access === 2 ? 'O_RDWR' : 'O_ACCMODE');
    rest = (rest & ~3) >>> 0;
  }
  for (const [name, bits] of [...entries].sort((a, b) => bitCount(b[1]) - bitCount(a[1]) || entries.indexOf(a) - entries.indexOf(b))) {
    const wanted = bits >>> 0;
    if (wanted === 0 || (rest & wanted) >>> 0 !== wanted) continue;
    parts.push(name);
    rest = (rest & ~wanted) >>> 0;
  }
  if (rest !== 0) parts.push(hex(rest));
  if (parts.length > 0) return parts.join('|');
  return entries.find(([, bits]) => bits === 0)?.[0] ?? '0';
}

function bitCount(value: number): number {
  let count = 0;
  for (let left = value >>> 0; left !== 0; left = (left & (left - 1)) >>> 0) count++;
  return count;
}

/** One of several values. */
export function enumText(value: number, names: Readonly<Record<string, number>>): string {
  for (const [name, candidate] of Object.entries(names)) if (candidate === value || candidate >>> 0 === value >>> 0) return name;
  return hex(value >>> 0);
}

const TYPES: readonly (readonly [number, string])[] = [
  [S_IFREG, 'S_IFREG'],
  [S_IFDIR, 'S_IFDIR'],
  [S_IFLNK, 'S_IFLNK'],
  [S_IFCHR, 'S_IFCHR'],
  [S_IFBLK, 'S_IFBLK'],
  [S_IFIFO, 'S_IFIFO'],
  [S_IFSOCK, 'S_IFSOCK'],
];

/** `S_IFREG|0644`. */
export function modeText(mode: number): string {
  const type = TYPES.find(([bits]) => bits === (mode & S_IFMT))?.[1] ?? octal(mode & S_IFMT);
  return `${type}|${octal(mode & 0o7777)}`;
}
