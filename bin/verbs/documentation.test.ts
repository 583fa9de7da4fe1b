import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { expect, it } from 'vitest';
import { CLIENT_VERBS } from '../client-verbs.ts';
import { createCommand, runCommand } from './create.ts';
import { featuresCommand } from './features.ts';
import { installCommand } from './install.ts';

const document = readFileSync(join(import.meta.dirname, '../../docs/OCI.md'), 'utf8');
const verbs = [...CLIENT_VERBS, createCommand, runCommand, featuresCommand, installCommand].map((make) => make());

/** The row of the table that names the verb first, with those it refers to. */
function rowOf(name: string): string {
  const row = document.split('\n').find((line) => line.startsWith('| `') && line.split('|')[1]!.includes(`\`${name}`));
  if (row === undefined) return '';
  const other = /those of `(\w+)`/.exec(row)?.[1];
  return other === undefined ? row : row + rowOf(other);
}

it.each(verbs.map((verb): [string, Command] => [verb.name(), verb]))('docs/OCI.md has every option of %s, and no other', (name, verb) => {
  const row = name === 'install' ? document : rowOf(name);
  expect(row).not.toBe('');
  const options = verb.options.filter(({ hidden }) => !hidden).map(({ long }) => long!);
  expect(options.filter((option) => !row.includes(option))).toEqual([]);
  const documented = name === 'install' ? [] : Array.from(row.matchAll(/--[a-z0-9-]+/g), ([option]) => option);
  expect(documented.filter((option) => !options.includes(option))).toEqual([]);
});
