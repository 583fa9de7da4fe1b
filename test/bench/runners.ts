/**
 * The environments that are compared: Linux itself, tsvisor on each of its platforms, and whichever other sandboxes are installed.
 *
 * A runner turns a command into the command that runs it there. All of them see the host's files and may write to the current
 * directory or to a copy of it; none has a network. What a peer needs beyond options (runc: a bundle) is prepared once.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { whyMissing } from '../harness/platform-under-test.ts';
import { plainEnvironment, repository, tsvisor } from '../harness/run.ts';

export interface Runner {
  readonly name: string;
  /** The command that runs `command` in directory `cwd` of this environment. */
  wrap(command: readonly string[], cwd: string): string[];
  /** The same with the network of a namespace (ip-netns(8)): as its own, or taken over by a network stack of the sandbox. */
  wrapLinked?(command: readonly string[], cwd: string, namespace: string): string[];
}

const inNamespace = (namespace: string, command: readonly string[]) => ['ip', 'netns', 'exec', namespace, ...command];

export const native: Runner = {
  name: 'native',
  wrap: (command) => [...command],
  wrapLinked: (command, _, namespace) => inNamespace(namespace, command),
};

/** The platforms of tsvisor, by the names of their columns. The figures of the first have targets. */
const platforms: readonly Runner[] = ['seccomp', 'ptrace'].map((platform) => ({
  name: platform,
  wrap: (command: readonly string[]) => [tsvisor, 'do', '--platform', platform, '--', ...command],
  wrapLinked: (command: readonly string[], _: string, namespace: string) =>
    inNamespace(namespace, [tsvisor, 'do', '--platform', platform, '--net=sandbox', '--', ...command]),
}));

const runscOptions = ['--platform=ptrace', '--ignore-cgroups'];

/**
 * A link is taken over from the namespace of a bundle only. runsc looks whether the namespace is the machine's first one by a file of /proc/sys that newer
 * kernels show in all of them: it is hidden.
 */
function runscIn(bundles: Bundles): Runner {
  return {
    name: 'runsc',
    wrap: (command, cwd) => ['runsc', ...runscOptions, '--network=none', 'do', `--cwd=${cwd}`, '--', ...command],
    wrapLinked: (command, cwd, namespace) => {
      const { id, bundle } = bundles.write(command, cwd, `/run/netns/${namespace}`);
      const hide = 'mount -t tmpfs none /proc/sys/net/core && exec "$@"';
      const run = ['runsc', ...runscOptions, '--network=sandbox', 'run', '--bundle', bundle, id];
      return inNamespace(namespace, ['sh', '-c', hide, 'sh', ...run]);
    },
  };
}

const proot: Runner = { name: 'proot', wrap: (command, cwd) => ['proot', '-w', cwd, ...command] };

const bwrap: Runner = {
  name: 'bwrap',
  wrap: (command, cwd) => {
    const mounts = ['--ro-bind', '/', '/', '--bind', cwd, cwd, '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp'];
    // In a user namespace root could not read everything it can read outside.
    const namespaces = process.getuid?.() === 0 ? ['pid', 'ipc', 'uts', 'net'].map((name) => `--unshare-${name}`) : ['--unshare-all'];
    return ['bwrap', ...namespaces, '--die-with-parent', ...mounts, '--chdir', cwd, '--', ...command];
  },
};

/** Bundles for runtimes that run no commands: one for each run. They cannot take `/` itself as the root, so its parts are mounted. */
class Bundles {
  private readonly scratch: string;
  private readonly root: string;
  private runs = 0;

  constructor(scratch: string) {
    this.scratch = scratch;
    this.root = join(scratch, 'bundle-root');
    mkdirSync(this.root);
    for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(this.root, name));
  }

  /** `network`: path of a namespace to join, null for a new one. */
  write(command: readonly string[], cwd: string, network: string | null): { id: string; bundle: string } {
    const id = `tsvisor-bench-${process.pid}-${this.runs++}`;
    const bundle = join(this.scratch, id);
    mkdirSync(bundle);
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(ociConfig(this.root, command, cwd, network)));
    return { id, bundle };
  }
}

function runcIn(bundles: Bundles): Runner {
  return {
    name: 'runc',
    wrap(command, cwd) {
      const { id, bundle } = bundles.write(command, cwd, null);
      return ['runc', 'run', '--bundle', bundle, id];
    },
  };
}

function ociConfig(root: string, command: readonly string[], cwd: string, network: string | null): object {
  const bind = (path: string, mode: 'ro' | 'rw') => ({ destination: path, type: 'bind', source: path, options: ['rbind', mode] });
  return {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: command, cwd, env: Object.entries(plainEnvironment).map(([k, v]) => `${k}=${v}`) },
    root: { path: root },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
      ...['/usr', '/etc', repository].map((path) => bind(path, 'ro')),
      bind(cwd, 'rw'),
    ],
    linux: {
      namespaces: [
        ...['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
        { type: 'network', ...(network === null ? {} : { path: network }) },
      ],
    },
  };
}

/** Linux, tsvisor's platforms, and the peers that are installed, as far as they can run `true` here. `only` restricts by name; bwrap has to be asked for. */
export async function availableRunners(scratch: string, only: readonly string[]): Promise<Runner[]> {
  const wanted = only.length > 0 ? only : ['native', 'seccomp', 'ptrace', 'runsc', 'proot', 'runc'];
  const found: Runner[] = [];
  const bundles = new Bundles(scratch);
  for (const runner of [native, ...platforms, runscIn(bundles), proot, runcIn(bundles), bwrap]) {
    if (!wanted.includes(runner.name)) continue;
    const missing = platforms.includes(runner) ? await whyMissing(runner.name) : whyUnusable(runner, scratch);
    if (missing === '') found.push(runner);
    else console.log(`${runner.name} is left out: ${missing}`);
  }
  return found;
}

function whyUnusable(runner: Runner, scratch: string): string {
  const [program, ...args] = runner.wrap(['/bin/true'], scratch);
  const trial = spawnSync(program ?? '', args, { env: plainEnvironment, cwd: scratch, stdio: 'ignore', timeout: 20_000 });
  if (trial.error !== undefined) return 'not installed';
  return trial.status === 0 ? '' : 'installed, but it cannot run here';
}
