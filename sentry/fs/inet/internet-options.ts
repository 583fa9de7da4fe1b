/**
 * What setsockopt(2) sets at the levels IPPROTO_IP and IPPROTO_IPV6, kept by the socket; what a protocol acts on is handed to its endpoint by
 * `InternetSocket.ipChanged`.
 */
import { IpAddress } from '../../netstack/address.ts';

/** `InternetOptions.tells` bits: which facts of a packet recvmsg(2) tells. */
export const TELL_PKTINFO = 1 << 0;
export const TELL_TTL = 1 << 1;
export const TELL_TOS = 1 << 2;
export const TELL_ORIGINAL_DESTINATION = 1 << 3;
export const TELL_PKTINFO6 = 1 << 4;
export const TELL_HOP_LIMIT = 1 << 5;
export const TELL_TRAFFIC_CLASS = 1 << 6;
export const TELL_ORIGINAL_DESTINATION6 = 1 << 7;
/** They have no facts to tell here, but can be switched: options of packets, sizes of fragments, path MTUs. */
export const TELL_OPTIONS = 1 << 8;
export const TELL_RETURN_OPTIONS = 1 << 9;
export const TELL_FRAGMENT_SIZE = 1 << 10;
export const TELL_PATH_MTU = 1 << 11;
export const TELL_FRAGMENT_SIZE6 = 1 << 12;
export const TELL_CHECKSUM = 1 << 13;

export class InternetOptions {
  /** IP_TTL; -1: the default. IPV6_UNICAST_HOPS is another option of the same socket. */
  timeToLive = -1;
  hopLimit6 = -1;
  typeOfService = 0;
  trafficClass6 = 0;
  multicastTtl = 1;
  multicastHops6 = -1;
  multicastLoop = 1;
  multicastLoop6 = 1;
  multicastAll = 1;
  multicastAll6 = 1;
  /** Interface of multicast packets, 0: as routes say; IPv4: or by one of its addresses. */
  multicastInterface = 0;
  multicastInterface6 = 0;
  readonly multicastSource = new IpAddress().setIpv4(0);
  unicastInterface = 0;
  unicastInterface6 = 0;
  /** IP_PMTUDISC_*. */
  mtuDiscover = 1;
  mtuDiscover6 = 1;
  queuesErrors = 0;
  queuesErrors6 = 0;
  freeBind = 0;
  transparent = 0;
  bindAddressNoPort = 0;
  minTtl = 0;
  minHops6 = 0;
  v6Only = 0;
  dontFragment6 = 0;
  autoFlowLabel = 1;
  headerIncluded = 0;
  /** TELL_*. */
  tells = 0;
}
