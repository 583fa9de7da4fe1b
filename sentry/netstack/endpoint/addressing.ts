/**
 * What datagram endpoints check and decide about addresses when they are bound, connected and sent from (bind(2), connect(2), ip(7),
 * ipv6(7)), in Linux's order of errors.
 */
import { EACCES, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, ENETUNREACH, ENODEV } from '#sentry/abi/errno.ts';
import { IpAddress } from '../address.ts';
import type { IpHeader } from '../ip/header.ts';
import type { IpOutput } from '../ip/output.ts';
import type { Path } from '../ip/path.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import type { SocketAddress } from '../socket-address.ts';
import { PMTUDISC_DO, PMTUDISC_DONT, PMTUDISC_INTERFACE, PMTUDISC_OMIT, PMTUDISC_PROBE } from './options.ts';
import type { EndpointOptions, SendAncillary } from './options.ts';

const ANY4 = new IpAddress().setIpv4(0);

/** The unspecified address of an endpoint of `version`. */
export function setAny(address: IpAddress, version: 4 | 6): void {
  if (version === 4) address.copy(ANY4);
  else address.clear();
}

/** Whether an endpoint may be bound to `address`: 0, -EADDRNOTAVAIL, -EINVAL (a link-local address without an interface), -ENODEV. */
export function checkBindAddress(interfaces: InterfaceTable, options: EndpointOptions, wanted: SocketAddress): number {
  const { address, scope } = wanted;
  if (address.isUnspecified) return 0;
  if (!address.isIpv4 && address.isLinkLocal) {
    const index = scope === 0 ? options.boundInterface : scope;
    if (index === 0) return -EINVAL;
    if (options.boundInterface !== 0 && options.boundInterface !== index) return -EINVAL;
    if (interfaces.byIndex(index) === null) return -ENODEV;
  }
  if (address.isMulticast || address.isLimitedBroadcast || options.isFreeBind) return 0;
  if (address.isIpv4 && isBroadcastOfSome(interfaces, address.w3)) return 0;
  return interfaces.isBindable(address) ? 0 : -EADDRNOTAVAIL;
}

function isBroadcastOfSome(interfaces: InterfaceTable, word: number): boolean {
  for (const owner of interfaces.list) if (owner.isBroadcast(word)) return true;
  return false;
}

/** Puts the question of a send into `path`: from where, by which interface, to whom. */
function preparePath(path: Path, options: EndpointOptions, local: SocketAddress, to: SocketAddress, ancillary: SendAncillary | null): void {
  const { address } = to;
  path.destination.copy(address);
  path.isSourceGiven = !local.address.isUnspecified && !local.address.isMulticast && !local.address.isLimitedBroadcast;
  if (path.isSourceGiven) path.source.copy(local.address);
  let bound = options.boundInterface;
  if (bound === 0 && to.scope !== 0 && !address.isIpv4) bound = to.scope;
  if (bound === 0 && local.scope !== 0 && !address.isIpv4) bound = local.scope;
  if (ancillary !== null) {
    if (ancillary.interfaceIndex !== 0) bound = ancillary.interfaceIndex;
    if (!ancillary.source.isUnspecified) {
      path.source.copy(ancillary.source);
      path.isSourceGiven = true;
    }
  }
  if (address.isMulticast) {
    if (bound === 0) bound = options.multicastInterface;
    if (!path.isSourceGiven && address.isIpv4 && !options.multicastSource.isUnspecified) {
      path.source.copy(options.multicastSource);
      path.isSourceGiven = true;
    }
  }
  path.boundInterface = bound;
  path.generation = -1;
}

/**
 * Finds the way of a send into `path`: 0, -EACCES (a broadcast without SO_BROADCAST), -EAFNOSUPPORT, -ENETUNREACH (versions that do not meet), or what
 * routing says.
 */
export function routeSend(
  output: IpOutput,
  path: Path,
  options: EndpointOptions,
  local: SocketAddress,
  to: SocketAddress,
  ancillary: SendAncillary | null,
): number {
  preparePath(path, options, local, to, ancillary);
  // Linux: an IPv6 socket bound to an IPv4 address cannot send IPv6.
  if (path.isSourceGiven && path.source.isIpv4 !== path.destination.isIpv4) return path.source.isIpv4 ? -EAFNOSUPPORT : -ENETUNREACH;
  const routed = output.route(path);
  if (routed < 0) return routed;
  const isBroadcast = path.destination.isLimitedBroadcast || (path.isToMany && !path.destination.isMulticast);
  return isBroadcast && !options.isBroadcastAllowed ? -EACCES : 0;
}

/** The IP header of a packet of this endpoint along `path`. */
export function prepareHeader(ip: IpHeader, protocol: number, path: Path, options: EndpointOptions, ancillary: SendAncillary | null): void {
  ip.prepare(path.source, path.destination, protocol);
  const isMulticast = path.destination.isMulticast;
  if (isMulticast) ip.hopLimit = options.multicastHops < 0 ? 1 : options.multicastHops;
  else if (options.hopLimit >= 0) ip.hopLimit = options.hopLimit;
  else if (ip.version === 6 && path.interface !== null) ip.hopLimit = path.interface.ipv6.hopLimit;
  ip.trafficClass = options.trafficClass;
  ip.isLooped = options.isMulticastLooped;
  ip.skipsChecksum = options.hasNoChecksum;
  ip.checksumCoverage = options.sendCoverage;
  ip.interfaceIndex = path.interfaceIndex;
  const discover = options.mtuDiscover;
  ip.dontFragment = discover !== PMTUDISC_DONT && discover !== PMTUDISC_INTERFACE && discover !== PMTUDISC_OMIT;
  ip.mayFragment = discover !== PMTUDISC_DO && discover !== PMTUDISC_PROBE && discover !== PMTUDISC_INTERFACE;
  ip.ignoresPathMtu = discover === PMTUDISC_PROBE || discover === PMTUDISC_INTERFACE;
  if (ancillary === null) return;
  if (ancillary.hopLimit >= 0) ip.hopLimit = ancillary.hopLimit;
  if (ancillary.trafficClass >= 0) ip.trafficClass = ancillary.trafficClass;
  if (ancillary.isNeverFragmented) ip.mayFragment = false;
}

/** Whether a control message may name this source address (IP_PKTINFO): it is ours, or the socket may use any. */
export function checkSource(interfaces: InterfaceTable, options: EndpointOptions, ancillary: SendAncillary | null): number {
  if (ancillary === null) return 0;
  if (ancillary.interfaceIndex !== 0 && interfaces.byIndex(ancillary.interfaceIndex) === null) return -ENODEV;
  const { source } = ancillary;
  if (source.isUnspecified || options.isFreeBind || interfaces.isBindable(source)) return 0;
  return source.isIpv4 ? -ENETUNREACH : -EINVAL;
}
