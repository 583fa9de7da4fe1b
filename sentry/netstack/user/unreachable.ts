/**
 * Tells the guest by ICMP that its packet did not arrive (RFC 792, RFC 4443), in the name of the gateway, which it knows as its router. What is quoted is the
 * packet's IP header, made anew, and its first eight bytes behind it: ports, and the sequence number of a SYN.
 */
import { ENETUNREACH } from '#sentry/abi/errno.ts';
import { IpHeader, IPPROTO_TCP, IPPROTO_UDP } from '../ip/header.ts';
import { Path } from '../ip/path.ts';
import type { SocketAddress } from '../socket-address.ts';
import type { Stack } from '../stack.ts';
import type { HeldSyn } from '../tcp/intercept.ts';
import * as icmp from '../wire/icmp.ts';
import { IPV4_HEADER_LENGTH, writeIpv4 } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, writeIpv6 } from '../wire/ipv6.ts';

const QUOTED = 8;

const quoted = new IpHeader();
const header = new IpHeader();
const path = new Path();

/** About the SYN of a flow. */
export function refuseUnreachable(stack: Stack, syn: HeldSyn, errno: number): void {
  quoted.prepare(syn.remote, syn.local, IPPROTO_TCP);
  send(stack, errno === ENETUNREACH ? 'network' : 'host', syn.remotePort, syn.localPort, syn.initialReceive);
}

/** About a datagram that the guest sent from `from` to `to`. */
export function refuseDatagram(stack: Stack, what: Unreachable, from: SocketAddress, to: SocketAddress): void {
  quoted.prepare(from.address, to.address, IPPROTO_UDP);
  send(stack, what, from.port, to.port, QUOTED << 16);
}

/** About an echo request; the port of `from` is its identifier. */
export function refuseEcho(stack: Stack, what: Unreachable, from: SocketAddress, to: SocketAddress): void {
  const { version } = to.address;
  quoted.prepare(from.address, to.address, icmp.icmpProtocol(version));
  send(stack, what, (version === 4 ? icmp.ICMP_ECHO : icmp.ICMPV6_ECHO) << 8, 0, from.port << 16);
}

/** Codes of destination unreachable (RFC 792, RFC 1122 section 3.2.2.1; RFC 4443 section 3.1). */
const CODES4 = { network: 0, host: 1, port: 3 } as const;
const CODES6 = { network: 0, host: 3, port: 4 } as const;

export type Unreachable = keyof typeof CODES4;

function send(stack: Stack, what: Unreachable, sourcePort: number, destinationPort: number, rest: number): void {
  const { version } = quoted;
  const headerLength = version === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH;
  path.destination.copy(quoted.source);
  // The port is unreachable says the host itself, all else its router.
  path.isSourceGiven = what === 'port';
  if (path.isSourceGiven) path.source.copy(quoted.destination);
  path.generation = -1;
  if (stack.output.route(path) < 0) return;
  const packet = stack.state.pool.takeUrgent(icmp.ICMP_HEADER_LENGTH + headerLength + QUOTED);
  if (packet === null) return;
  const { view } = packet.memory;
  const at = packet.start + icmp.ICMP_HEADER_LENGTH;
  if (version === 4) writeIpv4(quoted, view, at, QUOTED, 0);
  else writeIpv6(quoted, view, at, QUOTED, quoted.protocol);
  view.setUint16(at + headerLength, sourcePort);
  view.setUint16(at + headerLength + 2, destinationPort);
  view.setInt32(at + headerLength + 4, rest);
  packet.end = at + headerLength + QUOTED;
  header.prepare(path.source, quoted.source, icmp.icmpProtocol(version));
  const type = version === 4 ? icmp.ICMP_UNREACHABLE : icmp.ICMPV6_UNREACHABLE;
  icmp.writeIcmp(header, view, packet.start, packet.length, type, (version === 4 ? CODES4 : CODES6)[what], 0);
  stack.output.sendPacket(path, header, packet);
}
