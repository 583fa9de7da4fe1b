import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { installCommand } from './install.ts';
import { specCommand } from './spec.ts';
import { readConfig } from '../oci/config/read.ts';

let prefix: string;
let said: string;
beforeEach(() => {
  prefix = mkdtempSync(join(tmpdir(), 'tsvisor-install-'));
  said = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((said += String(text)), true));
  vi.spyOn(process, 'geteuid').mockReturnValue(0);
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(prefix, { recursive: true });
});

function install(...args: string[]): void {
  installCommand()
    .exitOverride()
    .parse([...args, '--prefix', prefix], { from: 'user' });
}

it('install shows with --dry-run what it would change, and changes nothing', () => {
  install('--docker', '--dry-run');
  expect(said).toContain(`${prefix}/etc/docker/daemon.json would change:\n+{`);
  expect(() => statSync(join(prefix, 'etc'))).toThrow('ENOENT');
});

it('install changes files in place and keeps their permissions', () => {
  const path = join(prefix, 'etc/docker/daemon.json');
  mkdirSync(join(prefix, 'etc/docker'), { recursive: true });
  writeFileSync(path, '{"debug": true}');
  chmodSync(path, 0o600);
  install('--docker', '--podman');
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ debug: true, runtimes: { tsvisor: {} } });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(said).toContain('Next:\n    systemctl reload docker\n');
  said = '';
  install('--docker', '--podman');
  expect(said.match(/is up to date/g)).toHaveLength(2);
});

it('install changes nothing at all when one of the files cannot be changed', () => {
  mkdirSync(join(prefix, 'etc/containerd'), { recursive: true });
  writeFileSync(join(prefix, 'etc/containerd/config.toml'), 'version = 1\n');
  expect(() => install('--docker', '--containerd')).toThrow('format version 1');
  expect(() => statSync(join(prefix, 'etc/docker'))).toThrow('ENOENT');
});

it('install wants to know for whom', () => {
  expect(() => install()).toThrow('say for which engine: --docker, --containerd, --podman, --crio.');
});

it.each([[[]], [['--rootless']]])('spec %j writes a configuration that is accepted without a warning, and only once', (options) => {
  const spec = () =>
    specCommand()
      .exitOverride()
      .parse(['--bundle', prefix, ...options], { from: 'user' });
  spec();
  const { config, warnings } = readConfig(readFileSync(join(prefix, 'config.json'), 'utf8'), prefix);
  expect(warnings).toEqual([]);
  expect([config.process!.args, config.root.readonly]).toEqual([['sh'], true]);
  expect(spec).toThrow('config.json exists; remove it first.');
});
