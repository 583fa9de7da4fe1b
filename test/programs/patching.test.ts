/** Patched call sites (`--patching`): a program that makes calls in quick succession and looks for any difference. */
import { describe, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { compileGuest } from '../harness/guests.ts';

const program = compileGuest('programs/patching.c');

describe('patched call sites', () => {
  test.for(['--patching', '--no-patching'])('are not noticed: %s', async (option) => {
    await expectSame([program], { args: [option], timeoutMs: 120_000 });
  });

  test('are not there where a program must find its text as it was', async () => {
    await expectSame([program, 'checksum'], { args: ['--no-patching'] });
  });
});
