/**
 * Options of datagram endpoints that the stack acts on (socket(7), ip(7), ipv6(7), udp(7)). Plain fields: the socket layer checks values
 * and privileges before it sets one.
 */
import type { PacketFilter } from '../../bpf/packet-filter.ts';
import { IpAddress } from '../address.ts';

/** net.core.rmem_default, wmem_default. */
const BUFFER_DEFAULT = 212_992;

/** IP_MTU_DISCOVER and IPV6_MTU_DISCOVER: IP_PMTUDISC_*. */
export const PMTUDISC_DONT = 0;
export const PMTUDISC_WANT = 1;
export const PMTUDISC_DO = 2;
export const PMTUDISC_PROBE = 3;
export const PMTUDISC_INTERFACE = 4;
export const PMTUDISC_OMIT = 5;

export class EndpointOptions {
  receiveBuffer = BUFFER_DEFAULT;
  sendBuffer = BUFFER_DEFAULT;
  /** SO_REUSEADDR, SO_REUSEPORT; the latter among sockets of the same user. */
  reuseAddress = false;
  reusePort = false;
  uid = 0;
  /** SO_ATTACH_FILTER. */
  filter: PacketFilter | null = null;
  /** SO_BINDTODEVICE: an interface index, 0 for none. */
  boundInterface = 0;
  isBroadcastAllowed = false;
  isV6Only = false;
  /** -1: the default. */
  hopLimit = -1;
  trafficClass = 0;
  /** -1: 1. */
  multicastHops = -1;
  isMulticastLooped = true;
  /** IP_MULTICAST_ALL: what comes to groups that others of the host joined. */
  takesAllGroups = true;
  multicastInterface = 0;
  readonly multicastSource = new IpAddress();
  mtuDiscover = PMTUDISC_WANT;
  /** IP_RECVERR, IPV6_RECVERR: errors are queued, soft ones too. */
  isErrorQueued = false;
  /** IP_FREEBIND, IP_TRANSPARENT: addresses that are not ours may be bound. */
  isFreeBind = false;
  /** UDP_SEGMENT: 0 or bytes of each datagram that a send is cut to. */
  segmentSize = 0;
  /** UDP_CORK. */
  isCorked = false;
  /** SO_NO_CHECK, UDP_NO_CHECK6_TX: datagrams leave without a checksum. */
  hasNoChecksum = false;
  /** UDP_NO_CHECK6_RX: IPv6 datagrams without a checksum are taken (RFC 6935). */
  takesNoChecksum = false;
  /** UDPLITE_SEND_CSCOV and UDPLITE_RECV_CSCOV: bytes covered by the checksum (0: all), and the least that is taken (0: whatever comes). */
  sendCoverage = 0;
  receiveCoverage = 0;
}

/** What a single send overrides: control messages of sendmsg. The caller's object. */
export class SendAncillary {
  /** IP_PKTINFO, IPV6_PKTINFO: unspecified for none. */
  readonly source = new IpAddress();
  interfaceIndex = 0;
  /** -1: as the socket's. */
  hopLimit = -1;
  trafficClass = -1;
  /** UDP_SEGMENT, -1: as the socket's. */
  segmentSize = -1;
  /** IPV6_DONTFRAG. */
  isNeverFragmented = false;

  clear(): this {
    this.source.clear();
    this.interfaceIndex = 0;
    this.hopLimit = -1;
    this.trafficClass = -1;
    this.segmentSize = -1;
    this.isNeverFragmented = false;
    return this;
  }
}
