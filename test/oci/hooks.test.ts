/**
 * The six kinds of hooks: when each is called, with what on its standard input, and what its failure means.
 *
 * runtime-spec, config.md "POSIX-platform Hooks": prestart and createRuntime after the namespaces are made, createContainer before the root
 * is changed, startContainer inside before the program, poststart after it was started, poststop after the container is deleted.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newContainer, type State, type TestContainer } from './harness/container.ts';
import { ours } from './harness/runtime.ts';
import type { Spec, SpecHook } from './harness/spec.ts';

const KINDS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const;

type Kind = (typeof KINDS)[number];

/** A hook that runs a line of shell with BUNDLE set. startContainer hooks are programs of the container. */
function hook(kind: Kind, bundle: string, line: string, more: Partial<SpecHook> = {}): SpecHook {
  return {
    path: '/bin/sh',
    args: ['sh', '-c', line],
    env: [`BUNDLE=${kind === 'startContainer' ? '/mnt' : bundle}`, 'PATH=/usr/bin:/bin'],
    ...more,
  };
}

/** A container with hooks; the bundle's directory `shared` is /mnt inside, for startContainer's files. */
async function withHooks(make: (bundle: string) => Spec['hooks'], shell = 'echo main >> /mnt/log'): Promise<TestContainer> {
  return newContainer({
    shell,
    edit(spec, _, bundle) {
      spec.hooks = make(bundle) ?? {};
      spec.mounts.push({ destination: '/mnt', type: 'bind', source: bundle, options: ['bind', 'rw'] });
    },
  });
}

const poststart = ['poststart1', 'poststart2'];

function lines(box: TestContainer): string[] {
  return box.read('log').trim().split('\n');
}

