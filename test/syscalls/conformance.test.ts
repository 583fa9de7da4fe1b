/**
 * Conformance of the system calls: every guest program of this folder prints inside what it prints on Linux.
 *
 * `TSVISOR_GUESTS=pipes,epoll npx vitest run --project 'conformance*'` runs a few of them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { compileGuest } from '../harness/guests.ts';

const wanted = process.env.TSVISOR_GUESTS?.split(',').filter((name) => name !== '');

const guests = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.c'))
  .map((name) => name.slice(0, -2))
  .filter((name) => wanted === undefined || wanted.includes(name))
  .sort();

describe('guest programs print inside what they print on Linux', () => {
  test.for(guests)('%s', async (name) => {
    const source = readFileSync(join(import.meta.dirname, `${name}.c`), 'latin1');
    const linkage = source.startsWith('// dynamic') ? 'dynamic' : 'static';
    await expectSame([compileGuest(`syscalls/${name}.c`, { linkage })]);
  });
});
