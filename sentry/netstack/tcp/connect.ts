/**
 * connect(2): route, source address, local port and four-tuple of a connection that we open. Linux: tcp_v4_connect, __inet_hash_connect.
 */
import { EADDRINUSE, EADDRNOTAVAIL, EINPROGRESS, EISCONN, EALREADY, ENETUNREACH, ENOBUFS } from '#sentry/abi/errno.ts';
import type { IpAddress } from '../address.ts';
import type { SocketAddress } from '../socket-address.ts';
import type { TcpContext } from './context.ts';
import type { ControlBlock } from './control-block.ts';
import { REMNANT } from './entry.ts';
import { open } from './handshake.ts';
import { UNBOUND } from './ports.ts';
import { CLOSED, isIn, OPENING } from './states.ts';
import { endRemnant, mayReuse, Remnant, sequenceBehind } from './time-wait.ts';

/**
 * Begins to connect to `to`. -EINPROGRESS when all is well: `observer` hears of the end. Or -EALREADY, -EISCONN, -ENETUNREACH …, -EADDRNOTAVAIL
 * (no port left, or the four-tuple is in use), -ENOBUFS.
 */
export function connect(connection: ControlBlock, to: SocketAddress): number {
  const { context } = connection;
  if (connection.state !== CLOSED) return isIn(connection.state, OPENING) ? -EALREADY : -EISCONN;
  if (context.table.isFull) return -ENOBUFS;
  if (connection.wasAddressChosen) connection.local.clear();
  setRemote(connection, to);
  const error = findWay(connection);
  if (error < 0) return error;
  const sequence = claim(connection);
  if (sequence < 0) {
    if (connection.wasAddressChosen) connection.local.clear();
    return sequence;
  }
  connection.error = 0;
  connection.softError = 0;
  connection.shut = 0;
  open(connection);
  return -EINPROGRESS;
}

/** Linux: the unspecified address means this host. */
function setRemote(connection: ControlBlock, to: SocketAddress): void {
  const { remote } = connection;
  remote.copy(to.address);
  if (remote.isUnspecified) {
    if (remote.isIpv4) remote.setIpv4(0x7f000001);
    else remote.set(0, 0, 0, 1);
  }
  connection.remotePort = to.port;
  const isScoped = remote.isLinkLocal && !remote.isIpv4;
  connection.scope = isScoped ? to.scope : 0;
}

function findWay(connection: ControlBlock): number {
  const { path, local, remote, context } = connection;
  path.destination.copy(remote);
  path.boundInterface = connection.boundInterface !== 0 ? connection.boundInterface : connection.scope;
  path.isSourceGiven = !local.isUnspecified;
  if (path.isSourceGiven) path.source.copy(local);
  else path.source.clear();
  const error = context.lower.route(path);
  if (error < 0) return error;
  if (path.isToMany || remote.isMulticast) return -ENETUNREACH;
  if (connection.scope !== 0 || (remote.isLinkLocal && !remote.isIpv4)) connection.scope = path.interfaceIndex;
  if (!path.isSourceGiven) {
    connection.wasAddressChosen = true;
    local.copy(path.source);
    path.isSourceGiven = true;
  }
  return 0;
}

/** Takes a port and a place in the table. 0 or -errno. */
function claim(connection: ControlBlock): number {
  const { context, local, remote, remotePort } = connection;
  if (connection.portKind === UNBOUND) {
    const offset = context.secrets.portOffset(local, remote, remotePort) + (context.portShift += 2);
    const error = context.ports.choose(connection, offset, (port) => isFree(context, connection, port));
    if (error < 0) return error;
  } else if (!isFree(context, connection, connection.localPort)) return -EADDRNOTAVAIL;
  connection.initialSend = takePlace(context, connection);
  context.table.add(connection);
  return 0;
}

function isFree(context: TcpContext, connection: ControlBlock, port: number): boolean {
  const entry = context.table.find(connection.local, port, connection.remote, connection.remotePort, connection.scope);
  return entry === null || (entry.kind === REMNANT && mayReuse(context, entry as Remnant));
}

/** Where the connection's sequence numbers begin; a remnant whose place it takes goes. */
function takePlace(context: TcpContext, connection: ControlBlock): number {
  const { local, localPort, remote, remotePort, scope } = connection;
  const entry = context.table.find(local, localPort, remote, remotePort, scope);
  if (!(entry instanceof Remnant)) return context.secrets.initialSequence(local, localPort, remote, remotePort, context.nowNs);
  const sequence = sequenceBehind(entry);
  connection.recentTimestamp = entry.recentTimestamp;
  endRemnant(context, entry);
  return sequence;
}

/** bind(2): the address has been found to be ours by the caller. 0, or -EADDRINUSE, -EADDRNOTAVAIL. */
export function bind(connection: ControlBlock, address: IpAddress, port: number): number {
  if (connection.portKind !== UNBOUND || connection.state !== CLOSED) return -EADDRINUSE;
  if (address.isMulticast || address.isLimitedBroadcast) return -EADDRNOTAVAIL;
  connection.local.copy(address);
  const error = connection.context.ports.bind(connection, port);
  if (error < 0) connection.local.clear();
  return error;
}
