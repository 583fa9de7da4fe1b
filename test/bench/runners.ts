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
}

export const native: Runner = { name: 'native', wrap: (command) => [...command] };

/** The platforms of tsvisor, by the names of their columns. The figures of the first have targets. */
const platforms: readonly Runner[] = ['seccomp', 'ptrace'].map((platform) => ({
  name: platform,
  wrap: (command: readonly string[]) => [tsvisor, 'do', '--platform', platform, '--', ...command],
}));

const runsc: Runner = {
  name: 'runsc',
  wrap: (command, cwd) => ['runsc', '--platform=ptrace', '--network=none', '--ignore-cgroups', 'do', `--cwd=${cwd}`, '--', ...command],
};

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

/** runc runs bundles, not commands: one is written for each run. It cannot take `/` itself as the root, so its parts are mounted. */
function runcIn(scratch: string): Runner {
  const root = join(scratch, 'runc-root');
  let runs = 0;
  mkdirSync(root);
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  return {
    name: 'runc',
    wrap(command, cwd) {
      const id = `tsvisor-bench-${process.pid}-${runs++}`;
      const bundle = join(scratch, id);
      mkdirSync(bundle);
      writeFileSync(join(bundle, 'config.json'), JSON.stringify(ociConfig(root, command, cwd)));
      return ['runc', 'run', '--bundle', bundle, id];
    },
  };
}

function ociConfig(root: string, command: readonly string[], cwd: string): object {
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
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })) },
  };
}

/** Linux, tsvisor's platforms, and the peers that are installed, as far as they can run `true` here. `only` restricts by name; bwrap has to be asked for. */
export async function availableRunners(scratch: string, only: readonly string[]): Promise<Runner[]> {
  const wanted = only.length > 0 ? only : ['native', 'seccomp', 'ptrace', 'runsc', 'proot', 'runc'];
  const found: Runner[] = [];
  for (const runner of [native, ...platforms, runsc, proot, runcIn(scratch), bwrap]) {
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
