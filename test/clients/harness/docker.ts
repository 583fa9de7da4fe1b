/**
 * A Docker engine with a socket, a storage and a network namespace of its own, in which it makes its bridges; the runtime under test is its default. An image
 * `busybox` is made here: no registry is asked.
 *
 * What is given to `docker()` is what a user would type after `docker`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, plainEnvironment, type RunOptions, runNative } from '../../harness/run.ts';
import { makeRootfs } from '../../oci/harness/busybox.ts';
import { mountsBeneath, removeTree } from '../../oci/harness/remove-tree.ts';
import { runtimePath, scratchDirectory } from './under-test.ts';

const START_TRIES = 300;
const TRY_MS = 100;

export class Docker {
  readonly directory: string;
  readonly env: Record<string, string>;
  /** The network namespace in which the engine and its bridges live. */
  readonly namespace = `tsv-docker-${process.pid}`;
  #daemon: ChildProcess | null = null;

  private constructor(directory: string) {
    this.directory = directory;
    this.env = { ...plainEnvironment, DOCKER_HOST: `unix://${join(directory, 'sock')}`, DOCKER_BUILDKIT: '0', HOME: directory };
  }

  /** Why it cannot be used here; empty when it can. */
  static missing(): string {
    for (const program of ['/usr/sbin/dockerd', '/usr/bin/docker', '/usr/bin/containerd', '/usr/sbin/iptables'])
      if (!existsSync(program)) return `${program} not installed`;
    if (!existsSync('/bin/busybox')) return 'busybox-static not installed';
    return process.getuid?.() === 0 ? '' : 'needs root';
  }

  /** Or why the machine does not let it start, with which the runtime has nothing to do. */
  static async open(): Promise<Docker | string> {
    const made = new Docker(scratchDirectory('dkr'));
    made.#ip('netns', 'add', made.namespace);
    made.#ip('-n', made.namespace, 'link', 'set', 'lo', 'up');
    made.#start();
    if (await made.#hasStarted()) {
      await made.#importBusybox();
      return made;
    }
    const reason = `dockerd does not start: ${made.log()}`;
    await made.close();
    return reason;
  }

  async #hasStarted(): Promise<boolean> {
    for (let tries = 0; tries < START_TRIES && this.#daemon!.exitCode === null; tries++) {
      if ((await this.docker(['version'])).status === 0) return true;
      await sleep(TRY_MS);
    }
    return false;
  }

  #start(): void {
    const at = (name: string) => join(this.directory, name);
    const own = ['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('pid'), '--host', this.env.DOCKER_HOST!];
    const runtime = ['--add-runtime', `under-test=${runtimePath}`, '--default-runtime', 'under-test'];
    const machine = ['--storage-driver', 'vfs', '--exec-opt', 'native.cgroupdriver=cgroupfs'];
    const log = openSync(at('log'), 'w');
    const command = [`--net=/run/netns/${this.namespace}`, 'dockerd', ...own, ...runtime, ...machine];
    this.#daemon = spawn('nsenter', command, { env: plainEnvironment, stdio: ['ignore', log, log] });
    closeSync(log);
  }

  async #importBusybox(): Promise<void> {
    const [root, tar] = [join(this.directory, 'image'), join(this.directory, 'image.tar')];
    mkdirSync(root);
    makeRootfs(root);
    spawnSync('tar', ['-C', root, '-cf', tar, '.']);
    await this.ok(['import', tar, 'busybox']);
  }

  #ip(...args: string[]): void {
    const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
  }

  /** The whole command, for tests that run it on a terminal. */
  command(args: readonly string[]): string[] {
    return ['/usr/bin/docker', ...args];
  }

  docker(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return runNative(this.command(args), { env: this.env, timeoutMs: 60_000, ...options });
  }

  /** The same for a command that has to succeed; its output without the newline. */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const outcome = await this.docker(args, options);
    if (outcome.status !== 0) throw new Error(`docker ${args.join(' ')}: status ${outcome.status}: ${outcome.stderr}`);
    return outcome.stdout.trimEnd();
  }

  /** One value of `docker inspect`, such as `.State.Status`. */
  inspect(container: string, field: string): Promise<string> {
    return this.ok(['inspect', '--format', `{{${field}}}`, container]);
  }

  /** A command beside the engine, where its published ports and bridges are. */
  besideEngine(command: readonly string[]): string[] {
    return ['nsenter', `--net=/run/netns/${this.namespace}`, ...command];
  }

  /** The end of the engine's log. */
  log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8').split('\n').slice(-5).join('\n');
  }

  /** Removes every container, the storage and the namespace. */
  async close(): Promise<void> {
    const containers = (await this.docker(['ps', '--all', '--quiet'])).stdout.split('\n').filter((id) => id !== '');
    if (containers.length > 0) await this.docker(['rm', '--force', ...containers]);
    const daemon = this.#daemon;
    if (daemon !== null && daemon.exitCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      await ended;
    }
    this.#ip('netns', 'del', this.namespace);
    // An engine that does not start has mounted its directory on itself and leaves that.
    for (const point of mountsBeneath(this.directory).filter((path) => path.endsWith('/data'))) spawnSync('umount', [point]);
    removeTree(this.directory);
  }
}
