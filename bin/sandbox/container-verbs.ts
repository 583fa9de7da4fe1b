/** The sentry's answers to verbs: each request of bin/oci/control/protocol.ts, for the container it names. */
import type { HostFd } from '#platform/contract/host.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { ControlRequest, ExecReply, ExecRequest, PsReply, StartRequest, StatusReply, WaitReply } from '../oci/control/protocol.ts';
import { decodeProcess, encodeProcess } from '../oci/control/process-codec.ts';
import { ociError } from '../oci/errors.ts';
import { permit } from '../oci/lifecycle/state-machine.ts';
import type { Client } from './control-server.ts';
import { inheritedFrom } from './guest-container.ts';
import type { GuestContainer } from './guest-container.ts';
import { connectInterface } from './network-device.ts';

const DONE = {};

export class ContainerVerbs {
  private readonly kernel: Kernel;
  private readonly containers = new Map<string, GuestContainer>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  add(id: string, container: GuestContainer): void {
    this.containers.set(id, container);
  }

  /** Throws UserError where the sentry refuses. */
  answer(request: ControlRequest, descriptors: readonly HostFd[], client: Client): object | null {
    const guest = this.containers.get(request.container);
    if (guest === undefined) throw ociError('doesNotExist', request.container);
    const id = request.container;
    switch (request.verb) {
      case 'status':
        return { status: guest.status } satisfies StatusReply;
      case 'process':
        return { process: encodeProcess(guest.process) };
      case 'start':
        permit('start', id, guest.status);
        this.start(guest, request, descriptors);
        return DONE;
      case 'kill':
        permit('kill', id, guest.status);
        if (!guest.kill(request.signal, request.all)) throw ociError('notRunning', id);
        return DONE;
      case 'pause':
        permit('pause', id, guest.status);
        guest.pause(() => client.reply(DONE));
        return null;
      case 'resume':
        permit('resume', id, guest.status);
        guest.resume();
        return DONE;
      case 'exec':
        if (!request.ignorePaused || guest.status !== 'paused') permit('exec', id, guest.status);
        return this.exec(guest, request, descriptors, client);
      case 'ps':
        return { processes: guest.processes() } satisfies PsReply;
      case 'wait':
        guest.whenEnded((exitStatus) => client.reply({ exitStatus } satisfies WaitReply));
        return null;
      default:
        throw ociError('notSupported', request.verb);
    }
  }

  private start(guest: GuestContainer, { interfaces }: StartRequest, descriptors: readonly HostFd[]): void {
    interfaces.forEach((facts, i) => connectInterface(this.kernel, { facts, fd: descriptors[i]! }));
    guest.start();
  }

  private exec(guest: GuestContainer, request: ExecRequest, descriptors: readonly HostFd[], client: Client): ExecReply {
    return { pid: guest.exec(decodeProcess(request.process), inheritedFrom(descriptors, request.standard, request.preserved), client) };
  }
}
