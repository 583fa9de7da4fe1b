/**
 * `create` and `run`: this process becomes the sentry of a container. First everything that has a name on the host, in the order of the OCI runtime
 * specification ("Lifecycle", steps 2 to 5); then bin/sandbox runs it.
 *
 *     claim the id → config.json → cgroup → network namespace → gofer → terminal → hooks → interfaces → sentry
 *
 * The starter (bin/starter) waits for the outcome. When this process fails or dies, the starter runs the verb again, in its aftermath: tidyUp.
 */
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { toBytes, toText } from '../../byte-text.ts';
import { UserError } from '../../errors.ts';
import { runContainerSandbox, tellOutcome } from '../../sandbox/container-sandbox.ts';
import { enterContainerView, openNamespaces } from '../../confine/container-view.ts';
import { outliveParent } from '../../confine/parent.ts';
import { ConfinementReport } from '../../confine/report.ts';
import { containerRoots, containerView } from '../../sandbox/container-roots.ts';
import { startGofer } from '../../sandbox/gofer-process.ts';
import { enterNetworkNamespace, openContainerNetwork, outsideNetworkNamespace } from '../../sandbox/network-namespace.ts';
import type { ContainerNamespace } from '../../sandbox/network-namespace.ts';
import { becomeStandIn } from '../../stand-in/launch.ts';
import { outcomePipe } from '../../starter/hand-over.ts';
import { encodeOutcome, OUTCOME_FAILED } from '../../starter/outcome.ts';
import type { Removal } from '../../starter/outcome.ts';
import { beginCgroup, prepareCgroup } from '../cgroups/plan.ts';
import type { CgroupHost } from '../cgroups/plan.ts';
import type { CgroupState, HostCgroup } from '../cgroups/host-cgroup.ts';
import { openMeter } from '../cgroups/meter.ts';
import type { ContainerConfig } from '../config/types.ts';
import { listenForVerbs } from '../control/listener.ts';
import type { PodReply } from '../control/protocol.ts';
import { EXIT_OCI_FAILURE, ociError } from '../errors.ts';
import type { OciGlobals } from '../globals.ts';
import { runHooks } from '../hooks.ts';
import type { ContainerState } from '../hooks.ts';
import type { RuntimeLog } from '../log.ts';
import { CONTROL_SOCKET, ContainerDirectory, STATE_FILE } from '../state/container-directory.ts';
import { identify } from '../state/process-identity.ts';
import { RECORD_VERSION } from '../state/record.ts';
import type { ContainerRecord } from '../state/record.ts';
import { ownChildren } from './children.ts';
import { readBundle } from './bundle.ts';
import { earlyCgroup } from './early-cgroup.ts';
import { checkConsole, openConsole, takeTerminal } from './console.ts';
import { KnownContainer } from './known-container.ts';
import { preparePoststart } from './poststart.ts';
import { applyPodLimits } from './pod-cgroup.ts';
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
  /** `run --keep`: the starter leaves it where it is. */
  readonly keep: boolean;
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

/** A container that has its name and its cgroup. */
interface Begun {
  readonly config: ContainerConfig;
  /** The text of config.json. */
  readonly text: string;
  /** The container in whose sandbox this one is to run, or null for one of its own. */
  readonly sandbox: KnownContainer | null;
  readonly cgroup: HostCgroup | null;
  /** Waits until this process is in its cgroup, with those it has started. */
  readonly joined: () => void;
  /** To be called when the container is up: tells the starter, and whoever runs hooks then. */
  readonly up: () => void;
}

/** Tells the starter what is to be removed when all is over, and whether there is `more` to do than that. */
type Tell = (removals: readonly Removal[], more: boolean) => void;

class Creation {
  private readonly options: CreateOptions;
  private readonly globals: OciGlobals;
  private readonly log: RuntimeLog;
  private readonly warn: (sentence: string) => void;
  private readonly bundle: string;
  private readonly directory: ContainerDirectory;
  private readonly created = new Date().toISOString();
  private sandboxId: string;

