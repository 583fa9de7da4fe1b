/**
 * Echo requests (ping) of the guest, taken by raw endpoints: those to the gateway's own addresses are answered here, others go on by echo sockets of the
 * host where it allows them (net.ipv4.ping_group_range); else the guest hears that the host cannot be reached.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import { KernelIo } from '../../mm/io.ts';
import { ReceivedDatagram } from '../endpoint/datagram.ts';
import type { RawEndpoint } from '../raw/raw-endpoint.ts';
import { SocketAddress } from '../socket-address.ts';
import { ICMP_ECHO, ICMP_HEADER_LENGTH, icmpProtocol, ICMPV6_ECHO } from '../wire/icmp.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';
import type { DatagramFlows } from './datagram-flows.ts';
import { EchoFlow, sendEchoReply } from './echo-flow.ts';
import { Flow } from './flow-context.ts';
import type { FlowContext } from './flow-context.ts';
import { networkOf, outsideAddress } from './gateway-addresses.ts';
import { DATAGRAM_BUDGET } from './limits.ts';

const MESSAGE_MAX = 65_535;

export class Echo extends Flow {
  private readonly context: FlowContext;
  private readonly flows: DatagramFlows;
  private readonly endpoint: RawEndpoint;
  private readonly memory: HostMemory;
  private readonly received = new ReceivedDatagram();
  private readonly guest = new SocketAddress();
  private readonly peer = new SocketAddress();

  constructor(context: FlowContext, flows: DatagramFlows, version: 4 | 6) {
    super();
    this.context = context;
    this.flows = flows;
    const endpoint = context.stack.raw.endpoint(version, icmpProtocol(version));
    if (typeof endpoint === 'number') throw new Error('a new stack has no room for an endpoint');
    this.endpoint = endpoint;
    this.memory = context.host.allocate(MESSAGE_MAX);
    context.stack.icmp.ignoresEcho = true;
    endpoint.observer = this;
  }

  onChange(): void {
    this.context.wake(this);
  }

  override run(): void {
    for (let i = 0; i < DATAGRAM_BUDGET; i++) {
      const length = this.endpoint.receive(new KernelIo(this.memory, 0, MESSAGE_MAX), this.received, 0);
      if (length < 0) return;
      this.request(length);
    }
    this.context.wake(this);
  }

  private request(length: number): void {
    const { memory, guest, peer, received } = this;
    const { isIpv4 } = received.from.address;
    const offset = isIpv4 ? IPV4_HEADER_LENGTH : 0;
    if (length < offset + ICMP_HEADER_LENGTH || memory.bytes[offset] !== (isIpv4 ? ICMP_ECHO : ICMPV6_ECHO)) return;
    guest.set(received.from.address, memory.view.getUint16(offset + 4));
    peer.set(received.destination.address, 0);
    const { gateway, dns } = networkOf(peer.address);
    const outside = outsideAddress(peer.address);
    if (peer.address.equals(gateway) || peer.address.equals(dns)) {
      sendEchoReply(this.context.stack, peer, guest, memory, offset, length - offset);
    } else if (outside !== null) {
      let flow = this.flows.find(guest.address, guest.port, peer.address, 0);
      const isNew = flow === null;
      flow ??= this.flows.add(EchoFlow, guest, peer);
      flow.sendFrom(memory, offset, length - offset);
      if (isNew) flow.open(outside, 0);
    }
  }
}
