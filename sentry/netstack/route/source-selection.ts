/**
 * Which of our addresses a packet is sent from when its sender does not say (RFC 6724 section 5 for IPv6; for IPv4 as Linux's
 * inet_select_addr: the first primary address of the interface, one of the next hop's network rather than another).
 *
 * Of the rules of RFC 6724 those about home addresses and temporary addresses do not apply: there are none.
 */
import { commonPrefixLength } from '../address.ts';
import type { IpAddress } from '../address.ts';
import { IFA_F_DEPRECATED, IFA_F_SECONDARY, RT_SCOPE_HOST, RT_SCOPE_LINK } from '../link/interface.ts';
import type { InterfaceAddress, NetworkInterface } from '../link/interface.ts';
import type { InterfaceTable } from '../link/interface-table.ts';

/** The source address for a packet that leaves by `out` to `destination` by way of `nextHop`; null when there is none. */
export function selectSource(
  interfaces: InterfaceTable,
  out: NetworkInterface,
  destination: IpAddress,
  nextHop: IpAddress,
): IpAddress | null {
  if (destination.isIpv4) return selectIpv4(out, nextHop) ?? selectElsewhere(interfaces, out);
  return selectIpv6(interfaces, out, destination);
}

function selectIpv4(out: NetworkInterface, nextHop: IpAddress): IpAddress | null {
  let first: IpAddress | null = null;
  for (const candidate of out.addresses) {
    if (!candidate.address.isIpv4 || (candidate.flags & IFA_F_SECONDARY) !== 0) continue;
    if (candidate.scope >= RT_SCOPE_LINK && !nextHop.isLinkLocal && candidate.scope !== RT_SCOPE_LINK) continue;
    if (nextHop.isIn(candidate.peer, candidate.prefixBits)) return candidate.address;
    first ??= candidate.address;
  }
  return first;
}

/** An interface without an address borrows one. */
function selectElsewhere(interfaces: InterfaceTable, out: NetworkInterface): IpAddress | null {
  for (const other of interfaces.list) {
    if (other === out || !other.isUp) continue;
    for (const { address, scope } of other.addresses) if (address.isIpv4 && scope < RT_SCOPE_LINK) return address;
  }
  return null;
}

function selectIpv6(interfaces: InterfaceTable, out: NetworkInterface, destination: IpAddress): IpAddress | null {
  let best = bestOf(out, destination, null);
  // A link-local source says nothing on another link; everything else may be borrowed (weak host model, as Linux).
  if (best === null && !destination.isLinkLocal && !destination.isMulticast)
    for (const other of interfaces.list) if (other !== out && other.isUp) best = bestOf(other, destination, best);
  return best === null ? null : best.address;
}

function bestOf(owner: NetworkInterface, destination: IpAddress, soFar: InterfaceAddress | null): InterfaceAddress | null {
  let best = soFar;
  for (const candidate of owner.addresses) {
    if (candidate.address.isIpv4 || !candidate.isUsable || (candidate.scope === RT_SCOPE_HOST && !destination.isLoopback)) continue;
    if (best === null || isBetter(candidate, best, destination)) best = candidate;
  }
  return best;
}

/** Rules 1, 2, 3, 6 and 8 of RFC 6724, section 5. */
function isBetter(a: InterfaceAddress, b: InterfaceAddress, destination: IpAddress): boolean {
  if (a.address.equals(destination)) return true;
  if (b.address.equals(destination)) return false;
  const [scopeA, scopeB, scope] = [a.address.scope, b.address.scope, destination.scope];
  if (scopeA < scopeB) return scopeA >= scope;
  if (scopeB < scopeA) return scopeB < scope;
  const deprecated = (a.flags & IFA_F_DEPRECATED) - (b.flags & IFA_F_DEPRECATED);
  if (deprecated !== 0) return deprecated < 0;
  const wanted = policyLabel(destination);
  const labels = Number(policyLabel(a.address) === wanted) - Number(policyLabel(b.address) === wanted);
  if (labels !== 0) return labels > 0;
  return commonPrefixLength(a.address, destination) > commonPrefixLength(b.address, destination);
}

/** The label of the default policy table (RFC 6724, section 2.1). */
function policyLabel(address: IpAddress): number {
  if (address.isLoopback) return 0;
  if (address.isIpv4) return 4;
  const first = address.w0 >>> 16;
  if (first === 0x2002) return 2;
  if (address.w0 === 0x20010000) return 5;
  if (first >>> 9 === 0x7e) return 13;
  if (first >>> 6 === 0x3fb) return 11;
  if (first === 0x3ffe) return 12;
  return (address.w0 | address.w1 | address.w2) === 0 ? 3 : 1;
}
