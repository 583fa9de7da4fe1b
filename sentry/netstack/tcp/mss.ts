/**
 * How large segments are: from the path's MTU, what the peer accepts, the options each segment carries (RFC 9293 section 3.7.1, RFC 6691), and half the
 * largest window the peer ever offered, so that a window can always be used in at least two parts.
 */
import type { Path } from '../ip/path.ts';
import type { ControlBlock } from './control-block.ts';
import { TIMESTAMPS_LENGTH } from './codec.ts';
import { MSS_MIN } from './limits.ts';

const TCP_HEADER = 20;
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;
/** Total length of an IPv4 packet, and payload length of an IPv6 packet, are 16 bits. */
const LENGTH_MAX = 65_535;

/** What a packet of `mtu` octets has left for TCP payload and options. */
function room(isIpv4: boolean, mtu: number): number {
  if (isIpv4) return Math.min(mtu, LENGTH_MAX) - IPV4_HEADER - TCP_HEADER;
  return Math.min(mtu, LENGTH_MAX + IPV6_HEADER) - IPV6_HEADER - TCP_HEADER;
}

/** The MSS option of a SYN that leaves by `path`; `maxSegment` is TCP_MAXSEG, 0: not set. */
export function mssOfPath(path: Path, isIpv4: boolean, maxSegment: number): number {
  const mss = Math.min(Math.max(room(isIpv4, path.mtu), MSS_MIN), 65_535);
  return maxSegment > 0 ? Math.min(mss, maxSegment) : mss;
}

function boundedByWindow(connection: ControlBlock, octets: number): number {
  const { maxWindow } = connection;
  const half = maxWindow > 536 ? maxWindow >> 1 : maxWindow;
  return half > 0 && octets > half ? Math.max(half, MSS_MIN) : octets;
}

/** Brings `mss` and `sendGoal` up to date; call when MTU, options or the largest window changed. Returns the MSS. */
export function currentMss(connection: ControlBlock): number {
  const { path, options } = connection;
  const { isIpv4 } = connection.remote;
  const optionLength = connection.usesTimestamps ? TIMESTAMPS_LENGTH : 0;
  let mss = Math.min(room(isIpv4, path.mtu), connection.peerMss);
  if (options.maxSegment > 0) mss = Math.min(mss, options.maxSegment);
  mss = boundedByWindow(connection, Math.max(mss, MSS_MIN) - optionLength);
  connection.mss = Math.max(mss, MSS_MIN - optionLength);
  connection.knownMtu = path.mtu;
  const most = boundedByWindow(connection, room(isIpv4, Math.max(path.sendMax, path.mtu)) - optionLength);
  connection.sendGoal =
    path.isLoopback || path.sendMax > path.mtu ? Math.max(most - (most % connection.mss), connection.mss) : connection.mss;
  return connection.mss;
}
