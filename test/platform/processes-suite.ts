/**
 * A platform in processes of its own, whichever it is: as an ordinary user, confined, beside another one, on a host that forbids what it needs, and
 * killed without warning.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SENTRY = fileURLToPath(new URL('./sentry-process.ts', import.meta.url));
const CONFINED = fileURLToPath(new URL('./confined-process.ts', import.meta.url));
const FORBIDDEN = fileURLToPath(new URL('./forbidden-process.ts', import.meta.url));
const NOBODY = 65534;

/** `refusals`: numbers of host calls, and what a host that forbids one is told. */
export function processesSuite(platform: string, refusals: ReadonlyArray<readonly [number, RegExp]>): void {
  test('works as an ordinary user', () => {
    const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    const result = spawnSync(process.execPath, [SENTRY, platform, 'serve', '50'], { ...user, encoding: 'utf8', timeout: 15_000 });
    expect([result.stderr, result.status]).toEqual(['', 0]);
  });

  test('works in a process that confined itself', () => {
    const result = spawnSync(process.execPath, [CONFINED, platform], { encoding: 'utf8', timeout: 15_000 });
    expect([result.stdout, result.stderr, result.status]).toEqual(['confined\n', '', 0]);
  });

  for (const [number, sentence] of refusals) {
    test(`a host that forbids call ${number} is told in one sentence`, () => {
      const result = spawnSync(process.execPath, [FORBIDDEN, platform, String(number)], { encoding: 'utf8', timeout: 15_000 });
      expect([result.stderr, result.status]).toEqual(['', 0]);
      expect(result.stdout).toMatch(sentence);
    });
  }

  test('two platforms at once', async () => {
    const exits = [1, 2].map(
      () =>
        new Promise((resolve) => {
          spawn(process.execPath, [SENTRY, platform, 'serve', '2000'], { stdio: 'ignore' }).on('exit', resolve);
        }),
    );
    expect(await Promise.all(exits)).toEqual([0, 0]);
  });

  test('no guest outlives a sentry that is killed', async () => {
    const sentry = spawn(process.execPath, [SENTRY, platform, 'spin'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const line = await new Promise<string>((resolve) => sentry.stdout.once('data', (data: Buffer) => resolve(data.toString())));
    const pids = line.trim().split(' ').map(Number);
    expect(pids).toHaveLength(2);
    for (const pid of pids) expect(existsSync(`/proc/${pid}`)).toBe(true);
    sentry.kill('SIGKILL');
    await expect.poll(() => pids.filter((pid) => existsSync(`/proc/${pid}`)), { timeout: 5000 }).toEqual([]);
  });
}
