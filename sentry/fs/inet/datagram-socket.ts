/**
 * Sockets with message boundaries over an endpoint of the stack: receiving, errors, control messages, options. UDP, raw and ping sockets
 * derive from it and say how their endpoint is bound, connected and sent from.
 */
import { EAFNOSUPPORT, EAGAIN, EINVAL, ENOTCONN, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import { O_NONBLOCK, POLLWRBAND, WRITABLE } from '#sentry/abi/fs.ts';
import { SOCK_EXTENDED_ERR_SIZE, SOL_IP, SOL_IPV6, IP_RECVERR, IPV6_RECVERR } from '#sentry/abi/inet.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  FIONREAD,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_TRUNC,
  SIOCOUTQ,
  SO_ATTACH_FILTER,
  SO_BROADCAST,
  SO_KEEPALIVE,
  SO_MARK,
  SO_NO_CHECK,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_SOCKET,
} from '#sentry/abi/socket.ts';
import type { IpAddress } from '../../netstack/address.ts';
import { ReceivedDatagram, ReceivedError } from '../../netstack/endpoint/datagram.ts';
import type { DatagramEndpoint } from '../../netstack/endpoint/datagram-endpoint.ts';
import { SocketAddress } from '../../netstack/socket-address.ts';
import type { SendAncillary } from '../../netstack/endpoint/options.ts';
import type { Io } from '../../mm/io.ts';
import { capable, CAP_NET_ADMIN, CAP_NET_RAW } from '../../vfs/credentials.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { takeIpControl, takeIpv6Control, tellPacketFacts, tellSocketFacts } from './control-messages.ts';
import { given, InternetSocket } from './internet-socket.ts';
import type { InternetDomain } from './internet-socket.ts';
import { familyOf, putSockaddr, readSockaddr, writeSockaddr } from './sockaddr.ts';

/** What endpoints of all three kinds can do. */
export interface SendingEndpoint extends DatagramEndpoint {
  bind(wanted: SocketAddress): number;
  connect(to: SocketAddress | null): number;
  send(io: Io, to: SocketAddress | null, ancillary: SendAncillary | null, flags: number): number;
}

// What the last receive told. One object of each serves all calls.
const datagram = new ReceivedDatagram();
const report = new ReceivedError();
const offender = new SocketAddress();

export abstract class DatagramSocket<E extends SendingEndpoint> extends InternetSocket {
  readonly endpoint: E;
  /** As connect(2) gave it: Linux takes a peer without a port for none (inet_getname). */
  private peerPort = 0;

  constructor(shared: InternetDomain, endpoint: E, domain: number, type: number, protocol: number, flags: number, caller: Caller) {
    super(shared, domain, type, protocol, flags, caller);
    this.endpoint = endpoint;
    endpoint.observer = this;
    endpoint.options.uid = caller.credentials.fsuid;
  }

  override get keepsBoundaries(): boolean {
    return true;
  }

  override get isPortBound(): boolean {
    return this.endpoint.local.port !== 0;
  }

  // Names.
  override bind(address: string, caller: SocketCaller): number {
    const read = this.readBindAddress(address);
    if (read < 0) return read;
    const refused = this.mayBind(caller);
    if (refused < 0) return refused;
    this.network.enter();
    return this.endpoint.bind(given);
  }

  /** Whether the caller may have the port in `given`. */
  protected mayBind(_caller: SocketCaller): number {
    return 0;
  }

  override connect(address: string, caller: SocketCaller): number {
    this.network.enter();
    this.endpoint.owner = caller;
    if (familyOf(address) === AF_UNSPEC) return this.endpoint.connect(null);
    const read = this.readPeer(address);
    if (read < 0) return read;
    this.peerPort = given.port;
    if (given.address.isUnspecified) this.meanOurselves();
    return this.endpoint.connect(given);
  }

  /** An address to send to: IPv6 sockets take those of IPv4 too. */
  private readPeer(address: string): number {
    if (!this.isIpv6 || familyOf(address) !== AF_INET) return this.readOwn(address);
    if (this.ip.v6Only !== 0) return -EAFNOSUPPORT;
    return readSockaddr(address, AF_INET, given);
  }

