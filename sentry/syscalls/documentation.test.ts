/** The rows against Linux's own list of calls, and the generated document against the rows. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { X64_SYSCALLS } from '#sentry/abi/x64/syscalls.ts';
import { countLevels, describeSyscalls, syscallsJson, syscallsMarkdown, syscallsText } from './documentation.ts';
import { ALL_ROWS } from './table.ts';

describe('the rows', () => {
  it('carry the numbers of Linux', () => {
    const names = new Map(X64_SYSCALLS);
    const wrong = ALL_ROWS.filter(({ name, nr }) => nr.x64 !== undefined && names.get(nr.x64) !== name);
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  it('are one for each number', () => {
    for (const architecture of ['x64', 'arm64'] as const) {
      const numbers = ALL_ROWS.flatMap((row) => row.nr[architecture] ?? []);
      expect(new Set(numbers).size).toBe(numbers.length);
    }
  });

  it('name lengths that exist', () => {
    const wrong = ALL_ROWS.filter(({ args }) =>
      Object.values(args).some(({ display }) => display.kind === 'buffer' && !Object.keys(args).includes(display.length)),
    );
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });
});

describe('the document', () => {
  it('counts all calls', () => {
    const { full, partial, refused, missing } = countLevels(describeSyscalls(ALL_ROWS));
    expect(full + partial + refused + missing).toBe(X64_SYSCALLS.length);
    expect(JSON.parse(syscallsJson(ALL_ROWS)).totals.full).toBe(full);
    expect(syscallsText(ALL_ROWS)).toMatch(/^ {2}0 {2}read .* full$/m);
  });

  it('is current: run `npm run docs`', () => {
    expect(readFileSync(new URL('../../docs/SYSCALLS.md', import.meta.url), 'utf8')).toBe(syscallsMarkdown(ALL_ROWS));
  });
});
