/** The `#!` line of a script (fs/binfmt_script.c). */
import { ENOEXEC } from '#sentry/abi/errno.ts';
import type { FileHead } from './file-head.ts';

/** Bytes of a script's first line that count (BINPRM_BUF_SIZE). */
const LINE_MAX = 256;

export interface Script {
  readonly kind: 'script';
  readonly interpreter: string;
  readonly argument: string | null;
}

/** null when the file is no script. */
export function parseScript({ memory, length }: FileHead): Script | null | number {
  if (length < 2 || memory.bytes[0] !== 0x23 || memory.bytes[1] !== 0x21) return null;
  const head = memory.latin1(0, Math.min(length, LINE_MAX));
  const newline = head.indexOf('\n');
  if (newline < 0 && head.length === LINE_MAX && !/^#![ \t]*[^ \t]+[ \t]/.test(head)) return -ENOEXEC;
  const line = head
    .slice(2, newline < 0 ? head.length : newline)
    .replace(/\0.*$/s, '')
    .replace(/^[ \t]+|[ \t]+$/g, '');
  if (line === '') return -ENOEXEC;
  const space = line.search(/[ \t]/);
  if (space < 0) return { kind: 'script', interpreter: line, argument: null };
  return { kind: 'script', interpreter: line.slice(0, space), argument: line.slice(space).replace(/^[ \t]+/, '') };
}
