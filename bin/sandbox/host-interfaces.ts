/**
 * What the host says about the interfaces of the network namespace this thread is in: names, addresses, routes and fixed neighbours, by rtnetlink(7).
 *
 * The facts are plain data, so that the process which took an interface can tell another about it in JSON. Addresses are in the text form of RFC 5952.
 */
import { AF_INET, AF_INET6 } from '#sentry/abi/socket.ts';
import { formatAddress, IPV4_PREFIX_BITS } from '#sentry/netstack/address.ts';
import type { Rtnetlink } from './rtnetlink.ts';

export interface HostLinkFacts {
  readonly index: number;
  readonly name: string;
  /** IFF_*. */
  readonly flags: number;
  /** ARPHRD_*. */
  readonly type: number;
  readonly mtu: number;
  /** Byte string. */
  readonly hardwareAddress: string;
}

export interface HostAddressFacts {
  readonly address: string;
  /** The other end of a point-to-point link; the address itself otherwise. */
  readonly peer: string;
  /** As written: of 32 or 128. */
  readonly prefixLength: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** IFA_F_*. */
  readonly flags: number;
}

export interface HostRouteFacts {
  readonly destination: string;
  /** Of 128. */
  readonly prefixBits: number;
  readonly gateway: string | null;
  readonly isOnLink: boolean;
  readonly source: string | null;
  readonly metric: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
}

/** A neighbour that was entered by hand (NUD_PERMANENT), as some container networks do for their gateway. */
export interface HostNeighbourFacts {
  readonly address: string;
  /** Byte string of six bytes. */
  readonly hardwareAddress: string;
}

export interface HostInterfaceFacts {
  readonly link: HostLinkFacts;
  readonly addresses: readonly HostAddressFacts[];
  readonly routes: readonly HostRouteFacts[];
  readonly neighbours: readonly HostNeighbourFacts[];
}

const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
const RTM_GETNEIGH = 30;
const IFINFOMSG = 16;
const IFADDRMSG = 8;
const RTMSG = 12;
const NDMSG = 12;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;
const RTNH_F_ONLINK = 4;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const ETHERNET_ADDRESS = 6;

export function hostLinks(routing: Rtnetlink): HostLinkFacts[] {
  const found: HostLinkFacts[] = [];
  routing.dump(RTM_GETLINK, IFINFOMSG, (body, attributes) => {
    found.push({
      index: body.getInt32(4, true),
      name: attributes.bytes(IFLA_IFNAME).slice(0, -1),
      flags: body.getUint32(8, true),
      type: body.getUint16(2, true),
      mtu: attributes.u32(IFLA_MTU) ?? 0,
      hardwareAddress: attributes.bytes(IFLA_ADDRESS),
    });
  });
  return found;
}

export function hostInterface(routing: Rtnetlink, link: HostLinkFacts): HostInterfaceFacts {
  const { index } = link;
  return { link, addresses: addressesOf(routing, index), routes: routesOf(routing, index), neighbours: neighboursOf(routing, index) };
}

function addressesOf(routing: Rtnetlink, index: number): HostAddressFacts[] {
  const found: HostAddressFacts[] = [];
  routing.dump(RTM_GETADDR, IFADDRMSG, (body, attributes) => {
    if (body.getInt32(4, true) !== index) return;
    const peer = attributes.address(IFA_ADDRESS);
    const address = attributes.address(IFA_LOCAL) ?? peer;
    if (address === null) return;
    found.push({
      address: formatAddress(address),
      peer: formatAddress(peer ?? address),
      prefixLength: body.getUint8(1),
      scope: body.getUint8(3),
      flags: attributes.u32(IFA_FLAGS) ?? body.getUint8(2),
    });
  });
  return found;
}

/** Unicast routes of the main table. */
function routesOf(routing: Rtnetlink, index: number): HostRouteFacts[] {
  const found: HostRouteFacts[] = [];
  routing.dump(RTM_GETROUTE, RTMSG, (body, attributes) => {
    const family = body.getUint8(0);
    if (family !== AF_INET && family !== AF_INET6) return;
    if (body.getUint8(4) !== RT_TABLE_MAIN || body.getUint8(7) !== RTN_UNICAST) return;
    if (attributes.u32(RTA_OIF) !== index) return;
    const destination = attributes.address(RTA_DST);
    const gateway = attributes.address(RTA_GATEWAY);
    const source = attributes.address(RTA_PREFSRC);
    found.push({
      destination: destination === null ? anywhere(family) : formatAddress(destination),
      prefixBits: body.getUint8(1) + (family === AF_INET ? IPV4_PREFIX_BITS : 0),
      gateway: gateway === null ? null : formatAddress(gateway),
      isOnLink: (body.getUint32(8, true) & RTNH_F_ONLINK) !== 0,
      source: source === null ? null : formatAddress(source),
      metric: attributes.u32(RTA_PRIORITY) ?? 0,
      scope: body.getUint8(6),
    });
  });
  return found;
}

function anywhere(family: number): string {
  return family === AF_INET ? '0.0.0.0' : '::';
}

function neighboursOf(routing: Rtnetlink, index: number): HostNeighbourFacts[] {
  const found: HostNeighbourFacts[] = [];
  routing.dump(RTM_GETNEIGH, NDMSG, (body, attributes) => {
    if (body.getInt32(4, true) !== index || (body.getUint16(8, true) & NUD_PERMANENT) === 0) return;
    const address = attributes.address(NDA_DST);
    const hardwareAddress = attributes.bytes(NDA_LLADDR);
    if (address !== null && hardwareAddress.length === ETHERNET_ADDRESS) found.push({ address: formatAddress(address), hardwareAddress });
  });
  return found;
}
