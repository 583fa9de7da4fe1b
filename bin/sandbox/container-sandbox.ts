/**
 * Runs the sandbox of a container, and of those that join it later: from what was opened on the host (`PreparedSandbox`) to the end of its first
 * container. The order is that of sentry.ts; the outcome is reported when nothing can go wrong any more that `create` should tell.
 */
import { writeSync } from 'node:fs';
import { PlatformLost, PlatformUnavailable } from '#platform/host/errors.ts';
import type { HostFd } from '#platform/contract/host.ts';
import type { LinuxHost } from '#platform/host/host.ts';
import { installSignalForwarding } from '#platform/ptrace/signal-forwarding.ts';
import { HostFiles } from '#sentry/fs/host-file/host-files.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { UserError } from '../errors.ts';
import { raiseGuestScore } from '../oci/cgroups/oom-score.ts';
import type { ContainerConfig } from '../oci/config/types.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { PATCHING_BY_DEFAULT } from './choose-platform.ts';
import type { StandardIo } from '../oci/lifecycle/standard-io.ts';
import { buildContainerTree } from './container-tree.ts';
import { ContainerVerbs } from './container-verbs.ts';
import { ControlServer } from './control-server.ts';
import { exitStatusOf } from './exit-status.ts';
import { GuestContainer } from './guest-container.ts';
import { forwardHostSignal } from './host-signals.ts';
import { connectNetwork } from './network.ts';
import type { NetworkPlan } from './network.ts';
import { SandboxFiles } from './sandbox-files.ts';
import { confine, connectGofer, createKernel, endSandbox, openHost } from './sentry.ts';

/** What has a name on the host, opened. */
export interface PreparedSandbox {
  readonly id: string;
  readonly config: ContainerConfig;
  /** The socket of a gofer that was told what to serve. */
  readonly gofer: HostFd;
  readonly network: NetworkPlan;
  /** Where verbs connect. */
  readonly listener: HostFd;
  readonly io: StandardIo;
  /** `run`: the container is started at once. */
  readonly startNow: boolean;
  /** Waits for what was begun on the host meanwhile; may throw UserError. */
  readonly finishPreparing: () => void;
  /** Told once, when the container is created (and, for `run`, started). */
  readonly onUp: () => void;
  readonly warn: (sentence: string) => void;
  readonly debug: (line: string) => void;
}

/** Runs it to its end; returns the exit status of its first process. Throws UserError. */
export function runContainerSandbox(prepared: PreparedSandbox): number {
  try {
    return runToEnd(prepared);
  } catch (error) {
    if (error instanceof PlatformUnavailable || error instanceof PlatformLost) throw new UserError(error.message, EXIT_OCI_FAILURE);
    throw error;
  }
}

function runToEnd(prepared: PreparedSandbox): number {
  const { config, warn, debug } = prepared;
  const host = openHost(debug);
  const kernel = makeKernel(host, config, warn);
  try {
    prepared.finishPreparing();
    confine(kernel);
    const guest = makeContainer(kernel, prepared);
    serveVerbs(kernel, prepared, guest);
    installSignalForwarding(host);
    if (prepared.startNow) guest.start();
    prepared.onUp();
    prepared.io.letGo();
    return exitStatusOf(kernel.run());
  } finally {
    // Also after a bug of ours or a lost gofer: no guest may outlive this.
    kernel.platform.destroy();
  }
}

function makeKernel(host: LinuxHost, config: ContainerConfig, warn: (sentence: string) => void): Kernel {
  const score = raiseGuestScore(config.process?.oomScoreAdj ?? null, warn);
  const { limit } = config.linux.resources.memory;
  return createKernel(host, {
    platform: null,
    patching: PATCHING_BY_DEFAULT,
    // Not what guests commit is limited, but what they use, and that by the host.
    memoryLimit: null,
    memoryShown: limit !== null && limit > 0 ? limit : null,
    tracer: null,
    onHostSignal: forwardHostSignal,
    onPlatform: () => score.restore(),
  });
}

/** The sandbox's own container. */
function makeContainer(kernel: Kernel, { id, config, gofer, network, io, warn }: PreparedSandbox): GuestContainer {
  const { pidsLimit } = config.linux.resources;
  const container = kernel.addContainer(id, {
    hostname: config.hostname ?? '',
    ...(config.domainname === null ? {} : { domainname: config.domainname }),
    ...(pidsLimit !== null && pidsLimit > 0 ? { pidsMax: pidsLimit } : {}),
  });
  const connection = connectGofer(kernel, gofer, endSandbox);
  connectNetwork(kernel, network);
  const tree = buildContainerTree(new SandboxFiles(kernel), container, connection, config, { types: new Map(), warn });
  const files = new HostFiles(kernel.host, kernel);
  files.registerWith(tree.namespace.vfs.special);
  const place = { container, tree, files, personality: config.linux.personality ?? 0 };
  return new GuestContainer({ config, place, inherited: io.files, prepare: () => {} });
}

function serveVerbs(kernel: Kernel, { id, listener }: PreparedSandbox, guest: GuestContainer): void {
  const verbs = new ContainerVerbs(kernel);
  verbs.add(id, guest);
  new ControlServer(kernel, listener, (request, descriptors, client) => verbs.answer(request, descriptors, client)).start();
}

/** Writes the outcome for the starter and closes its pipe. */
export function tellOutcome(pipe: HostFd, bytes: Uint8Array): void {
  writeSync(pipe, bytes);
}
