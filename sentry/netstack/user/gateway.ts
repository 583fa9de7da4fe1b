/**
 * The gateway of `--net=user`: a second stack, at the other end of the guest's link, that takes flows to any address and carries each on by a socket of
 * the host, which the network helper makes.
 *
 *     const gateway = new Gateway({ host, outside, random, guest, published, onWork });
 *     guestStack.addDevice('eth0', gateway.guestDevice);
 *     gateway.setTime(now);  while (gateway.poll(now)) guestStack.poll(now);      // from the kernel's loop
 *
 *     guest's stack ── device pair ── gateway's stack ── flows ── sockets of the host
 *
 * TCP: a SYN is held until the host's connection stands or fails (tcp-flow.ts), so the guest learns what is true. UDP: a flow for each pair of addresses
 * (datagram-flow.ts). 10.0.2.3 answers DNS by way of the helper. Echo requests: echo.ts.
 * Packets cross the link by reference, up to 64 KiB at once, without checksums.
 */
import { EADDRINUSE } from '#sentry/abi/errno.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { IPV4_PREFIX_BITS } from '../address.ts';
import type { IpAddress } from '../address.ts';
import type { IpHeader } from '../ip/header.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '../ip/header.ts';
import type { LinkDevice } from '../link/device.ts';
import { IFA_F_NODAD, IFA_F_PERMANENT } from '../link/interface.ts';
import { devicePair } from '../link/pair.ts';
import type { Payload } from '../packet.ts';
import { Route } from '../route/routing-table.ts';
import { SocketAddress } from '../socket-address.ts';
import { Stack } from '../stack.ts';
import type { Random } from '../stack-state.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { HeldSyn, SynInterceptor } from '../tcp/intercept.ts';
import type { UdpInterceptor } from '../udp/udp.ts';
import { DnsStream } from './dns-stream.ts';
import { FlowContext } from './flow-context.ts';
import { networkOf, outsideAddress, USER_NETWORK_4, USER_NETWORK_6 } from './gateway-addresses.ts';
import type { UserNetwork } from './gateway-addresses.ts';
import { TCP_FLOWS_MAX } from './limits.ts';
import type { Arrivals, FlowHost, Outside } from './outside.ts';
import { TcpFlow } from './tcp-flow.ts';
import { UdpFlow } from './udp-flow.ts';
import { sendDatagram } from '../udp/foreign-datagram.ts';
import { DNS_PORT } from '../udp/resolver-relay.ts';
import { DatagramFlows } from './datagram-flows.ts';
import { Echo } from './echo.ts';

/** Bytes of IP in one packet on the link, as slirp's users know it: large, because nothing smaller lies behind it. */
export const USER_LINK_MTU = 65_520;
const FIRST_PEER_PORT = 32_768;

export interface GatewaySetup {
  readonly host: FlowHost;
  readonly outside: Outside;
  readonly random: Random;
  /** The stack at the other end of the link, to tell whose flow is whose. */
  readonly guest: Stack;
  /** Ports inside that published ones lead to, in the helper's order. */
  readonly published: readonly { readonly guestPort: number; readonly protocol: number }[];
  /** Something has to be done: sets the time and sees to it that `poll` is called soon. */
  readonly onWork: () => void;
}

export class Gateway implements SynInterceptor, UdpInterceptor, Arrivals {
  /** The guest's end of the link. */
  readonly guestDevice: LinkDevice;
  readonly interfaceIndex: number;
  private readonly stack: Stack;
  private readonly context: FlowContext;
  private readonly udp: DatagramFlows;
  private readonly setup: GatewaySetup;
  private readonly from = new SocketAddress();
  private readonly to = new SocketAddress();
  /** Memory of DNS connections that ended. */
  private readonly dnsMemory: HostMemory[] = [];
  private nextPeerPort = FIRST_PEER_PORT;
  private guestHasFrames = false;

  constructor(setup: GatewaySetup) {
    this.setup = setup;
    const { host } = setup;
    const [guestEnd, ourEnd] = devicePair({
      kind: 'ip',
      mtu: USER_LINK_MTU,
      onFrame: (end) => {
        if (end === 0) this.guestHasFrames = true;
        setup.onWork();
      },
    });
    this.guestDevice = guestEnd;
    this.stack = new Stack({ allocate: (bytes) => host.allocate(bytes), random: setup.random });
    this.interfaceIndex = configure(this.stack, ourEnd);
    this.context = new FlowContext(host, setup.outside, this.stack, setup.guest, setup.onWork);
    this.udp = new DatagramFlows(this.context);
    for (const version of [4, 6] as const) this.context.wake(new Echo(this.context, this.udp, version));
    this.stack.tcp.interceptor = this;
    this.stack.udp.interceptor = this;
  }

  setTime(nowNs: number): void {
    this.stack.setTime(nowNs);
  }

  get nextDeadline(): number {
    return this.stack.nextDeadline;
  }

  /** Takes the guest's packets, moves bytes, sends. True: the guest's stack, or this, has more to do. */
  poll(nowNs: number): boolean {
    const { stack, context } = this;
    this.guestHasFrames = false;
    let isMore = stack.poll(nowNs);
    if (context.hasPending) {
      context.runPending();
      isMore = stack.poll(nowNs);
    }
    return isMore || context.hasPending || this.guestHasFrames;
  }

