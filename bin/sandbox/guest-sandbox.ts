/**
 * The containers of one sentry: its own, and those of a pod that join it. They share the kernel, the network and System V IPC; each has its own
 * gofer, tree, host name and, unless its configuration names another's, PID namespace.
 */
import type { HostFd } from '#platform/contract/host.ts';
import { HostFiles } from '#sentry/fs/host-file/host-files.ts';
import { ESRCH } from '#sentry/abi/errno.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import type { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { killContainer } from '#sentry/kernel/container-signals.ts';
import type { Container } from '#sentry/kernel/container.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { GuestCgroup } from '../oci/cgroups/guest-cgroup.ts';
import type { CgroupMeter } from '../oci/cgroups/meter.ts';
import type { ContainerConfig } from '../oci/config/types.ts';
import { ContainerFilter } from './container-filter.ts';
import { buildContainerTree } from './container-tree.ts';
import { GuestContainer } from './guest-container.ts';
import { SandboxFiles } from './sandbox-files.ts';
import { connectGofer } from './sentry.ts';
import type { Inherited } from './standard-files.ts';

export interface NewContainer {
  readonly id: string;
  readonly config: ContainerConfig;
  /** The socket of its gofer. */
  readonly gofer: HostFd;
  /** What the host counts for its cgroup. */
  readonly meter: CgroupMeter;
  readonly inherited: readonly (Inherited | null)[];
  /** What hooks inside are told: its state, JSON. */
  readonly state: string;
  /** Told a sentence when the gofer is gone. */
  readonly onGoferLost: (sentence: string) => void;
  /** Where there is nobody to be told. */
  readonly warn: (sentence: string) => void;
  /** Destinations of mounts that have been made on the host, if any. */
  readonly made?: ReadonlySet<string>;
}

export class GuestSandbox {
  readonly kernel: Kernel;
  readonly containers = new Map<string, GuestContainer>();
  private readonly files: SandboxFiles;
  private readonly hostFiles: HostFiles;
  private readonly hostName: string;

  /** `hostName`: the host's, a byte string. */
  constructor(kernel: Kernel, hostName: string) {
    this.hostName = hostName;
    this.kernel = kernel;
    this.files = new SandboxFiles(kernel);
    this.hostFiles = new HostFiles(kernel.host, kernel);
  }

  /** Makes a container that has not been started. Its gofer has said hello, or is waited for. Throws UserError, and nothing of it is left. */
  add(wish: NewContainer): GuestContainer {
    const { id, gofer } = wish;
    const connection = connectGofer(this.kernel, gofer, wish.onGoferLost);
    const container = this.makeContainer(id, wish.config);
    const letGo = (): void => {
      this.kernel.unwatch(gofer);
      connection.close();
    };
    try {
      const guest = this.build(container, connection, wish);
      this.containers.set(id, guest);
      guest.whenEnded(() => {
        this.containers.delete(id);
        letGo();
      });
      return guest;
    } catch (error) {
      if (killContainer(container, SIGKILL, 'all') === -ESRCH) this.kernel.removeContainer(container);
      letGo();
      throw error;
    }
  }

  private build(
    container: Container,
    connection: GoferConnection,
    { config, meter, inherited, state, warn, made }: NewContainer,
  ): GuestContainer {
    const { linux } = config;
    meter.begin();
    const cgroup = new GuestCgroup({ container, resources: linux.resources, meter, cpuCount: this.kernel.machine.cpuCount });
    const types = new Map(cgroup.types(() => this.files.allocateDevice()));
    const tree = buildContainerTree(this.files, container, connection, config, { types, warn, made: made ?? new Set() });
    this.hostFiles.registerWith(tree.namespace.vfs.special);
    const place = { container, tree, files: this.hostFiles, personality: linux.personality ?? 0 };
    const filter = new ContainerFilter(linux.seccomp, (sentence) => this.kernel.host.log(sentence));
    const prepare = (task: Task): void => filter.install(task);
    const guest = new GuestContainer({ config, place, cgroup, inherited, state, prepare });
    guest.whenEnded(() => filter.release());
    return guest;
  }

  private makeContainer(id: string, { hostname, domainname, linux }: ContainerConfig): Container {
    const { first } = this.kernel;
    const { pidsLimit } = linux.resources;
    // A path in a member's configuration means the sandbox's own namespace: there is no other that it could join.
    const sharesPids = first !== null && typeof linux.namespaces.pid?.path === 'string';
    return this.kernel.addContainer(id, {
      // A new namespace starts with the host's name, as on Linux.
      hostname: hostname ?? first?.uts.nodename ?? this.hostName,
      ...(domainname === null ? {} : { domainname }),
      ...(pidsLimit !== null && pidsLimit > 0 ? { pidsMax: pidsLimit } : {}),
      ...(sharesPids ? { pids: first.pids } : {}),
      ...(linux.uidMappings.length > 0 ? { userMap: linux.uidMappings, groupMap: linux.gidMappings } : {}),
    });
  }
}
