/**
 * Which names the resolver answered for which address. Only answers for allowed names come here, so that an address is open because of a name
 * for as long as somebody inside can have learnt it that way.
 */
import type { IpAddress } from '#sentry/netstack/address.ts';
import { BINDING_MAX_NS, BINDING_MIN_NS, BOUND_ADDRESSES_MAX, NAMES_PER_ADDRESS_MAX } from '../limits.ts';

const NONE: readonly string[] = [];

export class NameBindings {
  /** By address, then by name: when it ends. An address that got a name moves to the end, so the first is the stalest. */
  private readonly byAddress = new Map<string, Map<string, number>>();

  /** `ttlSeconds` as the answer said. */
  bind(name: string, address: IpAddress, ttlSeconds: number, nowNs: number): void {
    const key = address.toString();
    const names = this.byAddress.get(key) ?? new Map<string, number>();
    this.byAddress.delete(key);
    if (this.byAddress.size >= BOUND_ADDRESSES_MAX) this.byAddress.delete(firstKey(this.byAddress)!);
    this.byAddress.set(key, names);
    const endNs = nowNs + Math.min(BINDING_MAX_NS, Math.max(BINDING_MIN_NS, ttlSeconds * 1e9));
    const known = names.get(name) ?? 0;
    names.delete(name);
    if (names.size >= NAMES_PER_ADDRESS_MAX) names.delete(firstKey(names)!);
    names.set(name, Math.max(known, endNs));
  }

  /** Names bound to `address` now. */
  namesOf(address: IpAddress, nowNs: number): readonly string[] {
    const key = address.toString();
    const names = this.byAddress.get(key);
    if (names === undefined) return NONE;
    for (const [name, endNs] of names) if (endNs <= nowNs) names.delete(name);
    if (names.size > 0) return [...names.keys()];
    this.byAddress.delete(key);
    return NONE;
  }

  get size(): number {
    return this.byAddress.size;
  }
}

function firstKey(map: ReadonlyMap<string, unknown>): string | undefined {
  return map.keys().next().value;
}
