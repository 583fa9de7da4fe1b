/**
 * What a guest sets with setsockopt(2) on a TCP socket (tcp(7), socket(7), ip(7)) as far as the protocol acts on it. A listener's options are
 * copied to the connections it accepts.
 */
import type { PacketFilter } from '../../bpf/packet-filter.ts';
import {
  FIN_TIMEOUT_NS,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_PROBES,
  KEEPALIVE_TIME_MS,
  MS,
  RECEIVE_BUFFER_DEFAULT,
  SEND_BUFFER_DEFAULT,
  SYN_RETRIES,
} from './limits.ts';

export class TcpOptions {
  /** TCP_NODELAY, TCP_CORK. */
  noDelay = 0;
  cork = 0;
  /** SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT. */
  keepAlive = 0;
  keepIdleMs = KEEPALIVE_TIME_MS;
  keepIntervalMs = KEEPALIVE_INTERVAL_MS;
  keepCount = KEEPALIVE_PROBES;
  /** TCP_USER_TIMEOUT, 0: as the retries say. */
  userTimeoutMs = 0;
  /** TCP_SYNCNT. */
  synRetries = SYN_RETRIES;
  /** TCP_DEFER_ACCEPT: SYN-ACKs to be repeated before a connection without data is dropped, 0: off. */
  deferAccept = 0;
  /** TCP_LINGER2: how long an orphan stays in FIN_WAIT2; negative: not at all. */
  finTimeoutMs = FIN_TIMEOUT_NS / MS;
  /** TCP_MAXSEG, 0: as the path has it. */
  maxSegment = 0;
  /** TCP_WINDOW_CLAMP, 0: none. */
  windowClamp = 0;
  /** TCP_NOTSENT_LOWAT, 0: none. */
  notSentLowWater = 0;
  /** TCP_CONGESTION. */
  congestion = 'cubic';
  /** SO_OOBINLINE. */
  oobInline = 0;
  /** SO_SNDBUF and SO_RCVBUF as Linux doubles them, and whether the guest set them, which ends their growth. */
  sendBuffer = SEND_BUFFER_DEFAULT;
  receiveBuffer = RECEIVE_BUFFER_DEFAULT;
  sendBufferLocked = 0;
  receiveBufferLocked = 0;
  /** SO_RCVLOWAT. */
  receiveLowWater = 1;
  /** IP_TTL or IPV6_UNICAST_HOPS, IP_TOS or IPV6_TCLASS. */
  hopLimit = 64;
  trafficClass = 0;
  /** SO_ATTACH_FILTER. */
  filter: PacketFilter | null = null;
  /** SO_LINGER: seconds, -1: off. */
  lingerSeconds = -1;

  copy(other: TcpOptions): void {
    Object.assign(this, other);
  }
}
