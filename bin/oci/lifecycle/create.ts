/**
 * `create` and `run`: this process becomes the sentry of a container. First everything that has a name on the host, in the order of the OCI runtime
 * specification ("Lifecycle", steps 2 to 5); then bin/sandbox runs it.
 *
 *     claim the id → config.json → cgroup → network namespace → gofer → terminal → hooks → interfaces → sentry
 *
 * The starter (bin/starter) waits for the outcome. When this process fails or dies, the starter runs the verb again, in its aftermath: tidyUp.
 */
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { toBytes, toText } from '../../byte-text.ts';
import { UserError } from '../../errors.ts';
import { runContainerSandbox, tellOutcome } from '../../sandbox/container-sandbox.ts';
import { containerRoots } from '../../sandbox/container-roots.ts';
import { startGofer } from '../../sandbox/gofer-process.ts';
import { enterNetworkNamespace, openContainerNetwork, outsideNetworkNamespace } from '../../sandbox/network-namespace.ts';
import type { ContainerNamespace } from '../../sandbox/network-namespace.ts';
import { outcomePipe } from '../../starter/hand-over.ts';
import { encodeOutcome, OUTCOME_FAILED } from '../../starter/outcome.ts';
import type { Removal } from '../../starter/outcome.ts';
import { prepareCgroup } from '../cgroups/plan.ts';
import type { HostCgroup } from '../cgroups/host-cgroup.ts';
import { readConfig } from '../config/read.ts';
import type { ContainerConfig } from '../config/types.ts';
import { listenForVerbs } from '../control/listener.ts';
import { EXIT_OCI_FAILURE, ociError, reasonOf } from '../errors.ts';
import type { OciGlobals } from '../globals.ts';
import { runHooks } from '../hooks.ts';
import type { ContainerState } from '../hooks.ts';
import type { RuntimeLog } from '../log.ts';
import { CONTROL_SOCKET, ContainerDirectory, STATE_FILE } from '../state/container-directory.ts';
import { identify } from '../state/process-identity.ts';
import { RECORD_VERSION } from '../state/record.ts';
import type { ContainerRecord } from '../state/record.ts';
import { ownChildren } from './children.ts';
import { openConsole, takeTerminal } from './console.ts';
import { writePidFile } from './pid-file.ts';
import { takeStandardFiles, terminalFiles } from './standard-io.ts';
import type { StandardIo } from './standard-io.ts';

export interface CreateOptions {
  readonly id: string;
  readonly bundle: string;
  readonly pidFile: string | null;
  readonly consoleSocket: string | null;
  /** Descriptors after the standard ones that the container gets. */
  readonly preserveFds: number;
  /** `run`: starts it at once. */
  readonly startNow: boolean;
  /** `run` without --detach: the starter removes the container when it has ended. */
  readonly attended: boolean;
}

/** Runs the container to its end; returns the exit status of its first process. Throws UserError, with the starter told. */
export function createContainer(options: CreateOptions, globals: OciGlobals, log: RuntimeLog): number {
  const pipe = outcomePipe();
  if (pipe === null) throw new UserError('dist/starter is missing: run "npm run build" in the tsvisor directory.', EXIT_OCI_FAILURE);
  try {
    return new Creation(options, globals, log).run((removals, more) => tellOutcome(pipe, encodeOutcome(removals, more)));
  } catch (error) {
    tellOutcome(pipe, Uint8Array.of(OUTCOME_FAILED));
    throw error;
  }
}

class Creation {
  private readonly options: CreateOptions;
  private readonly globals: OciGlobals;
  private readonly log: RuntimeLog;
  private readonly bundle: string;
  private readonly directory: ContainerDirectory;
  private readonly created = new Date().toISOString();

  constructor(options: CreateOptions, globals: OciGlobals, log: RuntimeLog) {
    this.options = options;
    this.globals = globals;
    this.log = log;
    this.bundle = resolve(options.bundle);
    this.directory = new ContainerDirectory(globals.root, options.id);
  }