  /** Linux: the unspecified address is this host. */
  private meanOurselves(): void {
    if (given.address.isIpv4) given.address.setIpv4(0x7f000001);
    else given.address.set(0, 0, 0, 1);
  }

  override localAddress(): string {
    return writeSockaddr(this.endpoint.local, this.domain);
  }

  override peerAddress(): string | number {
    return this.endpoint.isConnected && this.peerPort !== 0 ? writeSockaddr(this.endpoint.remote, this.domain) : -ENOTCONN;
  }

  // Data.
  override send(io: Io, outgoing: Outgoing, flags: number, caller: SocketCaller): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    let to: SocketAddress | null = null;
    if (outgoing.address !== '' && !(this.isIpv6 && familyOf(outgoing.address) === AF_UNSPEC)) {
      const read = this.readDestination(outgoing.address);
      if (read < 0) return read;
      if (given.address.isUnspecified) this.meanOurselves();
      to = given;
    }
    this.network.enter();
    this.endpoint.owner = caller;
    return this.endpoint.send(io, to, outgoing.hasPacket ? outgoing.packet : null, flags);
  }

  /** Linux udp_sendmsg takes AF_UNSPEC for AF_INET; udpv6_sendmsg says EINVAL of families it does not know. */
  private readDestination(address: string): number {
    const family = familyOf(address);
    if (!this.isIpv6) {
      const text = family === AF_UNSPEC ? String.fromCharCode(AF_INET, 0) + address.slice(2) : address;
      return readSockaddr(text, AF_INET, given);
    }
    if (family === AF_INET || family === AF_INET6) return readSockaddr(address, family, given);
    return -EINVAL;
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    const { endpoint } = this;
    datagram.length = -1;
    const n = endpoint.receive(io, datagram, flags);
    if (n < 0 || datagram.length < 0) {
      this.waitQueue = this.queue;
      // Linux: the end that shutdown(2) makes is seen by those only who would wait.
      const isPatient = (this.flags & O_NONBLOCK) === 0 && (flags & MSG_DONTWAIT) === 0;
      return n === 0 && !isPatient ? -EAGAIN : n;
    }
    if (datagram.isTruncated) into.flags |= MSG_TRUNC;
    if (into.wantsAddress) into.address = writeSockaddr(datagram.from, this.domain);
    if (into.wantsControl) {
      tellSocketFacts(this, into.control, datagram.timeNs, endpoint.drops);
      tellPacketFacts(this, into.control, datagram);
    }
    return n;
  }

  /** An entry of the error queue: ip(7), IP_RECVERR. */
  override receiveError(io: Io, into: Incoming): number {
    const n = this.endpoint.receiveError(io, report);
    if (n < 0) return n;
    into.flags |= MSG_ERRQUEUE;
    if (report.isTruncated) into.flags |= MSG_TRUNC;
    if (into.wantsAddress) into.address = writeSockaddr(report.destination, this.domain);
    this.tellError(into);
    return n;
  }

  /** struct sock_extended_err with the offender's address behind it. */
  private tellError(into: Incoming): void {
    const isIpv6 = !report.destination.address.isIpv4;
    const size = SOCK_EXTENDED_ERR_SIZE + (isIpv6 ? 28 : 16);
    const at = into.control.add(isIpv6 ? SOL_IPV6 : SOL_IP, isIpv6 ? IPV6_RECVERR : IP_RECVERR, size);
    if (at < 0) return;
    const { view } = into.control;
    view.setUint32(at, report.errno, true);
    view.setUint8(at + 4, report.origin);
    view.setUint8(at + 5, report.type);
    view.setUint8(at + 6, report.code);
    view.setUint32(at + 8, report.info, true);
    // Nobody complained of what we found out ourselves: the family stays AF_UNSPEC.
    if (report.offender.isUnspecified) return;
    offender.set(report.offender, 0);
    putSockaddr(view, at + SOCK_EXTENDED_ERR_SIZE, offender, isIpv6 ? AF_INET6 : AF_INET);
  }

  override takeControl(
    level: number,
    type: number,
    view: DataView,
    at: number,
    length: number,
    into: Outgoing,
    caller: SocketCaller,
  ): number {
    if (level === SOL_IP && !this.isIpv6) return takeIpControl(type, view, at, length, into);
    if (level === SOL_IPV6 && this.isIpv6) return takeIpv6Control(type, view, at, length, into);
    if (level === SOL_IP) return takeIpControl(type, view, at, length, into);
    if (level !== SOL_SOCKET || InternetSocket.isIgnoredControl(level, type)) return 0;
    if (type !== SO_MARK) return -EINVAL;
    return capable(caller.credentials, CAP_NET_RAW) || capable(caller.credentials, CAP_NET_ADMIN) ? 0 : -EPERM;
  }

  // Readiness.
  override poll(): number {
    const { events } = this.endpoint;
    return (events & WRITABLE) === 0 ? events : events | POLLWRBAND;
  }

  override takeError(): number {
    return this.endpoint.takeError();
  }

  override shutdown(how: number): number {
    if (how < 0 || how > 2) return -EINVAL;
    const { isConnected } = this.endpoint;
    this.endpoint.shutdown(how);
    return isConnected ? 0 : -ENOTCONN;
  }

  // Options.
  override ipChanged(): void {
    const { ip, isIpv6 } = this;
    const { options } = this.endpoint;
    options.hopLimit = isIpv6 && ip.hopLimit6 >= 0 ? ip.hopLimit6 : ip.timeToLive;
    options.trafficClass = isIpv6 && ip.trafficClass6 > 0 ? ip.trafficClass6 : ip.typeOfService;
    options.multicastHops = isIpv6 ? ip.multicastHops6 : ip.multicastTtl;
    options.isMulticastLooped = (isIpv6 ? ip.multicastLoop6 : ip.multicastLoop) !== 0;
    options.takesAllGroups = (isIpv6 ? ip.multicastAll6 : ip.multicastAll) !== 0;
    options.multicastInterface = isIpv6 ? ip.multicastInterface6 : ip.multicastInterface;
    options.multicastSource.copy(ip.multicastSource);
    options.mtuDiscover = isIpv6 ? ip.mtuDiscover6 : ip.mtuDiscover;
    options.isErrorQueued = (isIpv6 ? ip.queuesErrors6 | ip.queuesErrors : ip.queuesErrors) !== 0;
    options.isFreeBind = (ip.freeBind | ip.transparent) !== 0;
    options.isV6Only = ip.v6Only !== 0;
  }

  override optionChanged(name: number): void {
    const { options } = this.endpoint;
    if (name === SO_REUSEADDR) options.reuseAddress = this.isOn(name);
    else if (name === SO_REUSEPORT) options.reusePort = this.isOn(name);
    else if (name === SO_BROADCAST) options.isBroadcastAllowed = this.isOn(name);
    else if (name === SO_NO_CHECK) options.hasNoChecksum = this.isOn(name);
    else if (name === SO_RCVBUF) options.receiveBuffer = this.options.receiveBuffer;
    else if (name === SO_ATTACH_FILTER) options.filter = this.options.filter;
    else if (name === SO_SNDBUF) options.sendBuffer = this.options.sendBuffer;
    else if (name !== SO_KEEPALIVE) options.boundInterface = this.options.boundInterface;
  }

  override join(group: IpAddress, interfaceIndex: number): number {
    this.network.enter();
    return this.endpoint.join(group, interfaceIndex);
  }

  override leave(group: IpAddress, interfaceIndex: number): number {
    this.network.enter();
    return this.endpoint.leave(group, interfaceIndex);
  }

  override get pathMtu(): number {
    return 0;
  }

  override get receiveQueued(): number {
    return this.endpoint.received;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    if (request === FIONREAD) return guestOf(caller).memory.storeU32(argument, this.endpoint.nextLength);
    if (request === SIOCOUTQ) return guestOf(caller).memory.storeU32(argument, 0);
    return super.ioctl(request, argument, caller);
  }

  protected override destroy(): void {
    super.destroy();
    this.network.enter();
    this.endpoint.close();
  }
}
