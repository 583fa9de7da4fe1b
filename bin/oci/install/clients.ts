/**
 * How each client is told of another runtime: which file, what it contains afterwards, and what to type next. Nothing is written here.
 *
 * Docker has one JSON file: an entry is added to `runtimes`. containerd has one TOML file: a marked block at its end (its drop-in files would
 * replace the whole configuration of a plug-in). podman and CRI-O read directories of drop-in files: one of our own.
 * A second run changes nothing; a run with another path replaces our entry and nothing else.
 */
import { UserError } from '../../errors.ts';

export const CLIENTS = ['docker', 'containerd', 'podman', 'crio'] as const;
export type Client = (typeof CLIENTS)[number];

export interface InstallRequest {
  /** By what name the client knows the runtime. */
  readonly name: string;
  /** Absolute path of the program. */
  readonly program: string;
  /** Where an ordinary user has such files (`~/.config`); null for the machine's, in /etc. */
  readonly userConfig: string | null;
  /** The text of a file, or null when there is none. */
  readonly read: (path: string) => string | null;
  /** Names of the files in a directory, sorted; none when there is no such directory. */
  readonly list: (directory: string) => readonly string[];
}

export interface InstallPlan {
  readonly path: string;
  readonly before: string;
  readonly after: string;
  /** Commands to type, in order. */
  readonly next: readonly string[];
}

const PLANS: Readonly<Record<Client, (request: InstallRequest) => InstallPlan>> = { docker, containerd, podman, crio };

/** @throws UserError when a file cannot be changed safely */
export function planInstallation(client: Client, request: InstallRequest): InstallPlan {
  if (!/^[a-z0-9][a-z0-9_-]*$/i.test(request.name)) throw new UserError(`--name must be letters, digits, - and _, not "${request.name}".`);
  return PLANS[client](request);
}

// --- Docker

function docker({ name, program, userConfig, read }: InstallRequest): InstallPlan {
  const path = `${userConfig ?? '/etc'}/docker/daemon.json`;
  const before = read(path) ?? '';
  const config = parseObject(before, path);
  const runtimes = config['runtimes'] ?? {};
  if (!isObject(runtimes)) throw new UserError(`${path}: "runtimes" is not an object; correct it first.`);
  const known = runtimes[name];
  // Arguments or options that somebody added to our entry stay.
  const entry = { ...(isObject(known) ? known : {}), path: program };
  const changed = { ...config, runtimes: { ...runtimes, [name]: entry } };
  const after = JSON.stringify(changed) === JSON.stringify(config) ? before : `${JSON.stringify(changed, null, indentOf(before))}\n`;
  const reload = userConfig === null ? 'systemctl reload docker' : 'systemctl --user restart docker';
  return { path, before, after, next: [reload, `docker run --rm --runtime=${name} hello-world`] };
}

function parseObject(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    throw new UserError(`${path} is not valid JSON; correct it first.`);
  }
  if (!isObject(value)) throw new UserError(`${path} is not a JSON object; correct it first.`);
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function indentOf(text: string): string {
  return /\n([ \t]+)"/.exec(text)?.[1] ?? '  ';
}

// --- containerd

/** The plug-in that serves Kubernetes, by version of the configuration's format. */
const CRI_PLUGINS: Readonly<Record<string, string>> = { 2: 'io.containerd.grpc.v1.cri', 3: 'io.containerd.cri.v1.runtime' };

