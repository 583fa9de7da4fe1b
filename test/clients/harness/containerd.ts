/**
 * containerd with a socket, a storage and a state directory of its own, and `ctr` set to it. The shim is containerd's own (io.containerd.runc.v2); the runtime
 * under test takes the place of runc.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, plainEnvironment, type RunOptions, runNative } from '../../harness/run.ts';
import { makeRootfs } from '../../oci/harness/busybox.ts';
import { removeTree } from '../../oci/harness/remove-tree.ts';
import { runtimePath, scratchDirectory } from './under-test.ts';

const IMAGE = 'docker.io/library/busybox:latest';

export class Containerd {
  readonly directory: string;
  #daemon: ChildProcess | null = null;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Why it cannot be used here; empty when it can. */
  static missing(): string {
    for (const program of ['/usr/bin/containerd', '/usr/bin/ctr', '/usr/bin/containerd-shim-runc-v2', '/usr/bin/buildah']) {
      if (!existsSync(program)) return `${program} not installed`;
    }
    if (!existsSync('/bin/busybox')) return 'busybox-static not installed';
    return process.getuid?.() === 0 ? '' : 'needs root';
  }

  static async open(): Promise<Containerd> {
    const made = new Containerd(scratchDirectory('ctd'));
    const at = (name: string) => join(made.directory, name);
    const plugins = '["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]';
    writeFileSync(
      at('config.toml'),
      `version = 2\nroot = "${at('root')}"\nstate = "${at('state')}"\ndisabled_plugins = ${plugins}\n[grpc]\n  address = "${at('sock')}"\n[ttrpc]\n  address = "${at('ttrpc')}"\n`,
    );
    const log = openSync(at('log'), 'w');
    made.#daemon = spawn('containerd', ['--config', at('config.toml')], { env: plainEnvironment, stdio: ['ignore', log, log] });
    closeSync(log);
    for (let tries = 0; tries < 100 && !existsSync(at('sock')); tries++) await sleep(50);
    await made.#importBusybox();
    return made;
  }

  /** An image in a tar, as `buildah push` or `podman save` make it. */
  async #importBusybox(): Promise<void> {
    const [root, tar] = [join(this.directory, 'image'), join(this.directory, 'image.tar')];
    mkdirSync(root);
    makeRootfs(root);
    const buildah = (...args: string[]) => {
      const storage = ['--root', join(this.directory, 'b'), '--runroot', join(this.directory, 'br'), '--storage-driver', 'vfs'];
      const outcome = spawnSync('buildah', [...storage, ...args], { encoding: 'utf8', env: plainEnvironment });
      if (outcome.status !== 0) throw new Error(`buildah ${args[0]}: ${outcome.stderr}`);
      return outcome.stdout.trim();
    };
    const container = buildah('from', 'scratch');
    buildah('copy', container, root, '/');
    buildah('config', '--cmd', 'sh', '--env', 'PATH=/bin', container);
    buildah('commit', '--rm', container, `docker-archive:${tar}:${IMAGE}`);
    await this.ok(['images', 'import', tar]);
  }

  /** The whole command, for tests that run it on a terminal. */
  command(args: readonly string[]): string[] {
    return ['ctr', '--address', join(this.directory, 'sock'), ...args];
  }

  ctr(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return runNative(this.command(args), { timeoutMs: 60_000, ...options });
  }

  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const outcome = await this.ctr(args, options);
    if (outcome.status !== 0) throw new Error(`ctr ${args.join(' ')}: status ${outcome.status}: ${outcome.stderr}${this.log()}`);
    return outcome.stdout.trimEnd();
  }

  /** `ctr run OPTIONS busybox ID COMMAND` with the runtime under test. */
  runArgs(options: readonly string[], id: string, command: readonly string[]): string[] {
    const runtime = ['--runc-binary', runtimePath, '--runc-root', join(this.directory, 'runc')];
    return ['run', '--runtime', 'io.containerd.runc.v2', ...runtime, ...options, IMAGE, id, ...command];
  }

  /** The end of the daemon's log: what its shim said. */
  log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8').split('\n').slice(-5).join('\n');
  }

  async close(): Promise<void> {
    for (const id of (await this.ctr(['containers', 'ls', '--quiet'])).stdout.split('\n').filter((id) => id !== '')) {
      await this.ctr(['tasks', 'kill', '--signal', 'KILL', id]);
      await sleep(200);
      await this.ctr(['tasks', 'rm', '--force', id]);
      await this.ctr(['containers', 'rm', id]);
    }
    const daemon = this.#daemon;
    if (daemon !== null && daemon.exitCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      await ended;
    }
    removeTree(this.directory);
  }
}
