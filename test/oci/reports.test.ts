/** What the runtime says about itself and its containers: list, ps, pid file, logs in both formats, errors about config.json, spec, features. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newContainer, type State } from './harness/container.ts';
import { ours, stateRoot, verb } from './harness/runtime.ts';
import { defaultSpec, type Spec } from './harness/spec.ts';

describe('list', () => {
  test('every container of this state directory, as a table, as JSON, as names', async () => {
    await using first = await newContainer();
    await using second = await newContainer();
    await first.create();
    await second.createAndStart();
    const table = (await verb(['list'])).stdout.split('\n');
    expect(table[0]).toMatch(/^ID +PID +STATUS +BUNDLE +CREATED +OWNER$/);
    expect(table.find((line) => line.startsWith(`${first.id} `))).toMatch(/ created +\/.* root$/);
    expect(table.find((line) => line.startsWith(`${second.id} `))).toMatch(/ running /);
    const entries = JSON.parse((await verb(['list', '--format', 'json'])).stdout) as State[];
    expect(entries.find(({ id }) => id === second.id)).toMatchObject({
      status: 'running',
      pid: (await second.state())!.pid,
      bundle: second.bundle,
    });
    expect((await verb(['list', '--quiet'])).stdout.split('\n')).toEqual(expect.arrayContaining([first.id, second.id]));
  });

  test('none', async () => {
    const outcome = await verb(['list', '--format', 'json'], { globals: ['--root', join(stateRoot, 'nothing-here')] });
    expect(outcome.status).toBe(0);
    expect(outcome.stdout.trim()).toMatch(/^(null|\[\])$/);
  });
});

describe('ps', () => {
  test('pids as JSON, a table of ps otherwise', async () => {
    await using box = await newContainer();
    await box.createAndStart();
    const { pid } = (await box.state())!;
    // Pids of the host: `docker top` looks for them there.
    expect(JSON.parse((await box.verb('ps', ['--format', 'json'])).stdout)).toContain(pid);
    const table = (await verb(['ps', box.id])).stdout;
    expect(table).toMatch(/^UID +PID +PPID /);
    expect(table).toContain('sleep 300');
    // Processes that the host does not know cannot be shown by its ps(1), which knows more options.
    const chosen = await verb(['ps', box.id, '-o', 'pid,comm']);
    expect(chosen.stdout + chosen.stderr).toMatch(ours ? /not supported/ : /^ *PID COMMAND\n/);
  });
});

describe('state', () => {
  test('annotations are there', async () => {
    await using box = await newContainer({ edit: (spec) => (spec.annotations = { 'org.example.key': 'value', other: '' }) });
    await box.create();
    const state = await box.state();
    expect(state).toMatchObject({ annotations: { 'org.example.key': 'value', other: '' } });
    expect(Math.abs(Date.parse(state!.created!) - Date.now())).toBeLessThan(20_000);
  });

  test('it is seen from another directory and by a relative bundle', async () => {
    await using box = await newContainer();
    const outcome = await verb(['run', '--detach', box.id], { cwd: box.bundle, timeoutMs: 5000 }).catch(() => null);
    // The container keeps the streams of a detached run, so the verb is not waited for to the end of its output.
    expect(outcome?.status ?? 0).toBe(0);
    expect(await box.state()).toMatchObject({ status: 'running', bundle: box.bundle });
  });
});

describe('the pid file', () => {
  test('holds the pid that state tells, without a newline', async () => {
    await using box = await newContainer();
    const file = join(box.bundle, 'the.pid');
    await box.create(['--pid-file', file]);
    expect(readFileSync(file, 'utf8')).toBe(String((await box.state())!.pid));
  });

  test('a directory that is not there', async () => {
    await using box = await newContainer();
    const outcome = await box.create(['--pid-file', '/nonexistent/dir/pid']);
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('/nonexistent/dir');
    expect(await box.state()).toBeNull();
  });
});

describe('--log', () => {
  const lines = (file: string) => readFileSync(file, 'utf8').trim().split('\n');

  test('JSON: one object for each message, with level, msg and time', async () => {
    await using box = await newContainer({ args: ['nosuchprogram'] });
    const log = join(box.bundle, 'log.json');
    const outcome = await box.create([], { globals: ['--log', log, '--log-format', 'json'] });
    expect(outcome.status).toBe(1);
    const entries = lines(log).map((line) => JSON.parse(line) as { level: string; msg: string; time: string });
    const error = entries.find(({ level }) => level === 'error');
    expect(error?.msg).toContain('executable file not found in $PATH');
    expect(error?.msg).not.toContain('\n');
    expect(Math.abs(Date.parse(error!.time) - Date.now())).toBeLessThan(20_000);
  });

  test('text', async () => {
    await using box = await newContainer();
    const log = join(box.bundle, 'log');
    const outcome = await verb(['state', 'nosuch'], { globals: ['--log', log] });
    expect(outcome.status).toBe(1);
    expect(lines(log).at(-1)).toMatch(/^time="[^"]+" level=error msg="container does not exist(: nosuch)?"$/);
  });

  test('exec that fails', async () => {
    await using box = await newContainer();
    await box.createAndStart();
    const log = join(box.bundle, 'log');
    const outcome = await verb(['exec', box.id, 'nosuchprogram'], { globals: ['--log', log, '--log-format', 'json'] });
    expect(outcome.status).toBe(255);
    expect((JSON.parse(lines(log).at(-1)!) as { msg: string }).msg).toContain('executable file not found in $PATH');
  });

  test('what is there is kept', async () => {
    const log = join(stateRoot, 'kept.log');
    writeFileSync(log, 'before\n');
    await verb(['state', 'nosuch'], { globals: ['--log', log] });
    expect(lines(log)[0]).toBe('before');
    expect(lines(log).length).toBe(2);
  });

  test('a success says nothing', async () => {
    const log = join(stateRoot, 'quiet.log');
    await verb(['list'], { globals: ['--log', log, '--log-format', 'json'] });
    expect(readFileSync(log, 'utf8')).toBe('');
  });
});

describe('config.json that cannot be used', () => {
  /** Words that have to be in the message: runc's (null where it lets the file through), and ours, which names the field. */
  type Case = [string, (spec: Spec) => unknown, RegExp | null, RegExp];

  const cases: Case[] = [
    ['no JSON', () => '{"ociVersion": "1.0.2"', /unexpected E|JSON/, /config\.json/],
    ['empty', () => '', /EOF|JSON/, /config\.json/],
    ['args missing', (spec) => delete (spec.process as Partial<Spec['process']>).args, /args/i, /process\.args/],
    ['args empty', (spec) => (spec.process.args = []), /args/i, /process\.args/],
    ['cwd relative', (spec) => (spec.process.cwd = 'tmp'), /[Cc]wd/, /process\.cwd/],
    ['root missing', (spec) => delete (spec as Partial<Spec>).root, /root/i, /root/],
    ['root is not there', (spec) => (spec.root.path = 'nowhere'), /nowhere|rootfs/, /nowhere/],
    ['a number where a text belongs', (spec) => (spec.hostname = 5 as unknown as string), /hostname/, /hostname/],
    ['a negative uid', (spec) => (spec.process.user.uid = -1), /uid/, /process\.user\.uid/],
    ['a namespace that nobody knows', (spec) => spec.linux.namespaces.push({ type: 'flavour' }), /flavour/, /flavour/],
    [
      'mappings without a user namespace',
      (spec) => (spec.linux.uidMappings = [{ containerID: 0, hostID: 1, size: 1 }]),
      null,
      /uidMappings/,
    ],
  ];

  test.for(cases)('%s', async ([, spoil, theirs, own], context) => {
    if (!ours && theirs === null) context.skip('let through by the runtime');
    await using box = await newContainer();
    const spec = await defaultSpec();
    const text = spoil(spec);
    box.configure(typeof text === 'string' && !text.startsWith('/') && (text === '' || text.startsWith('{')) ? text : spec);
    const outcome = await box.create();
    expect(outcome.status, outcome.stderr).toBe(1);
    expect(outcome.stderr).toMatch(ours || theirs === null ? own : theirs);
    expect(
      outcome.stderr
        .trim()
        .split('\n')
        .filter((line) => !line.includes('warning')).length,
    ).toBe(1);
    expect(await box.state()).toBeNull();
  });

  test('unknown fields and annotations are passed over', async () => {
    await using box = await newContainer({
      args: ['true'],
      edit(spec) {
        spec.annotations = { 'com.unknown/thing': 'x' };
        Object.assign(spec, { unknown: { deep: [1] } });
      },
    });
    expect(await box.run()).toMatchObject({ status: 0 });
  });
});

