/**
 * Joins a sandbox to what lies beyond its loopback interface (`--net`). In two steps, because everything that has a name on the host is opened before the
 * sentry is confined:
 *
 *     const plan = openNetwork(spec);             // descriptors
 *     connectNetwork(kernel, plan);               // interfaces, addresses, routes
 */
import type { HostFd } from '#platform/contract/host.ts';
import { Gateway } from '#sentry/netstack/user/gateway.ts';
import { USER_NETWORK_4, USER_NETWORK_6 } from '#sentry/netstack/user/gateway-addresses.ts';
import type { UserNetwork } from '#sentry/netstack/user/gateway-addresses.ts';
import { HelperConnection } from '#sentry/netstack/user/helper-connection.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { IPV4_PREFIX_BITS } from '#sentry/netstack/address.ts';
import type { LinkDevice } from '#sentry/netstack/link/device.ts';
import { IFA_F_NODAD, IFA_F_PERMANENT } from '#sentry/netstack/link/interface.ts';
import type { NetworkInterface } from '#sentry/netstack/link/interface.ts';
import { IPV6_METRIC_DEFAULT, Route } from '#sentry/netstack/route/routing-table.ts';
import type { Stack } from '#sentry/netstack/stack.ts';
import { UserError } from '../errors.ts';
import { claimNetworkNamespace } from './namespace-claim.ts';
import { connectTaken, isInHostNamespace, takeNetwork } from './network-device.ts';
import type { TakenNetwork } from './network-device.ts';
import { connectHostNetwork, openHostNetwork } from './host-network.ts';
import type { HostNetworkPlan } from './host-network.ts';
import { startNetworkHelper } from './network-process.ts';
import type { NetworkSpec } from './spec.ts';

export type NetworkPlan =
  | { readonly mode: 'none' }
  | ({ readonly mode: 'sandbox' } & TakenNetwork)
  | { readonly mode: 'user'; readonly socket: HostFd; readonly spec: NetworkSpec & { mode: 'user' } }
  | HostNetworkPlan;

export function openNetwork(spec: NetworkSpec): NetworkPlan {
  if (spec.mode === 'none') return { mode: 'none' };
  if (spec.mode === 'user') return { mode: 'user', socket: startNetworkHelper(spec), spec };
  if (spec.mode === 'host') return openHostNetwork();
  return { mode: 'sandbox', ...takeOver(spec.device) };
}

function takeOver(name: string | null): TakenNetwork {
  if (isInHostNamespace()) {
    throw new UserError(
      '--net=sandbox takes an interface away from the namespace it is in: start tsvisor in one of its own (ip netns exec NAME tsvisor …).',
    );
  }
  if (!claimNetworkNamespace()) throw new UserError('another sandbox has this network namespace, and cannot share it.');
  const taken = takeNetwork(name);
  if (taken.interfaces.length === 0) throw new UserError('there is no Ethernet interface that is up in this network namespace.');
  return taken;
}

/** Returns the interfaces beside the loopback one. */
export function connectNetwork(kernel: Kernel, plan: NetworkPlan): NetworkInterface[] {
  if (plan.mode === 'none') return [];
  if (plan.mode === 'user') return [connectUser(kernel, plan.socket, plan.spec)];
  if (plan.mode === 'host') return connectHostNetwork(kernel, plan);
  return connectTaken(kernel, plan);
}

function connectUser(kernel: Kernel, socket: HostFd, { published }: NetworkSpec & { mode: 'user' }): NetworkInterface {
  const { host, network } = kernel;
  const connection = new HelperConnection({
    host,
    socket,
    watch: (fd, events, callback) => kernel.watch(fd, events, callback),
    unwatch: (fd) => kernel.unwatch(fd),
    onLost: (reason) => {
      throw new UserError(`the network process is lost (${reason}); the sandbox was stopped.`);
    },
  });
  const hello = connection.awaitHello();
  if (hello === null) throw new UserError('the network process did not start.');
  if (hello.problem !== '') throw new UserError(`${hello.problem}; check --publish.`);
  for (const line of hello.report) host.log(`network: ${line}`);
  const gateway = new Gateway({
    host,
    outside: connection,
    random: network.stack.state.random,
    guest: network.stack,
    published,
    onWork: () => network.enter(),
  });
  network.companion = gateway;
  network.enter();
  connection.start(gateway);
  return addLink(network.stack, gateway.guestDevice);
}

/** The guest's own interface, as users of slirp know it. */
function addLink(stack: Stack, device: LinkDevice): NetworkInterface {
  const owner = stack.addDevice('eth0', device);
  if (typeof owner === 'number') throw new Error('a new stack has no room for an interface');
  owner.ipv6.acceptsAdvertisements = false;
  owner.ipv6.dadTransmits = 0;
  stack.interfaces.setUp(owner);
  for (const network of [USER_NETWORK_4, USER_NETWORK_6]) {
    stack.interfaces.addAddress(owner, network.guest, network.prefixBits, { flags: IFA_F_PERMANENT | IFA_F_NODAD });
    stack.routes.add(defaultRoute(owner, network));
  }
  return owner;
}

function defaultRoute(owner: NetworkInterface, { gateway }: UserNetwork): Route {
  const route = new Route();
  if (gateway.isIpv4) route.destination.setIpv4(0);
  route.prefixBits = gateway.isIpv4 ? IPV4_PREFIX_BITS : 0;
  route.gateway.copy(gateway);
  route.hasGateway = true;
  route.interface = owner;
  route.metric = gateway.isIpv4 ? 0 : IPV6_METRIC_DEFAULT;
  return route;
}
