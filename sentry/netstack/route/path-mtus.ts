/**
 * Path MTUs that are smaller than the interface's (RFC 1191, RFC 8201): by destination, forgotten after ten minutes
 * (net.ipv4.route.mtu_expires), the oldest first when there are too many.
 *
 * What a router claims is believed within bounds only: an MTU below the minimum would be a way to make us send tiny packets, and a larger
 * one than is known tells nothing (RFC 5927, section 7).
 */
import type { IpAddress } from '../address.ts';
import { IpAddress as Address } from '../address.ts';
import { AddressMap } from '../address-map.ts';
import { PATH_MTUS_MAX } from '../limits.ts';
import { SECOND } from '../stack-state.ts';
import type { StackState } from '../stack-state.ts';
import { IPV6_MTU_MIN } from '../wire/ipv6.ts';

const EXPIRES_NS = 600 * SECOND;
/** net.ipv4.route.min_pmtu. */
const IPV4_MTU_MIN = 552;

class PathMtu {
  readonly address = new Address();
  mtu = 0;
  expiresNs = 0;
}

export class PathMtus {
  private readonly state: StackState;
  private readonly entries = new AddressMap<PathMtu>();

  constructor(state: StackState) {
    this.state = state;
  }

  /** The MTU to `destination` if one below `interfaceMtu` is known, `interfaceMtu` otherwise. */
  limit(destination: IpAddress, interfaceMtu: number): number {
    if (this.entries.size === 0) return interfaceMtu;
    const entry = this.entries.get(destination);
    if (entry === null) return interfaceMtu;
    if (entry.expiresNs > this.state.nowNs) return Math.min(entry.mtu, interfaceMtu);
    this.entries.delete(destination);
    return interfaceMtu;
  }

  /** A router said that packets to `destination` may have `mtu` bytes. */
  lower(destination: IpAddress, mtu: number): void {
    const least = destination.isIpv4 ? IPV4_MTU_MIN : IPV6_MTU_MIN;
    let entry = this.entries.get(destination);
    if (entry !== null && entry.expiresNs > this.state.nowNs && entry.mtu <= mtu) return;
    if (entry === null) {
      if (this.entries.size >= PATH_MTUS_MAX) this.evict();
      entry = new PathMtu();
      entry.address.copy(destination);
      this.entries.set(destination, entry);
    }
    entry.mtu = Math.max(mtu, least);
    entry.expiresNs = this.state.nowNs + EXPIRES_NS;
    this.state.generation++;
  }

  private evict(): void {
    const { eldest } = this.entries;
    if (eldest !== null) this.entries.delete(eldest.address);
  }
}
