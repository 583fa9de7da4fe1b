/**
 * `--net=host`: guests' internet sockets are sockets of the host. A network helper makes them and gives them away; the sentry keeps no right to make or name
 * one. The host's interfaces, as they are at the start, are shown inside, where nobody can change them.
 */
import { AF_INET, AF_INET6, AF_PACKET } from '#sentry/abi/socket.ts';
import { HostInternetFamily, refusedFamily } from '#sentry/fs/host-socket/host-family.ts';
import { SocketHelper } from '#sentry/fs/host-socket/socket-helper.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { UserError } from '../errors.ts';
import type { HostInterfaceFacts } from './host-interfaces.ts';
import { readInterfaces, showInterface } from './network-device.ts';
import { startSocketHelper } from './network-process.ts';

export interface HostNetworkPlan {
  readonly mode: 'host';
  readonly socket: HostFd;
  readonly shown: readonly HostInterfaceFacts[];
}

/** Bytes that go through the sentry at once; a stream keeps no more of them than this. */
const STAGING_BYTES = 256 * 1024;

export function openHostNetwork(): HostNetworkPlan {
  return { mode: 'host', socket: startSocketHelper(), shown: readInterfaces() };
}

/** Returns no interface: there is none that packets of guests cross. */
export function connectHostNetwork(kernel: Kernel, { socket, shown }: HostNetworkPlan): [] {
  const { host, network } = kernel;
  const helper = new SocketHelper({
    host,
    socket,
    onLost: (reason) => {
      throw new UserError(`the network process is lost (${reason}); the sandbox was stopped.`);
    },
  });
  const hello = helper.awaitHello();
  if (hello === null) throw new UserError('the network process did not start.');
  for (const line of hello.report) host.log(`network: ${line}`);
  const shared = {
    host,
    events: kernel,
    files: kernel.anonymous,
    helper,
    settings: network.settings,
    staging: host.allocate(STAGING_BYTES),
  };
  for (const domain of [AF_INET, AF_INET6]) kernel.sockets.register(domain, new HostInternetFamily(shared, domain));
  kernel.sockets.register(AF_PACKET, refusedFamily);
  for (const facts of shown) showInterface(kernel, facts);
  network.isOfHost = true;
  return [];
}
