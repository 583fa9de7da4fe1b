import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLIENTS, planInstallation } from './clients.ts';
import type { Client, InstallPlan, InstallRequest } from './clients.ts';
import { difference } from './diff.ts';

type Files = Readonly<Record<string, string>>;

function plan(client: Client, files: Files = {}, changes: Partial<InstallRequest> = {}): InstallPlan {
  const list = (directory: string) =>
    Object.keys(files)
      .filter((path) => path.startsWith(`${directory}/`))
      .map((path) => path.slice(directory.length + 1))
      .sort();
  return planInstallation(client, {
    name: 'tsvisor',
    program: '/opt/t/bin/tsvisor',
    userConfig: null,
    read: (path) => files[path] ?? null,
    list,
    ...changes,
  });
}

describe.each(CLIENTS)('%s', (client) => {
  it('is told once: a second run changes nothing', () => {
    const first = plan(client);
    expect(first.before).toBe('');
    expect(first.after).toContain('/opt/t/bin/tsvisor');
    expect(plan(client, { [first.path]: first.after }).after).toBe(first.after);
  });

  it('is described in docs/OCI.md as it is done', () => {
    const program = '/path/to/tsvisor/bin/tsvisor';
    const lines = (text: string): string[] => text.split('\n').map((line) => line.trim());
    const documented = new Set(lines(readFileSync(join(import.meta.dirname, '../../../docs/OCI.md'), 'utf8')));
    const written = client === 'docker' ? [`"tsvisor": { "path": "${program}" }`] : lines(plan(client, {}, { program }).after);
    expect(written.filter((line) => !line.startsWith('#') && !documented.has(line))).toEqual([]);
  });

  it('learns of another path', () => {
    const { path, after } = plan(client);
    const moved = plan(client, { [path]: after }, { program: '/usr/bin/tsvisor' });
    expect(moved.after).toBe(after.replaceAll('/opt/t/bin/tsvisor', '/usr/bin/tsvisor'));
  });

  it('refuses a name that its files cannot have', () => {
    expect(() => plan(client, {}, { name: 'a b' })).toThrow('--name must be letters, digits, - and _, not "a b".');
  });
});

describe('Docker', () => {
  const path = '/etc/docker/daemon.json';

  it('keeps what is there, in its order and indentation', () => {
    const before =
      '{\n    "debug": true,\n    "runtimes": {\n        "crun": {\n            "path": "/usr/bin/crun"\n        }\n    },\n    "bip": "x"\n}\n';
    const { after } = plan('docker', { [path]: before });
    expect(difference(before, after)).toEqual([
      '     "runtimes": {',
      '         "crun": {',
      '             "path": "/usr/bin/crun"',
      '+        },',
      '+        "tsvisor": {',
      '+            "path": "/opt/t/bin/tsvisor"',
      '         }',
      '     },',
      '     "bip": "x"',
    ]);
  });

  it('keeps arguments added to our entry', () => {
    const before = '{"runtimes":{"tsvisor":{"path":"/old","runtimeArgs":["--debug"]}}}';
    expect(JSON.parse(plan('docker', { [path]: before }).after)).toEqual({
      runtimes: { tsvisor: { path: '/opt/t/bin/tsvisor', runtimeArgs: ['--debug'] } },
    });
  });

  it.each([
    ['{', 'is not valid JSON'],
    ['[]', 'is not a JSON object'],
    ['{"runtimes":[]}', '"runtimes" is not an object'],
  ])('leaves %s alone', (text, message) => {
    expect(() => plan('docker', { [path]: text })).toThrow(message);
  });

  it('of an ordinary user has a file of its own', () => {
    expect(plan('docker', {}, { userConfig: '/home/a/.config' }).path).toBe('/home/a/.config/docker/daemon.json');
  });
});

describe('containerd', () => {
  const path = '/etc/containerd/config.toml';

  it('gets a block at the end, in the names of its version', () => {
    const two = 'version = 2\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n';
    const added = difference(two, plan('containerd', { [path]: two }).after).filter((line) => line.startsWith('+'));
    expect(added).toEqual([
      '+',
      '+# BEGIN tsvisor (tsvisor install)',
      '+[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tsvisor]',
      '+  runtime_type = "io.containerd.runc.v2"',
      '+  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tsvisor.options]',
      '+    BinaryName = "/opt/t/bin/tsvisor"',
      '+# END tsvisor',
    ]);
    expect(plan('containerd', { [path]: 'version = 3\n' }).after).toContain(
      '[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.tsvisor]',
    );
  });

  it('keeps what was added after our block', () => {
    const block = plan('containerd').after;
    const { after } = plan('containerd', { [path]: `${block}[debug]\n  level = "debug"\n` }, { program: '/p' });
    expect(after).toContain('[debug]\n  level = "debug"\n');
    expect(after.match(/BEGIN tsvisor/g)).toHaveLength(1);
  });

  it.each([
    ['version = 1\n', 'has format version 1; 2 or 3 is needed'],
    ['[plugins]\n', 'has format version 1'],
    ['version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tsvisor]\n', 'has a runtime "tsvisor" already'],
    ["version = 2\n[plugins.'x'.containerd.runtimes.'tsvisor']\n", 'has a runtime "tsvisor" already'],
    ['version = 2\n# BEGIN tsvisor (tsvisor install)\n', 'has no "# END tsvisor"'],
  ])('leaves %j alone', (text, message) => {
    expect(() => plan('containerd', { [path]: text })).toThrow(message);
  });
});

describe('podman', () => {
  it('goes on trusting the logs of the runtimes it trusted', () => {
    expect(plan('podman').after).toContain('runtime_supports_json = ["crun", "runc", "kata", "runsc", "youki", "krun", "tsvisor"]');
    const files = {
      '/usr/share/containers/containers.conf': '[engine]\nruntime_supports_json = ["crun"]\n',
      '/etc/containers/containers.conf': '[engine]\n# runtime_supports_json = ["x"]\n',
      '/etc/containers/containers.conf.d/10-mine.conf': '[engine]\nruntime_supports_json = [\n  "runc", "mine",\n]\n',
    };
    expect(plan('podman', files).after).toContain('runtime_supports_json = ["runc", "mine", "tsvisor"]');
  });
});

describe('CRI-O', () => {
  it('is not configured by an ordinary user', () => {
    expect(() => plan('crio', {}, { userConfig: '/home/a/.config' })).toThrow('as root');
  });
});

describe('a difference', () => {
  it.each([
    ['a\n', 'a\n', []],
    ['', 'a\n', ['+a']],
    ['1\n2\n3\n4\n5\n', '1\n2\n3\n4\nx\n5\n', [' 2', ' 3', ' 4', '+x', ' 5']],
    ['a\nb\n', 'a\n', [' a', '-b']],
    ['a\na\n', 'a\na\na\n', [' a', ' a', '+a']],
  ])('between %j and %j', (before, after, lines) => {
    expect(difference(before, after)).toEqual(lines);
  });
});