describe('hooks', () => {
  test('all six kinds in their order, each list in its own', async () => {
    await using box = await withHooks((bundle) =>
      Object.fromEntries(KINDS.map((kind) => [kind, [1, 2].map((n) => hook(kind, bundle, `echo ${kind}${n} >> $BUNDLE/log`))])),
    );
    await box.create();
    const before = ['prestart1', 'prestart2', 'createRuntime1', 'createRuntime2', 'createContainer1', 'createContainer2'];
    // runc 1.1 calls the poststart hooks in create already, which the specification does not allow.
    expect(lines(box)).toEqual(ours ? before : [...before, ...poststart]);
    await box.start();
    await box.until('stopped');
    const log = lines(box).filter((line) => !poststart.includes(line));
    expect(log.slice(6)).toEqual(['startContainer1', 'startContainer2', 'main']);
    expect(lines(box).filter((line) => poststart.includes(line))).toEqual(poststart);
    await box.delete();
    expect(lines(box).slice(11)).toEqual(['poststop1', 'poststop2']);
  });

  test('the state of the container on standard input', async () => {
    await using box = await withHooks((bundle) =>
      Object.fromEntries(KINDS.map((kind) => [kind, [hook(kind, bundle, `cat > $BUNDLE/${kind}`)]])),
    );
    await box.create();
    const pid = (await box.state())!.pid;
    await box.start();
    await box.until('stopped');
    await box.delete();
    const state = (kind: Kind) => JSON.parse(box.read(kind)) as State;
    for (const kind of KINDS)
      expect(state(kind)).toMatchObject({ id: box.id, bundle: box.bundle, ociVersion: expect.stringMatching(/^1\./) });
    for (const kind of ['prestart', 'createRuntime'] as const) expect(state(kind)).toMatchObject({ status: 'creating', pid });
    expect(state('createContainer').status).toMatch(/creating|created/);
    expect(state('startContainer').status).toMatch(/created/);
    expect(state('poststart')).toMatchObject({ pid });
    expect(state('poststart').status).toMatch(/created|running/);
    expect(state('poststop').status).toBe('stopped');
  });

  test('arguments and environment are the hook’s own', async () => {
    await using box = await withHooks((bundle) => ({
      createRuntime: [
        { path: '/bin/sh', args: ['zero', '-c', `echo "$0|$1|$FOO|$TSVISOR_X" > ${bundle}/log`, 'a b', 'c'], env: ['FOO=bar'] },
      ],
    }));
    await box.create();
    expect(box.read('log')).toBe('a b|c|bar|\n');
  });

  test.for(['prestart', 'createRuntime', 'createContainer'] as const)('create fails when a %s hook fails, and says why', async (kind) => {
    await using box = await withHooks((bundle) => ({
      [kind]: [hook(kind, bundle, 'echo because >&2; exit 3'), hook(kind, bundle, 'echo not-reached >> $BUNDLE/log')],
    }));
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('hook #0');
    expect(outcome.stderr).toContain('exit status 3');
    expect(outcome.stderr).toContain('because');
    expect(box.read('log')).toBe('');
    expect(await box.state()).toBeNull();
  });

  test('the program is not started when a startContainer hook fails', async () => {
    await using box = await withHooks((bundle) => ({ startContainer: [hook('startContainer', bundle, 'exit 4')] }));
    await box.create();
    const started = await box.start();
    await box.until('stopped');
    expect(started.stderr + box.streams.stderr).toContain('exit status 4');
    expect(box.read('log')).toBe('');
  });

  test('a failing poststop hook does not keep the container', async () => {
    await using box = await withHooks((bundle) => ({
      poststop: [hook('poststop', bundle, 'exit 5'), hook('poststop', bundle, 'echo second >> $BUNDLE/log')],
    }));
    await box.createAndStart();
    await box.until('stopped');
    const outcome = await box.delete();
    expect(outcome.status).toBe(0);
    expect(await box.state()).toBeNull();
    // runc leaves out those after the one that failed; the specification goes on.
    expect(box.read('log')).toBe(ours ? 'main\nsecond\n' : 'main\n');
  });

  test('a hook that takes too long is killed', async () => {
    await using box = await withHooks((bundle) => ({ createRuntime: [hook('createRuntime', bundle, 'exec sleep 20', { timeout: 1 })] }));
    const start = Date.now();
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(Date.now() - start).toBeLessThan(5000);
    expect(outcome.stderr).toMatch(/hook.*(ran past|timeout|timed out)/);
  });

  test('a path that is no program', async () => {
    await using box = await withHooks(() => ({ prestart: [{ path: '/nonexistent/hook' }] }));
    const outcome = await box.create();
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).toContain('/nonexistent/hook');
  });

  test('hooks can prepare the root: what createRuntime wrote is there for the program', async () => {
    await using box = await withHooks(
      (bundle) => ({ createRuntime: [hook('createRuntime', bundle, 'echo prepared > $BUNDLE/rootfs/etc/prepared')] }),
      'cat /etc/prepared',
    );
    expect((await box.run()).stdout).toBe('prepared\n');
  });

  test('a startContainer hook sees the container, a createContainer hook the host', async () => {
    await using box = await withHooks((bundle) => ({
      createContainer: [hook('createContainer', bundle, 'test -e $BUNDLE/config.json && echo host >> $BUNDLE/log')],
      startContainer: [hook('startContainer', bundle, 'echo $(hostname) $(ls /bin/busybox) >> /mnt/log')],
    }));
    await box.createAndStart();
    await box.until('stopped');
    const hostname = (JSON.parse(box.read('config.json')) as Spec).hostname;
    expect(box.read('log')).toBe(`host\n${hostname} /bin/busybox\nmain\n`);
  });

  test('a script of the host as a hook', async () => {
    await using box = await withHooks((bundle) => {
      writeFileSync(join(bundle, 'hook'), `#!/bin/sh\necho "$1" > ${bundle}/log\n`);
      chmodSync(join(bundle, 'hook'), 0o755);
      return { createRuntime: [{ path: join(bundle, 'hook'), args: ['hook', 'argument'] }] };
    });
    await box.create();
    expect(box.read('log')).toBe('argument\n');
  });
});
