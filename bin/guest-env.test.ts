import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { restoreEnvironment } from './guest-env.ts';

const root = join(import.meta.dirname, '..');
let scratch = '';

// A package of the same shape whose main program prints what it was given.
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'tsvisor-launcher-'));
  mkdirSync(join(scratch, 'bin'));
  copyFileSync(join(root, 'bin/tsvisor'), join(scratch, 'bin/tsvisor'));
  symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'));
  writeFileSync(
    join(scratch, 'bin/main.ts'),
    `import { readFileSync } from 'node:fs';
     const environ = readFileSync('/proc/self/environ', 'latin1');
     console.log(JSON.stringify({ environ, options: process.execArgv, args: process.argv.slice(2) }));`,
  );
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function launch(program: string, env: Record<string, string>, cwd = scratch): { environ: string; options: string[]; args: string[] } {
  const run = spawnSync(program, ['do', '--', 'a b', '*', ''], { env, cwd, encoding: 'utf8', timeout: 20_000 });
  expect(run.stderr).toBe('');
  return JSON.parse(run.stdout) as { environ: string; options: string[]; args: string[] };
}

const hostile = {
  PATH: '/usr/bin:/bin',
  NODE_OPTIONS: '--require /nonexistent.js',
  NODE_PATH: '/nonexistent',
  LD_LIBRARY_PATH: '/nonexistent',
  TZ: 'Asia/Tokyo',
  IFS: 'o',
  root: 'mine',
  node: '/bin/false',
  self: 'x',
  QUOTED: `a'b"c$d\`e\\f`,
  LINES: `one\nexport QUOTED='two'\nexport NOT_THERE='x'\n`,
  EMPTY: '',
  TSVISOR_ENV_NESTED: 'yes',
};

test('the guest gets the environment of the caller and Node gets none of it', () => {
  const { environ, args } = launch('bin/tsvisor', hostile);
  const names = environ.split('\0').map((entry) => entry.split('=')[0] ?? '');
  expect(names.filter((name) => name !== '' && !name.startsWith('TSVISOR_ENV_') && name !== 'PWD' && name !== 'IFS')).toEqual([
    'TSVISOR_LAUNCHER',
  ]);
  const { IFS: _, ...expected } = hostile;
  const restored = restoreEnvironment(environ).filter((entry) => !/^(PWD|OLDPWD|_|SHLVL|IFS)=/.test(entry));
  expect(restored.sort()).toEqual(
    Object.entries(expected)
      .map(([name, value]) => `${name}=${value}`)
      .sort(),
  );
  expect(args).toEqual(['do', '--', 'a b', '*', '']);
});

test('the launcher works through a chain of symbolic links from another directory', () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'tsvisor-link-'));
  try {
    symlinkSync(join(scratch, 'bin/tsvisor'), join(elsewhere, 'first'));
    symlinkSync('first', join(elsewhere, 'tsv'));
    expect(launch('./tsv', { PATH: '/usr/bin:/bin' }, elsewhere).args[0]).toBe('do');
    expect(launch('tsv', { PATH: `${elsewhere}:/usr/bin:/bin` }, '/').args[0]).toBe('do');
  } finally {
    rmSync(elsewhere, { recursive: true, force: true });
  }
});

test('without a usable Node it says so in one sentence and exits 125', () => {
  rmSync(join(scratch, 'node_modules'));
  try {
    const run = spawnSync(join(scratch, 'bin/tsvisor'), [], { env: { PATH: '/nonexistent' }, encoding: 'utf8', timeout: 20_000 });
    expect(run.status).toBe(125);
    expect(run.stderr).toMatch(/^tsvisor: no Node\.js found; [^\n]*\n$/);
  } finally {
    symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'));
  }
});

test('an environment that did not come through the launcher is taken as it is', () => {
  expect(restoreEnvironment('A=1\0B=\xff\0')).toEqual(['A=1', 'B=\xff']);
});
