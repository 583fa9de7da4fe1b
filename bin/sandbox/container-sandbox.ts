/**
 * Runs the sandbox of a container, and of those that join it later: from what was opened on the host (`PreparedSandbox`) to the end of its first
 * container. The order is that of sentry.ts; the outcome is reported when nothing can go wrong any more that `create` should tell.
 */
import { writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { PlatformLost, PlatformUnavailable } from '#platform/host/errors.ts';
import type { HostFd } from '#platform/contract/host.ts';
import type { LinuxHost } from '#platform/host/host.ts';
import { installSignalForwarding } from '#platform/ptrace/signal-forwarding.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { toBytes } from '../byte-text.ts';
import { dieWithParent } from '../confine/parent.ts';
import { ConfinementReport } from '../confine/report.ts';
import { UserError } from '../errors.ts';
import type { CgroupMeter } from '../oci/cgroups/meter.ts';
import { raiseGuestScore } from '../oci/cgroups/oom-score.ts';
import type { ContainerConfig } from '../oci/config/types.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { ownChildren } from '../oci/lifecycle/children.ts';
import { PATCHING_BY_DEFAULT } from './choose-platform.ts';
import type { StandardIo } from '../oci/lifecycle/standard-io.ts';
import { containerView } from './container-roots.ts';
import { answerVerbs } from './container-verbs.ts';
import { ControlServer } from './control-server.ts';
import { exitStatusOf } from './exit-status.ts';
import { GuestSandbox } from './guest-sandbox.ts';
import { forwardHostSignal } from './host-signals.ts';
import { connectNetwork } from './network.ts';
import type { NetworkPlan } from './network.ts';
import { confine, createKernel, endSandbox, openHost } from './sentry.ts';

/** What has a name on the host, opened. */
export interface PreparedSandbox {
  readonly id: string;
  readonly config: ContainerConfig;
  /** The socket of a gofer that was told what to serve. */
  readonly gofer: HostFd;
  readonly network: NetworkPlan;
  /** What the host counts for the container's cgroup. */
  readonly meter: CgroupMeter;
  /** Where verbs connect. */
  readonly listener: HostFd;
  readonly io: StandardIo;
  /** What hooks inside are told: its state, JSON. */
  readonly state: string;
  /** It ends with the process that started it. */
  readonly attended: boolean;
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
  const hostName = toBytes(hostname());
  // Its cgroup says on which CPUs it is.
  prepared.finishPreparing();
  const host = openHost(debug);
  const made = new Set<string>();
  const kernel = makeKernel(host, config, warn, made);
  try {
    // Isolation took it back, with the user it had.
    if (prepared.attended) dieWithParent(new ConfinementReport());
    confine(kernel);
    connectNetwork(kernel, prepared.network);
    const sandbox = new GuestSandbox(kernel, hostName);
    const { id, gofer, meter, io, listener } = prepared;
    const guest = sandbox.add({
      id,
      config,
      gofer,
      meter,
      inherited: io.files,
      state: prepared.state,
      onGoferLost: endSandbox,
      warn,
      made,
    });
    new ControlServer(kernel, listener, answerVerbs(sandbox)).start();
    installSignalForwarding(host);
    const up = (failure: UserError | null): void => {
      if (failure !== null) throw failure;
      prepared.onUp();
      prepared.io.letGo();
    };
    if (prepared.startNow) guest.start(up);
    else up(null);
    return exitStatusOf(kernel.run());
  } finally {
    // Also after a bug of ours or a lost gofer: no guest may outlive this.
    kernel.platform.destroy();
  }
}

/** `made` gets the destinations of mounts that were missing. */
function makeKernel(host: LinuxHost, config: ContainerConfig, warn: (sentence: string) => void, made: Set<string>): Kernel {
  const { limit } = config.linux.resources.memory;
  const score = raiseGuestScore({
    configured: config.process?.oomScoreAdj ?? null,
    // Those of a pod's other containers are not known yet.
    limitBytes: config.pod.role === 'sandbox' ? 0 : limit !== null && limit > 0 ? limit : null,
    helpers: ownChildren(),
    warn,
  });
  return createKernel(host, {
    platform: null,
    patching: PATCHING_BY_DEFAULT,
    // Not what guests commit is limited, but what they use, and that by the host.
    memoryLimit: null,
    // Guests are shown what their container may use (GuestCgroup).
    memoryShown: null,
    tracer: null,
    onHostSignal: forwardHostSignal,
    view: { ...containerView(config), onMade: (place) => made.add(place) },
    onPlatform: () => score.restore(),
  });
}

/** Tells the starter, unless nobody waits any more. */
export function tellOutcome(pipe: HostFd, bytes: Uint8Array): void {
  try {
    writeSync(pipe, bytes);
  } catch {
    // It was killed. The container is written down, and can be found and deleted.
  }
}
