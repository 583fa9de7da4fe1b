/**
 * What a layer above IP knows of the packet it sends or receives: the fields of both versions' headers in one reusable object.
 *
 * On output the layer above fills addresses, protocol, hop limit and traffic class. On input IP fills everything. Objects are scratch:
 * who keeps one copies it (`copy`).
 *
 * RFC 791, RFC 8200; trafficClass is the TOS byte of IPv4.
 */
import { IpAddress } from '../address.ts';

export const IPPROTO_ICMP = 1;
export const IPPROTO_IGMP = 2;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_UDPLITE = 136;
export const IPPROTO_RAW = 255;

export const HOP_LIMIT_DEFAULT = 64;

export class IpHeader {
  version: 4 | 6 = 4;
  readonly source = new IpAddress();
  readonly destination = new IpAddress();
  protocol = 0;
  hopLimit = HOP_LIMIT_DEFAULT;
  /** TOS or traffic class, with the two ECN bits. */
  trafficClass = 0;
  /** IPv6 only, 20 bits. */
  flowLabel = 0;
  /** The DF bit of IPv4. */
  dontFragment = false;
  /** Output: a packet that is too big is sent in fragments, not answered with -EMSGSIZE. */
  mayFragment = true;
  /** Output: sent in packets of the interface's MTU even if the path's is known to be smaller (IP_PMTUDISC_PROBE). */
  ignoresPathMtu = false;
  /** Output to a group: this host gets it too if it is a member (IP_MULTICAST_LOOP). */
  isLooped = true;
  /** UDP: the checksum is 0, none was made. */
  skipsChecksum = false;
  /** UDP-Lite: bytes from its header on that the checksum covers, 0 for all. */
  checksumCoverage = 0;
  /** Input: the identification field, for quotations. */
  identification = 0;
  /** Input: where it arrived; output: the interface it has to leave by, 0 for any. */
  interfaceIndex = 0;
  /** Input: it came to a broadcast or multicast address, so nobody answers it with an error. */
  isToMany = false;

  copy(other: IpHeader): this {
    this.version = other.version;
    this.source.copy(other.source);
    this.destination.copy(other.destination);
    this.protocol = other.protocol;
    this.hopLimit = other.hopLimit;
    this.trafficClass = other.trafficClass;
    this.flowLabel = other.flowLabel;
    this.dontFragment = other.dontFragment;
    this.mayFragment = other.mayFragment;
    this.ignoresPathMtu = other.ignoresPathMtu;
    this.isLooped = other.isLooped;
    this.skipsChecksum = other.skipsChecksum;
    this.checksumCoverage = other.checksumCoverage;
    this.identification = other.identification;
    this.interfaceIndex = other.interfaceIndex;
    this.isToMany = other.isToMany;
    return this;
  }

  /** A packet of our own from `source` to `destination` with everything else at its default. */
  prepare(source: IpAddress, destination: IpAddress, protocol: number): this {
    this.version = destination.version;
    this.source.copy(source);
    this.destination.copy(destination);
    this.protocol = protocol;
    this.hopLimit = HOP_LIMIT_DEFAULT;
    this.trafficClass = 0;
    this.flowLabel = 0;
    this.dontFragment = false;
    this.mayFragment = true;
    this.ignoresPathMtu = false;
    this.isLooped = true;
    this.skipsChecksum = false;
    this.checksumCoverage = 0;
    this.identification = 0;
    this.interfaceIndex = 0;
    this.isToMany = false;
    return this;
  }

  /** Turns an arrived packet's header into that of its answer. */
  prepareAnswer(to: IpHeader): this {
    return this.prepare(to.destination, to.source, to.protocol);
  }
}
