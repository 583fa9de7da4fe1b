/**
 * podman with a storage of its own, set to the runtime under test, and an image `busybox` that is made here: no registry is asked.
 *
 * What is given to `podman()` is what a user would type after `podman --runtime …/bin/tsvisor`. The limits on open files and processes
 * are stated because podman would ask for more than a machine may allow its root to have.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Outcome, plainEnvironment, type RunOptions, runNative } from '../../harness/run.ts';
import { makeRootfs } from '../../oci/harness/busybox.ts';
import { mountsBeneath, removeTree } from '../../oci/harness/remove-tree.ts';
import { runtimePath, scratchDirectory } from './under-test.ts';

const CONFIGURATION = `[containers]
default_ulimits = ["nofile=1024:2048", "nproc=1024:2048"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
`;

export class Podman {
  readonly directory: string;
  readonly env: Record<string, string>;
  /** The user who runs it, when that is not root. */
  readonly #user: number | undefined;

  private constructor(directory: string, user?: number) {
    this.directory = directory;
    this.#user = user;
    const at = (name: string) => join(directory, name);
    this.env = {
      ...plainEnvironment,
      CONTAINERS_CONF: at('containers.conf'),
      TMPDIR: at('tmp'),
      HOME: directory,
      XDG_RUNTIME_DIR: at('tmp'),
    };
  }

  /** Why it cannot be used here; empty when it can. */
  static missing(): string {
    if (!existsSync('/usr/bin/podman') || !existsSync('/usr/bin/conmon')) return 'podman, conmon not installed';
    if (!existsSync('/bin/busybox')) return 'busybox-static not installed';
    return process.getuid?.() === 0 ? '' : 'needs root';
  }

  static async open(user?: number): Promise<Podman> {
    const made = new Podman(scratchDirectory('pod'), user);
    writeFileSync(join(made.directory, 'containers.conf'), CONFIGURATION);
    for (const name of ['tmp', 'image']) mkdirSync(join(made.directory, name));
    makeRootfs(join(made.directory, 'image'));
    if (user !== undefined) spawnSync('chown', ['-R', `${user}:${user}`, made.directory]);
    await made.importImage(join(made.directory, 'image'), 'busybox');
    return made;
  }

  /** `podman import`: an image from a directory. */
  async importImage(root: string, name: string): Promise<void> {
    const tar = join(this.directory, 'image.tar');
    const packed = spawnSync('tar', ['-C', root, '-cf', tar, '.'], { encoding: 'utf8' });
    if (packed.status !== 0) throw new Error(`tar: ${packed.stderr}`);
    const outcome = await this.podman(['import', tar, name], { timeoutMs: 150_000 });
    if (outcome.status !== 0) throw new Error(`podman import: ${outcome.stderr}`);
  }

  /** The whole command, for tests that run it on a terminal. */
  command(args: readonly string[]): string[] {
    const at = (name: string) => join(this.directory, name);
    const storage = ['--root', at('root'), '--runroot', at('run'), '--tmpdir', at('tmp'), '--network-config-dir', at('networks')];
    if (this.#user === undefined) return ['podman', ...storage, '--storage-driver', 'overlay', '--runtime', runtimePath, ...args];
    // Without ranges of subordinate ids there is one user inside, and no file can belong to another.
    const ordinary = ['setpriv', `--reuid=${this.#user}`, `--regid=${this.#user}`, '--clear-groups', '--'];
    const driver = ['--storage-driver', 'vfs', '--storage-opt', 'vfs.ignore_chown_errors=true'];
    return [...ordinary, 'podman', ...storage, ...driver, '--runtime', runtimePath, ...args];
  }

  /** Runs `podman ARGS` to its end. */
  podman(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return runNative(this.command(args), { env: this.env, timeoutMs: 60_000, ...options });
  }

  /** The same for a command that has to succeed; its output without the newline. */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const outcome = await this.podman(args, options);
    if (outcome.status !== 0) throw new Error(`podman ${args.join(' ')}: status ${outcome.status}: ${outcome.stderr}`);
    return outcome.stdout.trimEnd();
  }

  /** One value of `podman inspect`, such as `.State.Status`. */
  inspect(container: string, field: string): Promise<string> {
    return this.ok(['inspect', '--format', `{{${field}}}`, container]);
  }

  /** Removes every container and the storage. */
  async close(): Promise<void> {
    await this.podman(['rm', '--force', '--all', '--time', '0']);
    this.#endPauseProcess();
    // The overlay driver mounts its directory on itself and leaves that.
    for (const point of mountsBeneath(this.directory).filter((path) => path.endsWith('/root/overlay'))) spawnSync('umount', [point]);
    removeTree(this.directory);
  }

  /** An ordinary user's podman leaves a process that holds its user namespace. */
  #endPauseProcess(): void {
    const files = ['tmp/pause.pid', 'tmp/libpod/tmp/pause.pid'].map((name) => join(this.directory, name));
    for (const file of files.filter((name) => existsSync(name))) process.kill(Number(readFileSync(file, 'utf8')), 'SIGKILL');
  }
}
