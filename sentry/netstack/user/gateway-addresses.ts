/**
 * The network that a guest with `--net=user` sees: the addresses that users of slirp know, and their fellows in IPv6 (RFC 4193).
 *
 *     10.0.2.100, fd00::100    the guest        10.0.2.3, fd00::3    answers DNS
 *     10.0.2.2, fd00::2        the gateway, and behind it the host's own loopback
 */
import { IPV4_PREFIX_BITS, parseAddress } from '../address.ts';
import type { IpAddress } from '../address.ts';

export interface UserNetwork {
  readonly guest: IpAddress;
  readonly gateway: IpAddress;
  readonly dns: IpAddress;
  /** The host's loopback address, which the gateway's stands for. */
  readonly loopback: IpAddress;
  /** Of 128. */
  readonly prefixBits: number;
}

export const USER_NETWORK_4: UserNetwork = {
  guest: parseAddress('10.0.2.100')!,
  gateway: parseAddress('10.0.2.2')!,
  dns: parseAddress('10.0.2.3')!,
  loopback: parseAddress('127.0.0.1')!,
  prefixBits: IPV4_PREFIX_BITS + 24,
};

export const USER_NETWORK_6: UserNetwork = {
  guest: parseAddress('fd00::100')!,
  gateway: parseAddress('fd00::2')!,
  dns: parseAddress('fd00::3')!,
  loopback: parseAddress('::1')!,
  prefixBits: 64,
};

export function networkOf(address: IpAddress): UserNetwork {
  return address.isIpv4 ? USER_NETWORK_4 : USER_NETWORK_6;
}

/**
 * Where a destination of the guest's lies in the host's world; null: nowhere (the rest of the guest's own network, groups, the guest's loopback).
 */
export function outsideAddress(address: IpAddress): IpAddress | null {
  const network = networkOf(address);
  if (address.equals(network.gateway)) return network.loopback;
  if (!address.isUnicast || address.isLoopback || address.isIn(network.gateway, network.prefixBits)) return null;
  return address;
}
