/**
 * What of Linux's system calls is served, generated from the rows: the text of docs/SYSCALLS.md and of `tsvisor syscalls`, and the same as
 * JSON. Calls without a row are listed as missing, so the totals count against all that Linux has on x86-64.
 */
import { errnoName } from '#sentry/abi/errno.ts';
import { X64_SYSCALLS } from '#sentry/abi/x64/syscalls.ts';
import type { Row } from './row.ts';

export type SupportLevel = 'full' | 'partial' | 'refused' | 'missing';

export interface SyscallEntry {
  readonly nr: number;
  readonly name: string;
  readonly level: SupportLevel;
  readonly note: string;
}

export type Totals = Readonly<Record<SupportLevel, number>>;

/** One entry for each call of Linux on x86-64, by number. */
export function describeSyscalls(rows: readonly Row[]): readonly SyscallEntry[] {
  const byNumber = new Map(rows.flatMap((row) => (row.nr.x64 === undefined ? [] : [[row.nr.x64, row] as const])));
  return X64_SYSCALLS.map(([nr, name]) => {
    const row = byNumber.get(nr);
    return row === undefined ? { nr, name, level: 'missing', note: 'ENOSYS' } : { nr, name, ...support(row) };
  });
}

function support(row: Row): { readonly level: SupportLevel; readonly note: string } {
  const { support } = row;
  switch (support.level) {
    case 'full':
      return { level: 'full', note: '' };
    case 'partial':
      return { level: 'partial', note: support.note };
    case 'refused':
      return { level: 'refused', note: `${errnoName(support.errno)}: ${support.note}` };
    default:
      return support satisfies never;
  }
}

export function countLevels(entries: readonly SyscallEntry[]): Totals {
  const totals = { full: 0, partial: 0, refused: 0, missing: 0 };
  for (const { level } of entries) totals[level]++;
  return totals;
}

function totalsLine(entries: readonly SyscallEntry[]): string {
  const { full, partial, refused, missing } = countLevels(entries);
  return `${full} full, ${partial} partial, ${refused} refused on purpose, ${missing} missing, of ${entries.length} in Linux.`;
}

/** `tsvisor syscalls`: a table for the terminal. */
export function syscallsText(rows: readonly Row[]): string {
  const entries = describeSyscalls(rows);
  const width = Math.max(...entries.map(({ name }) => name.length));
  const lines = entries.map(({ nr, name, level, note }) =>
    `${`${nr}`.padStart(3)}  ${name.padEnd(width)}  ${level.padEnd(7)}  ${note}`.trimEnd(),
  );
  return `${lines.join('\n')}\n\n${totalsLine(entries)}\n`;
}

/** `tsvisor syscalls --json`. */
export function syscallsJson(rows: readonly Row[]): string {
  const entries = describeSyscalls(rows);
  return `${JSON.stringify({ architecture: 'x86-64', totals: countLevels(entries), syscalls: entries }, null, 2)}\n`;
}

/** docs/SYSCALLS.md. */
export function syscallsMarkdown(rows: readonly Row[]): string {
  const entries = describeSyscalls(rows);
  const lines = entries.map(({ nr, name, level, note }) => `| ${nr} | \`${name}\` | ${level} | ${note.replaceAll('|', '\\|')} |`);
  return [
    '# System calls',
    '',
    'Generated from the rows in `sentry/syscalls` by `npm run docs`; do not edit.',
    '',
    totalsLine(entries),
    '',
    '- **full**: behaves as on Linux as far as a program can tell.',
    '- **partial**: works, except for what the note says.',
    '- **refused**: always fails with the error named, on purpose.',
    '- **missing**: not there yet; fails with ENOSYS, and the first use is written to the debug log.',
    '',
    '| nr | call | support | note |',
    '|---:|---|---|---|',
    ...lines,
    '',
  ].join('\n');
}
