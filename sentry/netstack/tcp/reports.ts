/**
 * What ICMP tells (RFC 1122 section 4.2.3.9, RFC 5927): nothing is believed that does not quote a segment which is out at this moment. Errors end only
 * connections that are being opened; established ones remember them for the end. "Packet too big" makes segments smaller and sends again what did not
 * get through (RFC 1191, RFC 8201).
 */
import type { IpHeader } from '../ip/header.ts';
import { resetConnection } from './closing.ts';
import type { TcpContext } from './context.ts';
import { ControlBlock } from './control-block.ts';
import type { TcpHeader } from './header.ts';
import { PATH_MTU_MIN_IPV4, PATH_MTU_MIN_IPV6 } from './limits.ts';
import { retransmitLost } from './loss/recovery.ts';
import { markLost } from './loss/scoreboard.ts';
import { currentMss } from './mss.ts';
import { armRetransmit } from './output.ts';
import { SACKED } from './segment.ts';
import { after, before } from './sequence.ts';
import { CA_LOSS, isIn, OPENING } from './states.ts';
import { dropRequest, SynRequest } from './syn-request.ts';

/** The connection whose segment is quoted, or null. */
function quoted(context: TcpContext, ip: IpHeader, header: TcpHeader): ControlBlock | SynRequest | null {
  const { source, destination } = ip;
  const scope = destination.isLinkLocal && !destination.isIpv4 ? ip.interfaceIndex : 0;
  const entry = context.table.find(source, header.sourcePort, destination, header.destinationPort, scope);
  if (entry instanceof ControlBlock) {
    // In the window of what is out, or the SYN.
    if (!before(header.seq, entry.sendUnacked) && !after(header.seq, entry.sendNext)) return entry;
    context.counters.OutOfWindowIcmps++;
    return null;
  }
  return entry instanceof SynRequest && header.seq === entry.initialSend ? entry : null;
}

export function unreachable(context: TcpContext, ip: IpHeader, header: TcpHeader, errno: number, isHard: number): void {
  const entry = quoted(context, ip, header);
  if (entry === null) return;
  if (entry instanceof SynRequest) {
    if (isHard !== 0) dropRequest(context, entry);
    return;
  }
  if (isIn(entry.state, OPENING)) resetConnection(entry, errno);
  else entry.softError = errno;
}

export function packetTooBig(context: TcpContext, ip: IpHeader, header: TcpHeader, mtu: number): void {
  const entry = quoted(context, ip, header);
  if (!(entry instanceof ControlBlock)) return;
  const { path } = entry;
  const least = entry.remote.isIpv4 ? PATH_MTU_MIN_IPV4 : PATH_MTU_MIN_IPV6;
  const narrowed = Math.min(Math.max(mtu, least), entry.knownMtu === 0 ? path.mtu : entry.knownMtu);
  if (narrowed >= path.mtu && narrowed >= entry.knownMtu) return;
  path.mtu = Math.min(path.mtu, narrowed);
  const before = entry.mss;
  if (currentMss(entry) < before) resend(entry);
}

/** What is out and longer than a segment may be now will not arrive. This is no sign of congestion, so the window stays (Linux: tcp_simple_retransmit). */
function resend(connection: ControlBlock): void {
  for (let segment = connection.sendQueue.head; segment !== null && segment !== connection.unsent; segment = segment.next) {
    if (segment.length > connection.mss && (segment.marks & SACKED) === 0) markLost(connection, segment);
  }
  if (connection.lostBytes === 0) return;
  if (connection.caState !== CA_LOSS) {
    connection.highSeq = connection.sendNext;
    connection.prrActive = false;
    connection.mayUndo = false;
    connection.caState = CA_LOSS;
  }
  retransmitLost(connection);
  armRetransmit(connection);
}
