/** The sentry's answers to verbs: each request of bin/oci/control/protocol.ts, for the container it names. */
import type { HostFd } from '#platform/contract/host.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { openMeter } from '../oci/cgroups/meter.ts';
import { podResources } from '../oci/cgroups/pod-resources.ts';
import { readConfig } from '../oci/config/read.ts';
import type {
  ControlRequest,
  ExecReply,
  ExecRequest,
  JoinRequest,
  PodReply,
  PsReply,
  StartRequest,
  StatusReply,
  WaitReply,
} from '../oci/control/protocol.ts';
import { decodeProcess, encodeProcess } from '../oci/control/process-codec.ts';
import { ociError } from '../oci/errors.ts';
import { permit } from '../oci/lifecycle/state-machine.ts';
import type { Answer, Client } from './control-server.ts';
import { inheritedFrom } from './guest-container.ts';
import type { GuestContainer } from './guest-container.ts';
import type { GuestSandbox } from './guest-sandbox.ts';
import { connectTaken } from './network-device.ts';

const DONE = {};
const EPOLLIN = 1;

export function answerVerbs(sandbox: GuestSandbox): Answer {
  return (request, descriptors, client) => {
    if (request.verb === 'join') return join(sandbox, request.container, request, descriptors, client);
    const guest = sandbox.containers.get(request.container);
    if (guest === undefined) throw ociError('notRunning', request.container);
    return answer(sandbox, guest, request, descriptors, client);
  };
}

type OtherRequest = Exclude<ControlRequest, JoinRequest>;

/** Throws UserError where the sentry refuses. */
function answer(
  sandbox: GuestSandbox,
  guest: GuestContainer,
  request: OtherRequest,
  descriptors: readonly HostFd[],
  client: Client,
): object | null {
  const id = request.container;
  switch (request.verb) {
    case 'status':
      return { status: guest.status } satisfies StatusReply;
    case 'process':
      return { process: encodeProcess(guest.process) };
    case 'start':
      permit('start', id, guest.status);
      start(sandbox.kernel, guest, request, descriptors, client);
      return null;
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
      return exec(guest, request, descriptors, client);
    case 'ps':
      return { processes: guest.processes(), hostPids: guest.hostPids() } satisfies PsReply;
    case 'stats':
      return guest.cgroup.stats();
    case 'update':
      permit('update', id, guest.status);
      guest.cgroup.update(request.resources);
      return podReply(sandbox);
    case 'wait':
      guest.whenEnded((exitStatus) => client.reply({ exitStatus } satisfies WaitReply));
      return null;
    default:
      request satisfies never;
      throw ociError('notSupported', (request as ControlRequest).verb);
  }
}

function start(kernel: Kernel, guest: GuestContainer, { interfaces }: StartRequest, descriptors: readonly HostFd[], client: Client): void {
  connectTaken(kernel, {
    interfaces: interfaces.map((facts, i) => ({ facts, fd: descriptors[i]! })),
    resolver: descriptors[interfaces.length] ?? -1,
  });
  guest.start((failure) =>
    client.answerWith(() => {
      if (failure !== null) throw failure;
      return DONE;
    }),
  );
}

function exec(guest: GuestContainer, request: ExecRequest, descriptors: readonly HostFd[], client: Client): ExecReply {
  client.hostPid = request.hostPid;
  return { pid: guest.exec(decodeProcess(request.process), inheritedFrom(descriptors, request.files), client) };
}

/** A further container of a pod, once its gofer is ready: others are not to wait for that. The client becomes its stand-in. */
function join(sandbox: GuestSandbox, id: string, request: JoinRequest, [gofer, ...files]: readonly HostFd[], client: Client): null {
  const { config } = readConfig(request.config, request.bundle, request.sandbox);
  const { kernel, containers } = sandbox;
  if (containers.has(id)) throw ociError('alreadyExists', id);
  kernel.watch(gofer!, EPOLLIN, () => {
    kernel.unwatch(gofer!);
    client.answerWith(() => {
      const guest = sandbox.add({
        id,
        config,
        gofer: gofer!,
        meter: openMeter(null),
        inherited: inheritedFrom(files, request.files),
        state: request.state,
        onGoferLost: () => containers.get(id)?.kill(SIGKILL, true),
        warn: (sentence) => kernel.host.log(sentence),
      });
      guest.whenEnded((status) => client.tellExit(status));
      client.onSignal = (signo) => guest.signal(signo);
      client.onGone = () => guest.kill(SIGKILL, true);
      return podReply(sandbox);
    });
  });
  return null;
}

function podReply({ kernel, containers }: GuestSandbox): PodReply {
  const all = [...containers.values()];
  // The first container of a pod only waits; that of another, whose network is shared, has limits of its own.
  const working = all.filter(({ container, config }) => container !== kernel.first || config.pod.role !== 'sandbox');
  return { pod: all.length < 2 ? null : podResources(working.map(({ cgroup }) => cgroup.resources)) };
}
