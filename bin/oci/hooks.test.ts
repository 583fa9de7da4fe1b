import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HookConfig, HooksConfig } from './config/types.ts';
import { runHooks, runPoststopHooks } from './hooks.ts';
import type { ContainerState } from './hooks.ts';

const NONE: HooksConfig = { prestart: [], createRuntime: [], createContainer: [], startContainer: [], poststart: [], poststop: [] };
const STATE: ContainerState = { ociVersion: '1.2.1', id: 'web', status: 'creating', pid: 42, bundle: '/b', annotations: { a: 'é' } };

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tsvisor-hooks-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function shell(script: string, changes: Partial<HookConfig> = {}): HookConfig {
  return { path: '/bin/sh', args: ['sh', '-c', script], env: null, timeoutMs: null, ...changes };
}

function run(...hooks: HookConfig[]): void {
  runHooks('prestart', { ...NONE, prestart: hooks }, STATE, { directory });
}

function written(name: string): string {
  return readFileSync(join(directory, name), 'utf8');
}

describe('a hook', () => {
  it('gets the state on standard input and runs in the bundle', () => {
    run(shell('cat > state; pwd > where'));
    expect(JSON.parse(written('state'))).toEqual(STATE);
    expect(written('where')).toBe(`${directory}\n`);
  });

  it('gets its own arguments and environment, byte for byte', () => {
    run(
      shell('', {
        args: ['sh', '-c', 'printf %s "$0/$1/$A" > it', 'zero', 'Ã©'],
        env: ['A=Ã©'],
      }),
    );
    expect(written('it')).toBe('zero/é/é');
  });

  it('has an empty environment where the list is empty, and that of the caller where there is none', () => {
    run(shell('set > empty', { env: [] }), shell('printf %s "$PATH" > inherited'));
    expect(written('empty')).not.toContain('VITEST');
    expect(written('inherited')).toBe(process.env['PATH']);
  });

  it('runs after the one before it has ended', () => {
    run(shell('sleep 0.05; echo 1 >> order'), shell('echo 2 >> order'));
    expect(written('order')).toBe('1\n2\n');
  });

  it('may leave a long state unread, or read it slowly', () => {
    const long = { ...STATE, annotations: { long: 'x'.repeat(300_000) } };
    const hooks = { ...NONE, prestart: [shell('true'), shell('sleep 0.05; wc -c > length')] };
    runHooks('prestart', hooks, long, { directory });
    expect(Number(written('length'))).toBe(JSON.stringify(long).length);
  });

  it('may write more than a message quotes', () => {
    expect(() => run(shell('yes | head -c 300000; exit 1'))).toThrow(
      /^error running prestart hook #0 \(\/bin\/sh\): exit status 1, stdout: y\ny/,
    );
  });

  it('is started by the function given, and gets the state after that', () => {
    let state = 'before';
    const start = <T>(action: () => T): T => {
      state = 'inside';
      const result = action();
      state = 'after';
      return result;
    };
    runHooks('createRuntime', { ...NONE, createRuntime: [shell('true')] }, STATE, { directory, start });
    expect(state).toBe('after');
  });
});

describe('a hook that fails', () => {
  it('is reported with its output, and those after it do not run', () => {
    expect(() => run(shell('true'), shell('echo out; echo bad >&2; exit 3'), shell('touch third'))).toThrow(
      'error running prestart hook #1 (/bin/sh): exit status 3, stdout: out, stderr: bad',
    );
    expect(() => written('third')).toThrow('ENOENT');
  });

  it('by a signal', () => {
    expect(() => run(shell('kill -TERM $$'))).toThrow('error running prestart hook #0 (/bin/sh): signal 15, stdout: , stderr: ');
  });

  it('because there is no such program, or it is none', () => {
    expect(() => run(shell('', { path: '/nonexistent' }))).toThrow('hook #0 (/nonexistent): no such file or directory');
    expect(() => run(shell('', { path: '/etc/passwd' }))).toThrow('hook #0 (/etc/passwd): permission denied');
  });

  it('because its time is up is killed with what it started', () => {
    const from = performance.now();
    expect(() => run(shell('sleep 7654.321 & sleep 7654.321', { timeoutMs: 100 }))).toThrow('hook ran past specified timeout of 0.1s');
    expect(performance.now() - from).toBeLessThan(5000);
  });

  it('after the container has ended is a warning, and the others run', () => {
    const warnings: string[] = [];
    runPoststopHooks({ ...NONE, poststop: [shell('exit 1'), shell('touch ran')] }, STATE, { directory }, (sentence) =>
      warnings.push(sentence),
    );
    expect(warnings).toEqual(['error running poststop hook #0 (/bin/sh): exit status 1, stdout: , stderr: ']);
    expect(written('ran')).toBe('');
  });
});