function containerd({ name, program, userConfig, read }: InstallRequest): InstallPlan {
  const path = userConfig === null ? '/etc/containerd/config.toml' : `${userConfig}/containerd/config.toml`;
  const before = read(path) ?? '';
  const [begin, end] = [`# BEGIN ${name} (tsvisor install)`, `# END ${name}`];
  const others = withoutBlock(before, begin, end);
  const version = others.trim() === '' ? '2' : (/^version\s*=\s*(\d+)/m.exec(others)?.[1] ?? '1');
  const plugin = CRI_PLUGINS[version];
  if (plugin === undefined)
    throw new UserError(`${path} has format version ${version}; 2 or 3 is needed ("containerd config migrate" converts it).`);
  if (new RegExp(`^\\s*\\[.*\\.runtimes\\.["']?${name}["']?\\]`, 'm').test(others)) {
    throw new UserError(`${path} has a runtime "${name}" already, which tsvisor install did not write; remove it or give another --name.`);
  }
  const table = `plugins."${plugin}".containerd.runtimes.${name}`;
  const block = [
    begin,
    `[${table}]`,
    '  runtime_type = "io.containerd.runc.v2"',
    `  [${table}.options]`,
    `    BinaryName = ${quoted(program)}`,
    end,
  ];
  const start = others.trim() === '' ? 'version = 2\n' : others.replace(/\n*$/, '\n');
  const next = [
    userConfig === null ? 'systemctl restart containerd' : 'systemctl --user restart containerd',
    'kubectl apply -f runtimeclass.yaml   # see docs/OCI.md',
    `ctr run --rm --runc-binary ${program} IMAGE ID`,
  ];
  return { path, before, after: `${start}\n${block.join('\n')}\n`, next };
}

function withoutBlock(text: string, begin: string, end: string): string {
  const lines = text.split('\n');
  const first = lines.indexOf(begin);
  if (first < 0) return text;
  const last = lines.indexOf(end, first);
  if (last < 0) throw new UserError(`the block "${begin}" has no "${end}"; correct the file first.`);
  // The empty line before it is ours too.
  const from = first > 0 && lines[first - 1] === '' ? first - 1 : first;
  return [...lines.slice(0, from), ...lines.slice(last + 1)].join('\n');
}

// --- podman

/** podman's own list; a drop-in file replaces it. */
const JSON_RUNTIMES = ['crun', 'runc', 'kata', 'runsc', 'youki', 'krun'];

function podman(request: InstallRequest): InstallPlan {
  const { name, program, userConfig, read } = request;
  const directory = `${userConfig ?? '/etc'}/containers/containers.conf.d`;
  const file = `50-${name}.conf`;
  const path = `${directory}/${file}`;
  const speaking = [...new Set([...jsonRuntimes(request, file), name])].map(quoted).join(', ');
  const after = `# Written by "tsvisor install --podman".
[engine]
# Runtimes whose --log podman reads: messages of a failed start come from it.
runtime_supports_json = [${speaking}]

[engine.runtimes]
${name} = [${quoted(program)}]
`;
  return { path, before: read(path) ?? '', after, next: [`podman --runtime ${name} run --rm IMAGE COMMAND`] };
}

/** What the files that podman reads before ours say last. */
function jsonRuntimes({ userConfig, read, list }: InstallRequest, ours: string): readonly string[] {
  const places = ['/usr/share/containers', '/etc/containers', ...(userConfig === null ? [] : [`${userConfig}/containers`])];
  const files = places.flatMap((place) => [
    `${place}/containers.conf`,
    ...list(`${place}/containers.conf.d`)
      .filter((name) => name.endsWith('.conf') && name !== ours)
      .map((name) => `${place}/containers.conf.d/${name}`),
  ]);
  const lists = files.map((file) => /^\s*runtime_supports_json\s*=\s*\[([^\]]*)\]/m.exec(read(file) ?? '')?.[1]);
  const effective = lists.findLast((text) => text !== undefined);
  return effective === undefined ? JSON_RUNTIMES : Array.from(effective.matchAll(/["']([^"']*)["']/g), ([, name]) => name!);
}

// --- CRI-O

function crio({ name, program, userConfig, read }: InstallRequest): InstallPlan {
  if (userConfig !== null) throw new UserError('CRI-O is configured in /etc: run tsvisor install --crio as root.');
  const path = `/etc/crio/crio.conf.d/50-${name}.conf`;
  const after = `# Written by "tsvisor install --crio".
[crio.runtime.runtimes.${name}]
runtime_path = ${quoted(program)}
runtime_type = "oci"
runtime_root = "/run/tsvisor"
`;
  return {
    path,
    before: read(path) ?? '',
    after,
    next: ['systemctl reload crio', 'kubectl apply -f runtimeclass.yaml   # see docs/OCI.md'],
  };
}

/** A basic string of TOML, whose escapes are JSON's. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