describe('spec and features', () => {
  test('spec writes a file that runs, and does not overwrite one', async () => {
    const directory = mkdtempSync(join(stateRoot, 'written-'));
    expect(await verb(['spec', '--bundle', directory])).toMatchObject({ status: 0 });
    const spec = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Spec;
    expect(spec.process.args).toEqual(['sh']);
    expect(spec.root).toEqual({ path: 'rootfs', readonly: true });
    expect(spec.linux.namespaces.map(({ type }) => type)).toEqual(expect.arrayContaining(['pid', 'network', 'ipc', 'uts', 'mount']));
    const again = await verb(['spec', '--bundle', directory]);
    expect(again.status).toBe(1);
    expect(again.stderr).toContain('config.json exists');
  });

  test('spec --rootless', async () => {
    const directory = mkdtempSync(join(stateRoot, 'rootless-'));
    expect(await verb(['spec', '--rootless'], { cwd: directory })).toMatchObject({ status: 0 });
    const spec = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Spec;
    expect(spec.linux.namespaces.map(({ type }) => type)).toContain('user');
    expect(spec.linux.uidMappings).toEqual([{ containerID: 0, hostID: process.getuid!(), size: 1 }]);
  });

  test('features is JSON of the specification', async () => {
    const outcome = await verb(['features']);
    const features = JSON.parse(outcome.stdout) as {
      ociVersionMin: string;
      ociVersionMax: string;
      hooks: string[];
      mountOptions: string[];
    };
    expect(features.ociVersionMin).toMatch(/^1\./);
    expect(features.hooks).toEqual(['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']);
    expect(features.mountOptions).toEqual(expect.arrayContaining(['ro', 'rbind', 'nosuid']));
  });

  test('--version', async () => {
    expect((await verb(['--version'])).stdout).toMatch(
      ours ? /^tsvisor version \S+\n(.*\n)*spec: 1\./ : /^runc version \S+\n(.*\n)*spec: 1\./,
    );
  });

  test('checkpoint and restore say that they cannot', async () => {
    await using box = await newContainer();
    await box.createAndStart();
    const outcome = await box.verb('checkpoint');
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(ours ? /not supported/ : /criu/);
    expect(await box.state()).toMatchObject({ status: 'running' });
  });
});
