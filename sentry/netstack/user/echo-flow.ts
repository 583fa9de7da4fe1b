/**
 * A flow of echo requests of one guest program (its identifier) to one address, by an echo socket of the host (icmp(7)), which puts an identifier of its own
 * into what it sends: answers get the guest's back.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import { IpHeader } from '../ip/header.ts';
import { Path } from '../ip/path.ts';
import type { SocketAddress } from '../socket-address.ts';
import type { Stack } from '../stack.ts';
import { fixIcmpChecksum, ICMP_ECHO_REPLY, ICMP_HEADER_LENGTH, icmpProtocol, ICMPV6_ECHO_REPLY } from '../wire/icmp.ts';
import { packetFrom } from '../udp/foreign-datagram.ts';
import { DatagramFlow } from './datagram-flow.ts';
import { refuseEcho } from './unreachable.ts';
import type { Unreachable } from './unreachable.ts';

const path = new Path();
const header = new IpHeader();

export class EchoFlow extends DatagramFlow {
  protected get protocol(): number {
    return icmpProtocol(this.peer.address.version);
  }

  protected override pass(memory: HostMemory, length: number): void {
    if (length >= ICMP_HEADER_LENGTH) sendEchoReply(this.context.stack, this.peer, this.guest, memory, 0, length);
  }

  protected override tell(what: Unreachable): void {
    // An echo request has no port; the host is what cannot be reached.
    refuseEcho(this.context.stack, what === 'port' ? 'host' : what, this.guest, this.peer);
  }
}

/** Sends the message `memory[offset, offset + length)`, a request or reply, as the reply to the guest whose `port` is the identifier. */
export function sendEchoReply(
  stack: Stack,
  from: SocketAddress,
  to: SocketAddress,
  memory: HostMemory,
  offset: number,
  length: number,
): void {
  const packet = packetFrom(stack, path, from, to, memory, offset, length);
  if (packet === null) return;
  const { view } = packet.memory;
  header.prepare(from.address, to.address, icmpProtocol(to.address.version));
  view.setUint16(packet.start, (to.address.isIpv4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY) << 8);
  view.setUint16(packet.start + 4, to.port);
  fixIcmpChecksum(header, view, packet.start, length);
  stack.output.sendPacket(path, header, packet);
}
