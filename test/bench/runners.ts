/**
 * The environments that are compared: Linux itself, tsvisor, and whichever other sandboxes are installed.
 *
 * A runner turns a command into the command that runs it there. All of them see the host's files and may write to the current
 * directory or to a copy of it; none has a network. What a peer needs beyond options (runc: a bundle) is prepared once.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { insideCommand, plainEnvironment, repository } from '../harness/run.ts';

export interface Runner {
  readonly name: string;
  /** The command that runs `command` in directory `cwd` of this environment. */
  wrap(command: readonly string[], cwd: string): string[];
}

const native: Runner = { name: 'native', wrap: (command) => [...command] };
const tsvisor: Runner = { name: 'tsvisor', wrap: (command) => insideCommand(command) };

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

/** Linux, tsvisor, and the peers that are installed and can run `true` here. `only` restricts by name. */
export function availableRunners(scratch: string, only: readonly string[]): Runner[] {
  const all = [native, tsvisor, runsc, proot, runcIn(scratch), bwrap];
  return all.filter((runner) => {
    if (only.length > 0 && !only.includes(runner.name)) return false;
    if (runner === native || runner === tsvisor) return true;
    const [program, ...args] = runner.wrap(['/bin/true'], scratch);
    const trial = spawnSync(program ?? '', args, { env: plainEnvironment, cwd: scratch, stdio: 'ignore', timeout: 20_000 });
    const missing = trial.error !== undefined;
    if (!missing && trial.status !== 0) console.log(`${runner.name} is installed but cannot run here; left out`);
    return trial.status === 0;
  });
}