  constructor(options: CreateOptions, globals: OciGlobals, log: RuntimeLog) {
    this.options = options;
    this.globals = globals;
    this.log = log;
    this.warn = (sentence) => log.warn(sentence);
    this.bundle = resolve(options.bundle);
    this.directory = new ContainerDirectory(globals.root, options.id);
    this.sandboxId = options.id;
  }

  run(tell: Tell): number {
    const begun = this.begin(tell);
    return begun.sandbox === null ? this.becomeSentry(begun) : this.join(begun.sandbox, begun);
  }

  private begin(tell: Tell): Begun {
    const cgroupHost = earlyCgroup ?? beginCgroup();
    const { config, text } = readBundle(this.bundle, this.globals.root, this.warn);
    const sandbox = this.sandboxOf(config);
    const { consoleSocket, attended } = this.options;
    checkConsole(config.process?.terminal === true, consoleSocket, !attended);
    if (sandbox !== null) this.sandboxId = sandbox.id;
    if (!this.directory.claim(this.record(config, null))) throw ociError('alreadyExists', this.options.id);
    const cgroup = this.makeCgroup(config, cgroupHost);
    // Before the hooks, which look at the cgroup of the process they are told; they are in it themselves, as children of this one.
    const joined = cgroup?.joinInBackground([process.pid, ...ownChildren()]);
    return { config, text, sandbox, cgroup, joined: () => joined?.(ownChildren()), up: this.prepareUp(config, cgroup, tell) };
  }

  private prepareUp(config: ContainerConfig, cgroup: HostCgroup | null, tell: Tell): () => void {
    const { keep, startNow } = this.options;
    const { hooks } = config;
    const runPoststart = startNow ? preparePoststart({ hooks, state: this.state(config, 'running'), log: this.globals.log }) : () => {};
    return () => {
      runPoststart();
      if (keep) tell([], false);
      else tell(this.removals(cgroup), hooks.poststop.length > 0);
    };
  }

  private becomeSentry({ config, cgroup, joined, up }: Begun): number {
    const { id, attended, startNow, pidFile } = this.options;
    const namespace = this.enterNetwork(config, cgroup);
    const gofer = startGofer(containerRoots(config), null, config.linux);
    const io = this.openIo(config);
    const listener = listenForVerbs(this.directory.path);
    this.runHooks(config, namespace);
    const network = openContainerNetwork(namespace, startNow ? 'now' : 'at start');
    if (pidFile !== null) writePidFile(pidFile, process.pid);
    // From here on what is written down finds it, whoever has died.
    if (!attended) outliveParent();
    return runContainerSandbox({
      id,
      config,
      gofer,
      network,
      meter: openMeter(cgroup),
      listener,
      io,
      state: JSON.stringify(this.state(config, 'created')),
      attended,
      startNow,
      finishPreparing: joined,
      onUp: up,
      warn: this.warn,
      debug: (line) => this.log.debug(line),
    });
  }

  private enterNetwork(config: ContainerConfig, cgroup: HostCgroup | null): ContainerNamespace {
    const namespace = enterNetworkNamespace(config.linux.namespaces.network);
    for (const sentence of namespace.warnings) this.warn(sentence);
    // With them: `state` shows what the container does not get.
    if (namespace.warnings.length > 0) this.directory.write(this.record(config, cgroup?.toState() ?? null));
    return namespace;
  }

  /** The container in whose sandbox this one runs, or null for one of its own. */
  private sandboxOf({ pod }: ContainerConfig): KnownContainer | null {
    if (pod.role !== 'member') return null;
    const sandbox = KnownContainer.tryFind(this.globals.root, pod.sandboxId!);
    if (sandbox === null)
      this.log.warn(`the pod's sandbox ${pod.sandboxId} is no container of tsvisor: this one gets a sandbox of its own`);
    return sandbox;
  }

