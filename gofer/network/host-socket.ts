/**
 * Sockets of the host by address: opening, connecting and binding them without waiting. Every result is a number, negative for -errno.
 *
 * sockaddr_in and sockaddr_in6: ip(7), ipv6(7). An IPv4 address always travels as AF_INET, so that IPv6 sockets carry nothing but IPv6.
 */
import { EINPROGRESS, EINTR } from '#sentry/abi/errno.ts';
import {
  AF_INET,
  AF_INET6,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '#sentry/abi/socket.ts';
import type { IpAddress } from '#sentry/netstack/address.ts';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP } from '#sentry/netstack/ip/header.ts';
import type { SocketAddress } from '#sentry/netstack/socket-address.ts';
import { close, setsockopt } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import * as sockets from '#platform/host/sockets.ts';

const SOL_IPV6 = 41;
const TCP_NODELAY = 1;
const IPV6_V6ONLY = 26;
const BACKLOG = 512;

const ADDRESS = 0;
const LENGTH = 64;
const OPTION = 72;
const INET_SIZE = 16;
const INET6_SIZE = 28;

const memory = allocateMemory(4096);
const { view } = memory;

/** Writes the address of the next call; returns its length. */
function writeAddress(address: IpAddress, port: number): number {
  memory.bytes.fill(0, ADDRESS, ADDRESS + INET6_SIZE);
  const { isIpv4 } = address;
  view.setUint16(ADDRESS, isIpv4 ? AF_INET : AF_INET6, true);
  view.setUint16(ADDRESS + 2, port);
  if (isIpv4) view.setInt32(ADDRESS + 4, address.w3);
  else address.write(view, ADDRESS + 8);
  return isIpv4 ? INET_SIZE : INET6_SIZE;
}

function readAddress(into: SocketAddress): void {
  into.port = view.getUint16(ADDRESS + 2);
  into.scope = 0;
  if (view.getUint16(ADDRESS, true) === AF_INET) into.address.setIpv4(view.getInt32(ADDRESS + 4));
  else into.address.read(view, ADDRESS + 8);
}

function setOption(fd: number, level: number, option: number): void {
  view.setInt32(OPTION, 1, true);
  setsockopt(fd, level, option, memory.address + OPTION, 4);
}

function open(address: IpAddress, protocol: number): number {
  const isIcmp = protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6;
  const type = protocol === IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
  const icmp = address.isIpv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  return sockets.socket(address.isIpv4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, isIcmp ? icmp : 0);
}

/**
 * A socket on its way to `address` (port 0 for ICMP, where the host allows echo sockets: icmp(7)). Whether TCP arrived shows later,
 * by its becoming writable.
 */
export function openConnected(protocol: number, address: IpAddress, port: number): number {
  const fd = open(address, protocol);
  if (fd < 0) return fd;
  // The segments are the guest's: it has waited already where it wanted to.
  if (protocol === IPPROTO_TCP) setOption(fd, IPPROTO_TCP, TCP_NODELAY);
  return connectOrClose(fd, address, port);
}

function connectOrClose(fd: number, address: IpAddress, port: number): number {
  const result = sockets.connect(fd, memory.address + ADDRESS, writeAddress(address, port));
  if (result === 0 || result === -EINPROGRESS || result === -EINTR) return fd;
  close(fd);
  return result;
}

/** A socket that takes connections or datagrams at `local`. */
export function openListening(protocol: number, local: SocketAddress): number {
  const fd = openBound(protocol, local);
  if (fd < 0 || protocol !== IPPROTO_TCP) return fd;
  const result = sockets.listen(fd, BACKLOG);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** A datagram socket at `local` that belongs to one peer: the host prefers it to the listening one for what comes from there. */
export function openForPeer(protocol: number, local: SocketAddress, peer: SocketAddress): number {
  const fd = openBound(protocol, local);
  return fd < 0 ? fd : connectOrClose(fd, peer.address, peer.port);
}

function openBound(protocol: number, { address, port }: SocketAddress): number {
  const fd = open(address, protocol);
  if (fd < 0) return fd;
  setOption(fd, SOL_SOCKET, protocol === IPPROTO_TCP ? SO_REUSEADDR : SO_REUSEPORT);
  if (!address.isIpv4) setOption(fd, SOL_IPV6, IPV6_V6ONLY);
  const result = sockets.bind(fd, memory.address + ADDRESS, writeAddress(address, port));
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** The next connection that waits at a listening socket, or -errno (-EAGAIN: none). */
export function acceptConnection(fd: number, peer: SocketAddress): number {
  view.setUint32(LENGTH, INET6_SIZE, true);
  const accepted = sockets.accept(fd, memory.address + ADDRESS, memory.address + LENGTH, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted < 0) return accepted;
  readAddress(peer);
  setOption(accepted, IPPROTO_TCP, TCP_NODELAY);
  return accepted;
}

/** A datagram of at most `length` bytes to `intoAt`; who sent it goes to `peer`. */
export function receiveFrom(fd: number, intoAt: number, length: number, peer: SocketAddress): number {
  view.setUint32(LENGTH, INET6_SIZE, true);
  const received = sockets.recvfrom(fd, intoAt, length, 0, memory.address + ADDRESS, memory.address + LENGTH);
  if (received >= 0) readAddress(peer);
  return received;
}
