/**
 * Cutting a packet that is too big for its path into fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
 *
 * All but the last carry a multiple of eight bytes. IPv6 puts a fragment header between the IP header and each piece.
 */
import { ENOBUFS } from '#sentry/abi/errno.ts';
import { NO_OFFLOAD } from '../link/device.ts';
import { copyBytes } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import { IPV4_HEADER_LENGTH, setIpv4Fragment, writeIpv4 } from '../wire/ipv4.ts';
import { FRAGMENT_HEADER_LENGTH, IPV6_HEADER_LENGTH, NEXT_FRAGMENT, writeFragmentHeader, writeIpv6 } from '../wire/ipv6.ts';
import type { IpHeader } from './header.ts';
import type { IpOutput } from './output.ts';
import type { Path } from './path.ts';

/** Sends [start, end) of `packet`, which follows the IP header, in fragments; takes the packet over. 0 or -errno. */
export function sendFragments(
  output: IpOutput,
  state: StackState,
  path: Path,
  ip: IpHeader,
  packet: Packet,
  identification: number,
): number {
  const overhead = ip.version === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH + FRAGMENT_HEADER_LENGTH;
  const room = (path.mtu - overhead) & ~7;
  const counters = state.counters.ip(ip.version);
  const id = ip.version === 4 ? identification : state.random();
  const total = packet.length;
  let result = 0;
  for (let from = 0; from < total && result === 0; from += room) {
    const length = Math.min(room, total - from);
    const fragment = makeFragment(state, ip, packet, id, from, length);
    result = fragment === null ? -ENOBUFS : output.transmit(path, ip, fragment, NO_OFFLOAD);
    if (result === 0) counters.FragCreates++;
  }
  packet.release();
  if (result === 0) counters.FragOKs++;
  else counters.FragFails++;
  return result;
}

function makeFragment(state: StackState, ip: IpHeader, from: Packet, id: number, offset: number, length: number): Packet | null {
  const fragment = state.pool.takeUrgent(length);
  if (fragment === null) return null;
  copyBytes(from.memory, from.start + offset, fragment.memory, fragment.start, length);
  fragment.end += length;
  const isLast = offset + length === from.length;
  const { view } = fragment.memory;
  if (ip.version === 4) {
    const at = fragment.prepend(IPV4_HEADER_LENGTH);
    writeIpv4(ip, view, at, length, id);
    setIpv4Fragment(view, at, IPV4_HEADER_LENGTH, length, offset, !isLast);
  } else {
    writeFragmentHeader(view, fragment.prepend(FRAGMENT_HEADER_LENGTH), ip.protocol, offset, !isLast, id);
    writeIpv6(ip, view, fragment.prepend(IPV6_HEADER_LENGTH), FRAGMENT_HEADER_LENGTH + length, NEXT_FRAGMENT);
  }
  return fragment;
}