  synArrived(syn: HeldSyn): void {
    const { context } = this;
    const network = networkOf(syn.local);
    const outside = outsideAddress(syn.local);
    if (context.tcpFlows >= TCP_FLOWS_MAX) syn.drop();
    else if (outside !== null) new TcpFlow(context).open(syn, outside, syn.localPort);
    else if (syn.local.equals(network.dns) && syn.localPort === DNS_PORT) this.openDns(syn);
    else syn.refuse();
  }

  private openDns(syn: HeldSyn): void {
    const connection = syn.accept() as TcpConnection | null;
    if (connection === null) return;
    const memory = this.dnsMemory.pop() ?? this.context.host.allocate(DnsStream.memoryBytes);
    const stream = new DnsStream(this.context, connection, memory, (done) => this.dnsMemory.push(done));
    this.context.wake(stream);
  }

  /** A datagram of the guest's. */
  input(ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): boolean {
    const { source, destination } = ip;
    if (ip.isToMany) return false;
    const known = this.udp.find(source, sourcePort, destination, destinationPort);
    if (known !== null) {
      known.send(payload);
      return true;
    }
    const outside = outsideAddress(destination);
    if (outside === null)
      return destination.equals(networkOf(destination).dns) && destinationPort === DNS_PORT && this.askDns(ip, sourcePort, payload);
    const flow = this.udp.add(UdpFlow, this.from.set(source, sourcePort), this.to.set(destination, destinationPort));
    flow.send(payload);
    flow.open(outside, destinationPort);
    return true;
  }

  private askDns({ source, destination }: IpHeader, sourcePort: number, payload: Payload): boolean {
    const guest = new SocketAddress().set(source, sourcePort);
    const dns = new SocketAddress().set(destination, DNS_PORT);
    const question = payload.packet!.memory.latin1(payload.offset, payload.offset + payload.length);
    // Not asked: lost, as happens to datagrams; the guest asks again.
    const asker = this.context.askerOf(IPPROTO_UDP, source, sourcePort, destination, DNS_PORT);
    this.context.outside.resolve('udp', question, asker, (answer) => {
      this.context.touch();
      if (answer === null) return;
      const { scratch } = this.udp;
      scratch.writeLatin1(answer, 0);
      sendDatagram(this.stack, dns, guest, scratch, answer.length);
    });
    return true;
  }

  arrived(published: number, from: IpAddress, port: number, datagram: string, fd: number): void {
    const target = this.setup.published[published];
    if (target === undefined) return this.drop(fd);
    this.context.touch();
    const network = networkOf(from);
    this.to.set(network.guest, target.guestPort);
    if (target.protocol === IPPROTO_TCP) this.connectionArrived(fd, network);
    else this.datagramArrived(network, target.guestPort, port, datagram, fd);
  }

  private connectionArrived(fd: number, network: UserNetwork): void {
    if (fd < 0 || this.context.tcpFlows >= TCP_FLOWS_MAX) this.drop(fd);
    else new TcpFlow(this.context).accept(fd, network.gateway, this.to);
  }

  /** The peer appears as the gateway, with its own port if that is free. */
  private datagramArrived({ guest, gateway }: UserNetwork, guestPort: number, peerPort: number, datagram: string, fd: number): void {
    const { udp } = this;
    let flow = udp.find(guest, guestPort, gateway, peerPort);
    if (fd >= 0) {
      const port = flow === null ? peerPort : this.freePeerPort(guest, guestPort, gateway);
      if (port === -EADDRINUSE) return this.drop(fd);
      flow = udp.add(UdpFlow, this.to, this.from.set(gateway, port));
      flow.accept(fd);
    }
    if (flow === null) return;
    udp.scratch.writeLatin1(datagram, 0);
    flow.deliver(udp.scratch, datagram.length);
  }

  private freePeerPort(guest: IpAddress, guestPort: number, gateway: IpAddress): number {
    for (let i = FIRST_PEER_PORT; i < 65_536; i++) {
      const port = this.nextPeerPort;
      this.nextPeerPort = port === 65_535 ? FIRST_PEER_PORT : port + 1;
      if (this.udp.find(guest, guestPort, gateway, port) === null) return port;
    }
    return -EADDRINUSE;
  }

  private drop(fd: number): void {
    if (fd >= 0) this.setup.host.close(fd);
  }
}

/** The gateway's interface, with its addresses; returns its index. */
function configure(stack: Stack, device: LinkDevice): number {
  const owner = stack.addDevice('gateway', device);
  if (typeof owner === 'number') throw new Error('a new stack has no room for an interface');
  stack.interfaces.setUp(owner);
  owner.isTransparent = true;
  for (const network of [USER_NETWORK_4, USER_NETWORK_6]) {
    for (const address of [network.gateway, network.dns]) {
      stack.interfaces.addAddress(owner, address, network.prefixBits, { flags: IFA_F_PERMANENT | IFA_F_NODAD });
    }
    // Whatever address a guest gives itself, the way to it is the link.
    const route = new Route();
    if (network === USER_NETWORK_4) route.destination.setIpv4(0);
    route.prefixBits = network === USER_NETWORK_4 ? IPV4_PREFIX_BITS : 0;
    route.interface = owner;
    stack.routes.add(route);
  }
  return owner.index;
}
