/**
 * What sockets of AF_INET and AF_INET6 have in common: the levels IPPROTO_IP and IPPROTO_IPV6, names of interfaces, addresses, and how an
 * endpoint's news reach those who wait.
 *
 *     InternetSocket ── DatagramSocket ── UdpSocket, RawSocket, PingSocket
 *                    └─ TcpSocket
 */
import { EAFNOSUPPORT, ENODEV, ENOPROTOOPT, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { SOL_IP, SOL_IPV6 } from '#sentry/abi/inet.ts';
import { AF_INET, AF_INET6, AF_UNSPEC, SOL_SOCKET } from '#sentry/abi/socket.ts';
import type { IpAddress } from '../../netstack/address.ts';
import type { EndpointObserver } from '../../netstack/endpoint/observer.ts';
import { SocketAddress } from '../../netstack/socket-address.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { Socket } from '../socket/socket.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { OptionValue } from '../socket/option-table.ts';
import { InternetOptions } from './internet-options.ts';
import { IP_LEVEL } from './ip-level.ts';
import { IPV6_LEVEL } from './ipv6-level.ts';
import type { Network } from './network.ts';
import { familyOf, readSockaddr } from './sockaddr.ts';

/** What all internet sockets of a sandbox share. */
export interface InternetDomain {
  readonly files: AnonymousFiles;
  readonly network: Network;
}

/** An address that a call gave. One object serves all calls. */
export const given = new SocketAddress();

export abstract class InternetSocket extends Socket implements EndpointObserver {
  readonly network: Network;
  protected readonly shared: InternetDomain;
  readonly ip = new InternetOptions();

  constructor(shared: InternetDomain, domain: number, type: number, protocol: number, flags: number, caller: Caller) {
    super(shared.files, domain, type, protocol, flags, caller);
    this.shared = shared;
    this.network = shared.network;
  }

  override get isInternet(): boolean {
    return true;
  }

  get isIpv6(): boolean {
    return this.domain === AF_INET6;
  }

  /** EndpointObserver: the endpoint's events are ours. */
  onChange(events: number): void {
    if (!this.queue.isEmpty) this.queue.notify(events);
  }

  /** Reads a sockaddr of our own family into `given`: 0 or -errno. */
  protected readOwn(address: string): number {
    return readSockaddr(address, this.domain, given);
  }

  /** The same for bind(2). Linux inet_bind: programs bind with AF_UNSPEC to the unspecified address. */
  protected readBindAddress(address: string): number {
    const read = this.readOwn(address);
    if (read !== -EAFNOSUPPORT || this.isIpv6 || familyOf(address) !== AF_UNSPEC) return read;
    readSockaddr(String.fromCharCode(AF_INET, 0) + address.slice(2), AF_INET, given);
    return given.address.isUnspecified ? 0 : -EAFNOSUPPORT;
  }

  // Options.
  override setOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    if (level === SOL_IP) return IP_LEVEL.set(this, name, value, caller);
    if (level === SOL_IPV6 && this.isIpv6) return IPV6_LEVEL.set(this, name, value, caller);
    return this.setProtocolOption(level, name, value, caller);
  }

  override getOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    if (level === SOL_IP) return IP_LEVEL.get(this, name, value, caller);
    if (level === SOL_IPV6 && this.isIpv6) return IPV6_LEVEL.get(this, name, value, caller);
    return this.getProtocolOption(level, name, value, caller);
  }

  protected setProtocolOption(_level: number, _name: number, _value: OptionValue, _caller: SocketCaller): number {
    return -ENOPROTOOPT;
  }
  /** Linux: a level that is not there is another error for reading than for setting. */
  protected getProtocolOption(_level: number, _name: number, _value: OptionValue, _caller: SocketCaller): number {
    return -EOPNOTSUPP;
  }

  /** Options in `ip` have changed: the endpoint is told. */
  abstract ipChanged(): void;
  /** Whether the socket has a port. */
  abstract get isPortBound(): boolean;
  /** The path MTU to the peer, 0 without one. */
  abstract get pathMtu(): number;

  /** Joins or leaves a multicast group on an interface (0: the one that routes lead to): 0 or -errno. */
  join(_group: IpAddress, _interfaceIndex: number): number {
    return -EOPNOTSUPP;
  }
  leave(_group: IpAddress, _interfaceIndex: number): number {
    return -EOPNOTSUPP;
  }

  protected isOn(option: number): boolean {
    return (this.options.switches.get(option) ?? 0) !== 0;
  }

  override interfaceIndex(name: string): number {
    return this.network.stack.interfaces.byName(name)?.index ?? -ENODEV;
  }

  override interfaceName(index: number): string | null {
    return this.network.stack.interfaces.byIndex(index)?.name ?? null;
  }

  /** Linux __sock_cmsg_send: files and credentials mean nothing here and are passed over. */
  protected static isIgnoredControl(level: number, type: number): boolean {
    return level === SOL_SOCKET && (type === 1 || type === 2);
  }
}