  /** Hands the container over to the sandbox, and becomes its process on the host. */
  private join(sandbox: KnownContainer, { config, text, joined, up }: Begun): number {
    const { id, attended, pidFile, startNow } = this.options;
    const gofer = startGofer(containerRoots(config), null, config.linux);
    const io = this.openIo(config);
    this.runHooks(config, null);
    joined();
    const connection = sandbox.connectFor('exec');
    const flags = io.files.map((file) => file?.flags ?? null);
    const descriptors = io.files.filter((file) => file !== null).map(({ fd }) => fd);
    const reply = connection.ask<PodReply>(
      {
        container: id,
        verb: 'join',
        config: text,
        bundle: this.bundle,
        sandbox: sandbox.id,
        state: JSON.stringify(this.state(config, 'created')),
        files: flags,
      },
      [gofer, ...descriptors],
    );
    applyPodLimits(sandbox, reply, this.warn);
    if (startNow) KnownContainer.find(this.globals.root, id).ask({ verb: 'start', interfaces: [] });
    if (pidFile !== null) writePidFile(pidFile, process.pid);
    if (!attended) outliveParent();
    up();
    return becomeStandIn(connection.fd, () => enterContainerView(containerView(config), openNamespaces(), new ConfinementReport()));
  }

  private makeCgroup(config: ContainerConfig, host: CgroupHost): HostCgroup | null {
    const { cgroupsPath, resources } = config.linux;
    const cgroup = prepareCgroup(
      {
        id: this.options.id,
        cgroupsPath: cgroupsPath ?? '',
        resources,
        systemd: this.globals.systemdCgroup,
        rootless: this.globals.rootless,
        warn: this.warn,
        onPlanned: (state) => this.directory.write(this.record(config, state)),
      },
      host,
    );
    this.directory.write(this.record(config, cgroup?.toState() ?? null));
    return cgroup;
  }

  private openIo({ process: program }: ContainerConfig): StandardIo {
    const { consoleSocket, preserveFds } = this.options;
    if (consoleSocket === null) return takeStandardFiles(preserveFds);
    const terminal = openConsole(consoleSocket, program?.consoleSize ?? null);
    takeTerminal(terminal);
    return terminalFiles(terminal);
  }

  /** `namespace`: the network's, if it is the container's own. */
  private runHooks(config: ContainerConfig, namespace: ContainerNamespace | null): void {
    const state = this.state(config, 'creating');
    const inside = { directory: this.bundle };
    const outside =
      namespace === null ? inside : { ...inside, start: <T>(action: () => T): T => outsideNetworkNamespace(namespace, action) };
    runHooks('prestart', config.hooks, state, outside);
    runHooks('createRuntime', config.hooks, state, outside);
    runHooks('createContainer', config.hooks, state, inside);
  }

  private state({ ociVersion, annotations }: ContainerConfig, status: ContainerState['status']): ContainerState {
    return { ociVersion, id: this.options.id, status, pid: process.pid, bundle: this.bundle, annotations };
  }

  private record(config: ContainerConfig, cgroup: CgroupState | null): ContainerRecord {
    return {
      version: RECORD_VERSION,
      ociVersion: config.ociVersion,
      id: this.options.id,
      process: identify(process.pid)!,
      sandbox: this.sandboxId,
      starter: process.ppid,
      bundle: this.bundle,
      rootfs: toText(config.root.path),
      created: this.created,
      owner: userName(),
      annotations: config.annotations,
      warnings: this.log.warnings,
      cgroup,
      hooks: config.hooks,
      attended: this.options.attended,
    };
  }

  /** What an attended starter takes away. */
  private removals(cgroup: HostCgroup | null): Removal[] {
    const { path } = this.directory;
    const cgroups = (cgroup?.state.directories ?? []).flatMap(({ path: own, madeParents }) => [own, ...madeParents.toReversed()]);
    // The state last, as whoever finds it can remove the rest.
    return [
      ...cgroups.map((directory) => ({ kind: 'directory', path: directory }) as const),
      { kind: 'file', path: toBytes(join(path, CONTROL_SOCKET)) },
      { kind: 'file', path: toBytes(join(path, STATE_FILE)) },
      { kind: 'directory', path: toBytes(path) },
    ];
  }
}

/** The number, for a user without a name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid!());
  }
}
