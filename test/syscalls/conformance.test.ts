// Every guest program of this folder, on Linux first and then inside; see harness/expect-same.ts for what is compared.
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { compileGuest } from '../harness/guests.ts';

const sources = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.c'));

for (const source of sources.sort()) {
  test.concurrent(`on Linux and inside: ${basename(source, '.c')}`, async () => {
    await expectSame([compileGuest(`syscalls/${source}`)], { timeoutMs: 25_000 });
  });
}
