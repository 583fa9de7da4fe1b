/** buildah: commands of a build run by tsvisor. The name of each test is what a user would type, after `buildah`, with `--runtime …/bin/tsvisor`. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { plainEnvironment, runNative } from '../harness/run.ts';
import { makeRootfs } from '../oci/harness/busybox.ts';
import { removeTree } from '../oci/harness/remove-tree.ts';
import { runtimePath, scratchDirectory } from './harness/under-test.ts';

const missing = existsSync('/usr/bin/buildah') && existsSync('/bin/busybox') ? '' : 'buildah, busybox-static not installed';
const directory = scratchDirectory('bld');
let container = '';

/** Without a cgroup manager: systemd would be asked, and is not everywhere. */
function buildah(args: readonly string[]) {
  const storage = ['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs'];
  const env = { ...plainEnvironment, TMPDIR: directory, CONTAINERS_CONF: join(directory, 'containers.conf'), BUILDAH_ISOLATION: 'oci' };
  return runNative(['buildah', ...storage, ...args], { env, timeoutMs: 60_000 });
}

async function ok(...args: string[]): Promise<string> {
  const outcome = await buildah(args);
  if (outcome.status !== 0) throw new Error(`buildah ${args.join(' ')}: status ${outcome.status}: ${outcome.stderr}`);
  return outcome.stdout.trim();
}

beforeAll(async () => {
  if (missing !== '') return;
  writeFileSync(
    join(directory, 'containers.conf'),
    '[containers]\ndefault_ulimits = ["nofile=1024:2048", "nproc=1024:2048"]\n[engine]\ncgroup_manager = "cgroupfs"\n',
  );
  mkdirSync(join(directory, 'image'));
  makeRootfs(join(directory, 'image'));
  container = await ok('from', 'scratch');
  await ok('copy', container, join(directory, 'image'), '/');
  await ok('config', '--env', 'PATH=/bin', container);
  await ok('commit', container, 'localhost/busybox');
});
afterAll(async () => {
  if (missing === '') await buildah(['rm', '--all']);
  removeTree(directory);
});
beforeEach((context) => {
  if (missing !== '') context.skip(missing);
});

const run = (...command: string[]) => buildah(['run', '--runtime', runtimePath, '--network', 'none', container, '--', ...command]);

describe('buildah', () => {
  test('run CONTAINER -- sh -c …: output and status', async () => {
    expect(await run('sh', '-c', 'echo built; id -u')).toMatchObject({ status: 0, stdout: 'built\n0\n' });
    expect((await run('sh', '-c', 'exit 3')).status).toBe(3);
  });

  test('what run changes is in the image', async () => {
    expect(
      (
        await run(
          'sh',
          '-c',
          'mkdir -p /opt/app; echo one > /opt/app/file; chown 5:6 /opt/app/file; chmod 640 /opt/app/file; ln -s file /opt/app/link',
        )
      ).status,
    ).toBe(0);
    await ok('commit', container, 'localhost/changed');
    const derived = await ok('from', '--pull-never', 'localhost/changed');
    const outcome = await buildah([
      'run',
      '--runtime',
      runtimePath,
      '--network',
      'none',
      derived,
      '--',
      'sh',
      '-c',
      'cat /opt/app/link; stat -c "%u %g %a" /opt/app/file',
    ]);
    expect(outcome.stdout).toBe('one\n5 6 640\n');
  });

  test('run --volume, --user, --env, --workingdir', async () => {
    const args = ['--volume', `${directory}/image/etc:/seen:ro`, '--user', '1000:1000', '--env', 'A=1', '--workingdir', '/tmp'];
    const outcome = await buildah([
      'run',
      '--runtime',
      runtimePath,
      '--network',
      'none',
      ...args,
      container,
      '--',
      'sh',
      '-c',
      'ls /seen; id -u; echo $A; pwd',
    ]);
    expect(outcome.stdout).toBe('group\npasswd\n1000\n1\n/tmp\n');
  });

  test('bud: a Dockerfile with RUN, COPY, WORKDIR, USER', async () => {
    writeFileSync(
      join(directory, 'Dockerfile'),
      'FROM localhost/busybox\nCOPY context /context\nWORKDIR /work\nRUN cat /context > made && chmod 600 made && mkdir -m 777 /open\nUSER nobody\nRUN id -un > /open/who\nCMD ["cat", "/open/who"]\n',
    );
    writeFileSync(join(directory, 'context'), 'of the context\n');
    await ok(
      'bud',
      '--runtime',
      runtimePath,
      '--network',
      'none',
      '--pull-never',
      '--tag',
      'localhost/made',
      '--file',
      join(directory, 'Dockerfile'),
      directory,
    );
    const made = await ok('from', '--pull-never', 'localhost/made');
    const outcome = await buildah([
      'run',
      '--runtime',
      runtimePath,
      '--network',
      'none',
      '--user',
      '0',
      made,
      '--',
      'sh',
      '-c',
      'cat /work/made /open/who',
    ]);
    expect(outcome.stdout).toBe('of the context\nnobody\n');
  });

  test('bud stops at a RUN that fails, with its status', async () => {
    writeFileSync(join(directory, 'Dockerfile.bad'), 'FROM localhost/busybox\nRUN echo so far; exit 7\n');
    const outcome = await buildah([
      'bud',
      '--runtime',
      runtimePath,
      '--network',
      'none',
      '--pull-never',
      '--file',
      join(directory, 'Dockerfile.bad'),
      directory,
    ]);
    expect(outcome.status).not.toBe(0);
    expect(outcome.stdout + outcome.stderr).toMatch(/so far[^]*exit status 7/);
  });
});