  run(tell: (removals: readonly Removal[], more: boolean) => void): number {
    const { options, log } = this;
    const config = this.readConfig();
    this.checkConsole(config);
    if (!this.directory.claim(this.globals.root)) throw ociError('alreadyExists', options.id);
    this.directory.write(this.record(config, null));
    const warn = (sentence: string): void => log.warn(sentence);
    const cgroup = this.makeCgroup(config);
    const joined = cgroup?.joinInBackground([process.pid, ...ownChildren()]);
    const namespace = enterNetworkNamespace(config.linux.namespaces.network);
    for (const sentence of namespace.warnings) warn(sentence);
    const gofer = startGofer(containerRoots(config), null);
    const io = this.openIo(config);
    const listener = listenForVerbs(this.directory.path);
    this.runHooks(config, namespace);
    const network = openContainerNetwork(namespace, options.startNow ? 'now' : 'at start');
    if (options.pidFile !== null) writePidFile(options.pidFile, process.pid);
    return runContainerSandbox({
      id: options.id,
      config,
      gofer,
      network,
      listener,
      io,
      startNow: options.startNow,
      finishPreparing: () => joined?.(),
      onUp: () => tell(this.removals(cgroup), config.hooks.poststop.length > 0 || config.hooks.poststart.length > 0),
      warn,
      debug: (line) => log.debug(line),
    });
  }

  private readConfig(): ContainerConfig {
    const path = join(this.bundle, 'config.json');
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      throw new UserError(`${path} cannot be read: ${reasonOf(-((error as NodeJS.ErrnoException).errno ?? 0))}`, EXIT_OCI_FAILURE);
    }
    const { config, warnings } = readConfig(text, this.bundle);
    for (const sentence of warnings) this.log.warn(sentence);
    return config;
  }

  private checkConsole({ process: program }: ContainerConfig): void {
    const { consoleSocket, attended } = this.options;
    if (program?.terminal === true && consoleSocket === null && !attended)
      throw new UserError('cannot allocate tty if runc will detach without setting console socket', EXIT_OCI_FAILURE);
    if (program?.terminal !== true && consoleSocket !== null)
      throw new UserError('cannot use console socket if runc will not detach or allocate tty', EXIT_OCI_FAILURE);
  }

  private makeCgroup(config: ContainerConfig): HostCgroup | null {
    const { cgroupsPath, resources } = config.linux;
    const cgroup = prepareCgroup({
      id: this.options.id,
      cgroupsPath: cgroupsPath ?? '',
      resources,
      systemd: this.globals.systemdCgroup,
      warn: (sentence) => this.log.warn(sentence),
    });
    if (cgroup !== null) this.directory.write(this.record(config, cgroup));
    return cgroup;
  }

  private openIo({ process: program }: ContainerConfig): StandardIo {
    const { consoleSocket, preserveFds } = this.options;
    if (consoleSocket === null) return takeStandardFiles(preserveFds);
    const terminal = openConsole(consoleSocket, program?.consoleSize ?? null);
    takeTerminal(terminal);
    return terminalFiles(terminal);
  }

  private runHooks(config: ContainerConfig, namespace: ContainerNamespace): void {
    const state: ContainerState = {
      ociVersion: config.ociVersion,
      id: this.options.id,
      status: 'creating',
      pid: process.pid,
      bundle: this.bundle,
      annotations: config.annotations,
    };
    const outside = { directory: this.bundle, start: <T>(action: () => T): T => outsideNetworkNamespace(namespace, action) };
    runHooks('prestart', config.hooks, state, outside);
    runHooks('createRuntime', config.hooks, state, outside);
    runHooks('createContainer', config.hooks, state, { directory: this.bundle });
  }

  private record(config: ContainerConfig, cgroup: HostCgroup | null): ContainerRecord {
    return {
      version: RECORD_VERSION,
      ociVersion: config.ociVersion,
      id: this.options.id,
      process: identify(process.pid)!,
      sandbox: this.options.id,
      starter: process.ppid,
      bundle: this.bundle,
      rootfs: toText(config.root.path),
      created: this.created,
      owner: userInfo().username,
      annotations: config.annotations,
      cgroup: cgroup?.toState() ?? null,
      hooks: config.hooks,
      attended: this.options.attended,
    };
  }

  /** What an attended starter takes away. */
  private removals(cgroup: HostCgroup | null): Removal[] {
    const { path } = this.directory;
    return [
      { kind: 'file', path: toBytes(join(path, CONTROL_SOCKET)) },
      { kind: 'file', path: toBytes(join(path, STATE_FILE)) },
      { kind: 'directory', path: toBytes(path) },
      ...(cgroup?.toState().directories.map((directory) => ({ kind: 'directory', path: directory.path }) as const) ?? []),
    ];
  }
}
