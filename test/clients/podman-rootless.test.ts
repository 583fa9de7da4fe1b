/**
 * podman of an ordinary user, without ranges of subordinate ids: one user inside, who is root there. The name of each test is what that user would type.
 *
 * Networks of such a podman need /dev/net/tun for everybody, limits need cgroup v2; where the machine has neither, no runtime can have them.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { runNative } from '../harness/run.ts';
import { Podman } from './harness/podman.ts';
import { runtimePath } from './harness/under-test.ts';

/** nobody of Debian. */
const USER = 65_534;

function whyNot(): string {
  if (Podman.missing() !== '') return Podman.missing();
  const ordinary = (...command: string[]) =>
    spawnSync('setpriv', [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--', ...command]).status === 0;
  if (!ordinary('test', '-x', runtimePath)) return 'an ordinary user cannot reach the runtime';
  return ordinary('unshare', '--user', '--map-root-user', 'true') ? '' : 'an ordinary user may not have user namespaces';
}

const missing = whyNot();
let pod: Podman;

beforeAll(async () => {
  if (missing === '') pod = await Podman.open(USER);
});
afterAll(() => pod?.close());
beforeEach((context) => {
  if (missing !== '') context.skip(missing);
});

const run = (...args: string[]) => pod.podman(['run', '--rm', '--network', 'none', ...args]);

describe('podman of an ordinary user', () => {
  test('run --rm busybox sh -c "echo hello; id -u; exit 3"', async () => {
    expect(await run('busybox', 'sh', '-c', 'echo hello; id -u; exit 3')).toMatchObject({ status: 3, stdout: 'hello\n0\n' });
  });

  test('run --rm -v DIR:/mnt busybox …: files belong to the user', async () => {
    const shared = join(pod.directory, 'shared');
    mkdirSync(shared);
    writeFileSync(join(shared, 'file'), 'of the host\n');
    spawnSync('chown', ['-R', String(USER), shared]);
    expect((await run('-v', `${shared}:/mnt`, 'busybox', 'sh', '-c', 'cat /mnt/file; touch /mnt/new; stat -c %u /mnt/new')).stdout).toBe(
      'of the host\n0\n',
    );
    expect(spawnSync('stat', ['-c', '%u', join(shared, 'new')], { encoding: 'utf8' }).stdout).toBe(`${USER}\n`);
  });

  test('run --rm busybox cat /etc/shadow of the host: not to be reached', async () => {
    expect((await run('-v', '/etc:/mnt:ro', 'busybox', 'cat', '/mnt/shadow')).stderr).toContain('Permission denied');
  });

  test('run -d; exec; logs; stop; rm', async () => {
    await pod.ok([
      'run',
      '-d',
      '--name',
      'box',
      '--network',
      'none',
      'busybox',
      'sh',
      '-c',
      'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.1; done',
    ]);
    expect(await pod.ok(['exec', 'box', 'echo', 'inside'])).toBe('inside');
    await expect.poll(() => pod.ok(['logs', 'box'])).toBe('up');
    await pod.ok(['stop', '--time', '10', 'box']);
    expect(await pod.inspect('box', '.State.ExitCode')).toBe('0');
    expect(await pod.ok(['logs', 'box'])).toBe('up\nbye');
    await pod.ok(['rm', 'box']);
  });

  test('run --rm -it busybox sh', async () => {
    const command = pod.command(['run', '--rm', '--network', 'none', '-it', 'busybox', 'sh']);
    const steps = ['expect:#', 'send:stty size; exit 5\\r'];
    const outcome = await runNative([compileGuest('programs/terminal.c'), ...steps, '--', ...command], { env: pod.env, timeoutMs: 60_000 });
    expect(outcome.stdout).toContain('24 80');
    expect(outcome.status).toBe(5);
  });
});
