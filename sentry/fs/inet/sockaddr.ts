/**
 * struct sockaddr_in and sockaddr_in6 as byte strings, to and from the stack's addresses (ip(7), ipv6(7)). IPv4 addresses of IPv6 sockets are
 * ::ffff:a.b.c.d on both sides.
 */
import { EAFNOSUPPORT, EINVAL } from '#sentry/abi/errno.ts';
import { SOCKADDR_IN6_MIN, SOCKADDR_IN6_SIZE, SOCKADDR_IN_SIZE } from '#sentry/abi/inet.ts';
import { AF_INET, AF_INET6 } from '#sentry/abi/socket.ts';
import type { SocketAddress } from '../../netstack/socket-address.ts';

/** sa_family. The address has at least two bytes. */
export function familyOf(address: string): number {
  return address.charCodeAt(0) | (address.charCodeAt(1) << 8);
}

function word(address: string, at: number): number {
  return (
    (address.charCodeAt(at) << 24) | (address.charCodeAt(at + 1) << 16) | (address.charCodeAt(at + 2) << 8) | address.charCodeAt(at + 3)
  );
}

/** Reads a sockaddr of the family `domain`: 0, -EINVAL (too short), -EAFNOSUPPORT (another family). */
export function readSockaddr(address: string, domain: number, into: SocketAddress): number {
  if (address.length < (domain === AF_INET ? SOCKADDR_IN_SIZE : SOCKADDR_IN6_MIN)) return -EINVAL;
  if (familyOf(address) !== domain) return -EAFNOSUPPORT;
  into.port = (address.charCodeAt(2) << 8) | address.charCodeAt(3);
  into.scope = 0;
  if (domain === AF_INET) {
    into.address.setIpv4(word(address, 4));
    return 0;
  }
  into.address.set(word(address, 8), word(address, 12), word(address, 16), word(address, 20));
  if (address.length >= SOCKADDR_IN6_SIZE) into.scope = littleWord(address, 24);
  return 0;
}

function littleWord(address: string, at: number): number {
  return (
    (address.charCodeAt(at + 3) << 24) | (address.charCodeAt(at + 2) << 16) | (address.charCodeAt(at + 1) << 8) | address.charCodeAt(at)
  );
}

function bigText(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

function littleText(value: number): string {
  return String.fromCharCode(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
}

const ZERO_8 = '\0\0\0\0\0\0\0\0';

/** The sockaddr of `domain` for an address of the stack. `flowLabel`: sin6_flowinfo. */
export function writeSockaddr(from: SocketAddress, domain: number, flowLabel = 0): string {
  const { address, port, scope } = from;
  const start = String.fromCharCode(domain, 0, port >>> 8, port & 255);
  if (domain === AF_INET) return start + bigText(address.w3) + ZERO_8;
  return (
    start + bigText(flowLabel) + bigText(address.w0) + bigText(address.w1) + bigText(address.w2) + bigText(address.w3) + littleText(scope)
  );
}

/** The first 16 bytes of struct sockaddr_in at `at` of a view, for ioctls and error queues. */
export function putSockaddr(view: DataView, at: number, from: SocketAddress, domain: number): number {
  view.setUint16(at, domain, true);
  view.setUint16(at + 2, from.port);
  if (domain !== AF_INET6) {
    view.setInt32(at + 4, from.address.w3);
    view.setInt32(at + 8, 0);
    view.setInt32(at + 12, 0);
    return SOCKADDR_IN_SIZE;
  }
  view.setUint32(at + 4, 0);
  from.address.write(view, at + 8);
  view.setUint32(at + 24, from.scope, true);
  return SOCKADDR_IN6_SIZE;
}
