/**
 * All sockets of a stack as rows, for /proc/net (tcp, udp …) and for sock_diag(7): what `ss` and `netstat` show.
 */
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from '#sentry/abi/inet.ts';
import { AF_INET, AF_INET6 } from '#sentry/abi/socket.ts';
import { IpAddress } from '../../netstack/address.ts';
import type { DatagramEndpoint } from '../../netstack/endpoint/datagram-endpoint.ts';
import type { Stack } from '../../netstack/stack.ts';
import type { TcpConnection } from '../../netstack/tcp/connection.ts';
import { CONNECTION, REMNANT } from '../../netstack/tcp/entry.ts';
import type { TcpEntry } from '../../netstack/tcp/entry.ts';
import type { TcpListener } from '../../netstack/tcp/listener.ts';
import { CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED } from '../../netstack/tcp/states.ts';
import type { Remnant } from '../../netstack/tcp/time-wait.ts';
import { TcpSocket } from './tcp-socket.ts';
import { InternetSocket } from './internet-socket.ts';

const NOWHERE = new IpAddress();

export interface SocketRow {
  readonly domain: number;
  readonly protocol: number;
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
  readonly interfaceIndex: number;
  /** As Linux numbers the states of TCP; datagram sockets are ESTABLISHED or CLOSED. */
  readonly state: number;
  readonly sendQueued: number;
  readonly receiveQueued: number;
  /** 0: as the timer column shows it, and the seconds it will take. */
  readonly timer: number;
  readonly retransmits: number;
  readonly uid: number;
  /** 0 for what no socket owns. */
  readonly inode: number;
  readonly drops: number;
  readonly socket: InternetSocket | null;
}

function tcpRow(entry: TcpEntry | TcpListener, observer: unknown, more: Partial<SocketRow>): SocketRow {
  const socket = observer instanceof TcpSocket ? observer : null;
  const isIpv4 = socket === null ? entry.local.isIpv4 : socket.domain === AF_INET;
  const remote = 'remote' in entry ? entry.remote : NOWHERE;
  return {
    domain: isIpv4 ? AF_INET : AF_INET6,
    protocol: IPPROTO_TCP,
    local: entry.local,
    localPort: entry.localPort,
    remote,
    remotePort: 'remotePort' in entry ? entry.remotePort : 0,
    interfaceIndex: entry.boundInterface,
    state: CLOSED,
    sendQueued: 0,
    receiveQueued: 0,
    timer: 0,
    retransmits: 0,
    uid: socket === null ? 0 : entry.uid,
    inode: socket === null ? 0 : socket.inode.ino,
    drops: 0,
    socket,
    ...more,
  };
}

/** Listeners first, as Linux lists them. */
export function tcpRows(stack: Stack): SocketRow[] {
  const rows: SocketRow[] = [];
  const { listeners, table } = stack.tcp.context;
  listeners.forEach((listener) => {
    rows.push(tcpRow(listener, listener.observer, { state: LISTEN, receiveQueued: listener.acceptable, sendQueued: listener.backlog }));
  });
  table.forEach((entry) => {
    if (entry.kind === CONNECTION) rows.push(connectionRow(entry as TcpConnection));
    else if (entry.kind === REMNANT) rows.push(tcpRow(entry, null, { state: (entry as Remnant).state, timer: 3 }));
    else rows.push(tcpRow(entry, null, { state: SYN_RECEIVED, timer: 1 }));
  });
  return rows;
}

function connectionRow(connection: TcpConnection): SocketRow {
  return tcpRow(connection, connection.observer, {
    state: connection.state,
    sendQueued: connection.unackedBytes,
    receiveQueued: connection.unreadBytes,
    retransmits: connection.retransmits,
    timer: connection.timerKind === 0 ? 0 : 1,
  });
}

function datagramRow(endpoint: DatagramEndpoint, protocol: number): SocketRow {
  const socket = endpoint.observer instanceof InternetSocket ? endpoint.observer : null;
  return {
    domain: endpoint.version === 4 ? AF_INET : AF_INET6,
    protocol,
    local: endpoint.local.address,
    localPort: endpoint.local.port,
    remote: endpoint.remote.address,
    remotePort: endpoint.remote.port,
    interfaceIndex: endpoint.options.boundInterface,
    state: endpoint.isConnected ? ESTABLISHED : CLOSED,
    sendQueued: 0,
    receiveQueued: endpoint.received,
    timer: 0,
    retransmits: 0,
    uid: endpoint.options.uid,
    inode: socket === null ? 0 : socket.inode.ino,
    drops: endpoint.drops,
    socket,
  };
}

/** Those that have a port. */
export function udpRows(stack: Stack): SocketRow[] {
  return stack.udp.ports.endpoints.map((endpoint) => datagramRow(endpoint, IPPROTO_UDP));
}

export function rawRows(stack: Stack): SocketRow[] {
  return stack.raw.endpoints.map((endpoint) => datagramRow(endpoint, endpoint.protocol));
}

export function pingRows(stack: Stack): SocketRow[] {
  return stack.raw.pings.endpoints.map((endpoint) => datagramRow(endpoint, IPPROTO_ICMP));
}
