/** Programs of a Debian image under podman: apt's packages, python3, and a redis that clients of the host reach through a published port. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { needsPrograms } from '../harness/needs-programs.ts';
import { runNative } from '../harness/run.ts';
import { debianRoot } from './harness/debian.ts';
import { Podman } from './harness/podman.ts';

let missing = Podman.missing();
let pod: Podman | undefined;

beforeAll(async () => {
  if (missing !== '') return;
  const debian = await debianRoot();
  missing = debian.missing;
  if (missing !== '') return;
  pod = await Podman.open();
  await pod.importImage(debian.root, 'debian');
}, 400_000);
afterAll(() => pod?.close());
beforeEach((context) => {
  if (missing !== '') context.skip(missing);
});

const run = (...args: string[]) => pod!.podman(['run', '--rm', '--network', 'none', 'debian', ...args]);

describe('a Debian image', () => {
  test('run --rm debian cat /etc/debian_version', async () => {
    expect((await run('cat', '/etc/debian_version')).stdout).toMatch(/^12\./);
  });

  test('run --rm debian python3 -c …: threads, files, a child process', async () => {
    const program = `
import subprocess, threading, tempfile
seen = []
threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
with tempfile.NamedTemporaryFile('w+') as f:
    f.write('x' * 100000)
    f.flush()
    print(sum(seen), subprocess.run(['wc', '-c', f.name], capture_output=True, text=True).stdout.split()[0])
`;
    expect(await run('python3', '-c', program)).toMatchObject({ status: 0, stdout: '190 100000\n' });
  });

  test('run --rm debian dpkg -l | …', async () => {
    expect((await run('sh', '-c', 'dpkg -l | grep -c ^ii')).stdout).toMatch(/^\d{2,}\n$/);
  });

  test('run --rm --user nobody debian id -un', async () => {
    expect((await pod!.podman(['run', '--rm', '--network', 'none', '--user', 'nobody', 'debian', 'id', '-un'])).stdout).toBe('nobody\n');
  });

  test('run -d -p 127.0.0.1:PORT:6379 debian redis-server …; redis-benchmark', async (context) => {
    needsPrograms(context, 'redis-benchmark', 'redis-cli');
    const port = '18433';
    const started = await pod!.podman([
      'run',
      '-d',
      '--name',
      'redis',
      '-p',
      `127.0.0.1:${port}:6379`,
      'debian',
      'redis-server',
      '--protected-mode',
      'no',
      '--save',
      '',
    ]);
    if (/netavark|iptables/.test(started.stderr)) context.skip(started.stderr);
    try {
      const cli = (...args: string[]) => runNative(['redis-cli', '-p', port, ...args]);
      await expect.poll(async () => (await cli('ping')).stdout, { timeout: 15_000 }).toBe('PONG\n');
      expect((await cli('set', 'key', 'value')).stdout).toBe('OK\n');
      const benchmark = await runNative(['redis-benchmark', '-p', port, '-n', '2000', '-c', '20', '-t', 'set,get', '-q']);
      expect(benchmark.stdout.match(/requests per second/g)?.length).toBe(2);
      expect(await pod!.ok(['exec', 'redis', 'redis-cli', 'get', 'key'])).toBe('value');
    } finally {
      await pod!.podman(['rm', '--force', '--time', '0', 'redis']);
    }
  });
});
