/** `tsvisor do` as its users meet it: exit statuses, options, messages, and what may not change how it runs. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inScratch } from '../harness/expect-same.ts';
import { insideCommand, plainEnvironment, runInside, runNative, tsvisor } from '../harness/run.ts';

const root = process.getuid?.() === 0;

async function statusOf(command: readonly string[], args: readonly string[] = []): Promise<number | null> {
  return (await runInside(command, { args })).status;
}

describe('exit status', () => {
  test.for([0, 1, 42, 255])("the guest's own: %i", async (status) => {
    expect(await statusOf(['sh', '-c', `exit ${status}`])).toBe(status);
  });

  test.for([
    ['TERM', 143],
    ['KILL', 137],
    ['SEGV', 139],
    ['INT', 130],
  ] as const)('128+n for SIG%s', async ([signal, status]) => {
    expect(await statusOf(['sh', '-c', `sh -c 'kill -${signal} $$'`])).toBe(status);
  });

  // The first process is the user's own command: it is not protected from signals as init would be.
  test('of the first process itself', async () => {
    expect(await statusOf(['sh', '-c', 'kill -TERM $$'])).toBe(143);
    expect(await statusOf(['perl', '-e', 'require POSIX; POSIX::abort()'])).toBe(134);
  });

  test('127 for a program that is not there, 126 for one that cannot be executed', async () => {
    const missing = await runInside(['no-such-program']);
    expect(missing.status).toBe(127);
    expect(missing.stderr).toMatch(/no-such-program/);
    expect(missing.stderr.trim().split('\n')).toHaveLength(1);
    const refused = await runInside(['/etc/passwd']);
    expect(refused.status).toBe(126);
    expect(refused.stderr).toMatch(/\/etc\/passwd/);
    expect(await statusOf(['/usr'])).toBe(126);
    expect(await statusOf(['/missing/program'])).toBe(127);
  });

  test('125 when tsvisor itself fails, in one sentence without a stack', async () => {
    const outcome = await runInside(['true'], { args: ['--root', '/no/such/root'] });
    expect(outcome.status).toBe(125);
    expect(outcome.stderr).toContain('/no/such/root');
    expect(outcome.stderr).not.toMatch(/^\s+at /m);
  });

  test('2 and the usage line for wrong usage', async () => {
    for (const args of [
      ['do'],
      ['do', '--no-such-option', '--', 'true'],
      ['no-such-verb'],
      ['do', '--user', 'x', '--', 'true'],
      ['do', '--env', 'x', '--', 'true'],
    ]) {
      const outcome = await runNative([tsvisor, ...args]);
      expect(outcome.status, args.join(' ')).toBe(2);
      expect(outcome.stderr, args.join(' ')).toMatch(/usage/i);
      expect(outcome.stderr).not.toMatch(/^\s+at /m);
    }
  });
});

describe('options', () => {
  test('--env and the inherited environment', async () => {
    const outcome = await runInside(['sh', '-c', 'echo "$A|$B|$KEPT|$HOME"'], {
      args: ['--env', 'A=1', '--env', 'B=x=y z', '--env', 'HOME=/changed'],
      env: { ...plainEnvironment, KEPT: 'kept\nline' },
    });
    expect(outcome.stdout).toBe('1|x=y z|kept\nline|/changed\n');
    const names = await runInside(['env'], { env: { ...plainEnvironment, NODE_OPTIONS: '--no-such-flag', LD_PRELOAD: '' } });
    expect(names.stdout).toContain('NODE_OPTIONS=--no-such-flag');
    expect(names.stdout).not.toContain('TSVISOR_');
  });

  test('--cwd, and the caller’s directory without it', async () => {
    expect((await runInside(['pwd'], { args: ['--cwd', '/usr/lib'] })).stdout).toBe('/usr/lib\n');
    expect((await runInside(['pwd'], { cwd: '/usr/share' })).stdout).toBe('/usr/share\n');
    const missing = await runInside(['pwd'], { args: ['--cwd', '/no/such'] });
    expect(missing.status).toBe(125);
    expect(missing.stderr).toContain('/no/such');
  });

  test('--user', async () => {
    const outcome = await runInside(['sh', '-c', 'id -u; id -g; touch /root-only 2>/dev/null || echo refused'], {
      args: ['--user', '1234:5678'],
    });
    expect(outcome.stdout).toBe('1234\n5678\nrefused\n');
  });

  test('--hostname', async () => {
    const outcome = await runInside(['sh', '-c', 'uname -n; cat /proc/sys/kernel/hostname'], { args: ['--hostname', 'box-7'] });
    expect(outcome.stdout).toBe('box-7\nbox-7\n');
  });

  test('--ro and --rw', async () => {
    await inScratch(async (directory) => {
      for (const name of ['ro', 'rw']) mkdirSync(join(directory, name));
      chmodSync(join(directory, 'rw'), 0o777); // whoever runs inside may write there
      writeFileSync(join(directory, 'ro/file'), 'read me');
      const outcome = await runInside(
        [
          'sh',
          '-c',
          'cat /data/ro/file; echo x 2>/dev/null > /data/ro/new || echo refused; echo written > /data/rw/new; mkdir /data/rw/d; mv /data/rw/new /data/rw/d/moved; ls /data',
        ],
        { args: ['--ro', `${directory}/ro:/data/ro`, '--rw', `${directory}/rw:/data/rw`] },
      );
      expect(outcome.stdout).toBe('read merefused\nro\nrw\n');
      expect(readFileSync(join(directory, 'rw/d/moved'), 'utf8')).toBe('written\n');
      expect(existsSync(join(directory, 'ro/new'))).toBe(false);
    });
  });

  test('--rw: what the guest and the host append to one file at the same time is all there', async () => {
    await inScratch(async (directory) => {
      const log = join(directory, 'log');
      writeFileSync(log, '');
      chmodSync(log, 0o666);
      const append = (who: string) => ['/bin/sh', '-c', `i=0; while [ $i -lt 3000 ]; do echo ${who} $i; i=$((i + 1)); done >> ${log}`];
      const isOver = runInside(append('inside'), { args: ['--rw', directory] }).then(() => true);
      // Beside it all the time.
      let rounds = 0;
      do {
        await runNative(append('outside'));
        rounds++;
      } while (!(await Promise.race([isOver, Promise.resolve(false)])));
      const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
      const of = (who: string) => lines.filter((line) => line.startsWith(`${who} `)).map((line) => Number(line.split(' ')[1]));
      const numbers = Array.from({ length: 3000 }, (_, i) => i);
      expect(of('inside')).toEqual(numbers);
      expect(of('outside')).toEqual(Array.from({ length: rounds }, () => numbers).flat());
    });
  });

  test('without --rw the host stays as it is', async () => {
    await inScratch(async (directory) => {
      writeFileSync(join(directory, 'file'), 'before');
      chmodSync(join(directory, 'file'), 0o666);
      const outcome = await runInside(['sh', '-c', 'echo after > file; rm -f ../x; mkdir d; cat file; rm file; ls'], { cwd: directory });
      expect(outcome.stdout).toBe('after\nd\n');
      expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('before');
      expect(existsSync(join(directory, 'd'))).toBe(false);
    });
  });

  test('--root', async () => {
    await inScratch(async (directory) => {
      mkdirSync(join(directory, 'etc'));
      writeFileSync(join(directory, 'etc/mark'), 'other root\n');
      const outcome = await runInside(['/usr/bin/env', 'cat', '/etc/mark'], {
        args: ['--root', directory, '--ro', '/usr', '--ro', '/lib:/lib', '--ro', '/lib64:/lib64', '--ro', '/bin:/bin'],
      });
      expect(outcome.stdout, outcome.stderr).toBe('other root\n');
    });
  });

  test('--timeout', async () => {
    const began = Date.now();
    const outcome = await runInside(['sh', '-c', 'echo begun; sleep 60'], { args: ['--timeout', '1'] });
    expect(outcome.stdout).toBe('begun\n');
    expect(outcome.status).toBe(124);
    expect(Date.now() - began).toBeLessThan(10_000);
  });

  test('--strace writes lines as strace(1) does', async () => {
    const { stdout, stderr } = await runInside(['sh', '-c', 'cat /etc/hostname; true'], { args: ['--strace'] });
    expect(stdout).not.toBe('');
    const lines = stderr.split('\n').filter((line) => line !== '');
    expect(lines.some((line) => /execve\("[^"]*\/sh", \["sh", "-c", "cat .*"\], .*\) = 0/.test(line))).toBe(true);
    expect(lines.some((line) => /openat\(AT_FDCWD, "\/etc\/hostname", O_RDONLY.*\) = \d+/.test(line))).toBe(true);
    expect(lines.some((line) => /= -1 E[A-Z]+ \([A-Z]/.test(line))).toBe(true);
    expect(lines.some((line) => /exit_group\(0\)\s+= \?/.test(line))).toBe(true);
  });

  test('--strace-log and --debug-log write files', async () => {
    await inScratch(async (directory) => {
      const log = join(directory, 'log');
      const outcome = await runInside(['true'], { args: ['--strace-log', log, '--debug-log', join(directory, 'debug')] });
      expect(outcome.status).toBe(0);
      expect(outcome.stderr).toBe('');
      expect(readFileSync(log, 'utf8')).toMatch(/exit_group\(0\)/);
      expect(existsSync(join(directory, 'debug'))).toBe(true);
    });
  });
});

describe('standard streams', () => {
  test('input, output and errors pass through', async () => {
    const outcome = await runInside(['sh', '-c', 'cat; echo error >&2'], { stdin: 'x'.repeat(300_000) });
    expect(outcome.stdout).toBe('x'.repeat(300_000));
    expect(outcome.stderr).toBe('error\n');
  });

  test('a reader that leaves ends the writer with SIGPIPE', async () => {
    const outcome = await runNative(['bash', '-c', `${insideCommand(['yes']).join(' ')} | head -n 1; echo \${PIPESTATUS[0]}`]);
    expect(outcome.stdout).toBe('y\n141\n');
  });
});

describe('how it is started does not matter', () => {
  test('through a symlink, and through a symlink to it, from another directory', async () => {
    await inScratch(async (directory) => {
      symlinkSync(tsvisor, join(directory, 'one'));
      symlinkSync('one', join(directory, 'two'));
      for (const name of ['one', 'two']) {
        const outcome = await runNative([join(directory, name), 'do', '--', 'echo', 'works'], { cwd: directory });
        expect(outcome.stdout).toBe('works\n');
      }
      const byPath = await runNative(['sh', '-c', 'PATH=.:$PATH; two do -- echo works'], { cwd: directory });
      expect(byPath.stdout).toBe('works\n');
    });
  });

  test.for([
    { NODE_OPTIONS: '--require /no/such/module' },
    { NODE_PATH: '/nowhere', NODE_DEBUG: 'module', NODE_EXTRA_CA_CERTS: '/nowhere' },
    { LD_LIBRARY_PATH: '/nowhere', UV_THREADPOOL_SIZE: '1000' },
    { TZ: 'Pacific/Chatham', LC_ALL: 'C', IFS: 'o', ENV: '/nowhere', CDPATH: '/' },
  ])('with %o in the environment', async (extra: Record<string, string | undefined>) => {
    const env = Object.fromEntries(
      Object.entries({ ...plainEnvironment, ...extra }).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const outcome = await runInside(['echo', 'works'], { env });
    expect(outcome.stdout).toBe('works\n');
    expect(outcome.stderr).toBe('');
  });

  test('with an empty environment', async () => {
    const outcome = await runInside(['/bin/sh', '-c', 'echo works'], { env: {} });
    expect(outcome.stdout).toBe('works\n');
  });

  test.runIf(root)('as an ordinary user', async () => {
    const [program, ...args] = [
      'setpriv',
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      ...insideCommand(['sh', '-c', 'id -u; ls / | grep -c usr; echo x > /tmp/new && cat /tmp/new']),
    ];
    const outcome = spawnSync(program, args, { encoding: 'utf8', env: plainEnvironment, cwd: '/', timeout: 30_000 });
    expect(outcome.stdout, outcome.stderr).toBe('65534\n1\nx\n');
    expect(outcome.status).toBe(0);
  });
});

describe('the guest sees the sandbox only', () => {
  test('processes, names, mounts', async () => {
    const { stdout } = await runInside([
      'sh',
      '-c',
      'ls /proc | grep -c "^[0-9]"; cat /proc/1/cmdline | tr "\\0" " "; uname -n; grep -c . /proc/mounts; cat /proc/self/status | grep TracerPid',
    ]);
    const lines = stdout.split('\n');
    expect(Number(lines[0])).toBeLessThan(8);
    expect(stdout).not.toContain('node');
    expect(stdout).toContain('TracerPid:\t0');
  });

  test('no network', async () => {
    // A port that is open on the host is closed inside: its loopback is another one. Everything else is out of reach, and no interface leads there.
    const server = createServer((socket) => socket.destroy());
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
    const connect = `
      use Socket; use Errno;
      for my $to (['127.0.0.1', ${port}], ['192.0.2.1', 80]) {
        socket(my $s, AF_INET, SOCK_STREAM, 0) or die;
        connect($s, pack_sockaddr_in($to->[1], inet_aton($to->[0]))) and print "connected\n";
        print $!{ECONNREFUSED} ? "ECONNREFUSED\n" : $!{ENETUNREACH} ? "ENETUNREACH\n" : "$!\n";
      }
      open(my $f, '<', '/proc/net/dev'); print map { /^ *([a-z0-9]+):/ ? "$1\n" : () } <$f>`;
    const outcome = await runInside(['perl', '-e', connect]);
    server.close();
    expect(outcome.stdout).toBe('ECONNREFUSED\nENETUNREACH\nlo\n');
  });
});
