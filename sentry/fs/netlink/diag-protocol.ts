/**
 * NETLINK_SOCK_DIAG, sock_diag(7): sockets of AF_INET, AF_INET6 and AF_UNIX, which `ss` lists.
 */
import { EINVAL, ENOENT, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '#sentry/abi/inet.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { AF_INET, AF_INET6, AF_UNIX } from '#sentry/abi/socket.ts';
import type { IpAddress } from '../../netstack/address.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import type { Network } from '../inet/network.ts';
import { rawRows, tcpRows, udpRows } from '../inet/socket-list.ts';
import type { SocketRow } from '../inet/socket-list.ts';
import { putTcpInfo } from '../inet/tcp-info.ts';
import { TcpSocket } from '../inet/tcp-socket.ts';
import type { UnixSocket } from '../unix/unix-socket.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';
import type { DumpItem, NetlinkProtocol, Reply } from './protocol.ts';

// struct inet_diag_req_v2.
const PROTOCOL = 1;
const EXTENSIONS = 2;
const STATES = 4;
// struct unix_diag_req.
const SHOW = 12;
const ESTABLISHED = 1;
const LISTEN = 10;
const CLOSED = 7;
const TCP_INFO_ROOM = 256;

const info = new DataView(new ArrayBuffer(TCP_INFO_ROOM));

export class DiagProtocol implements NetlinkProtocol {
  private readonly network: Network;
  private readonly files: AnonymousFiles;

  constructor(network: Network, files: AnonymousFiles) {
    this.network = network;
    this.files = files;
  }

  dump(request: NetlinkRequest): DumpItem[] | number {
    if (request.type !== abi.SOCK_DIAG_BY_FAMILY) return -EINVAL;
    const family = request.u8(0);
    if (family === AF_UNIX) return request.has(abi.UNIX_DIAG_REQUEST_SIZE) ? this.dumpUnix(request) : -EINVAL;
    if (family !== AF_INET && family !== AF_INET6) return -ENOENT;
    return request.has(abi.INET_DIAG_REQUEST_SIZE) ? this.dumpInternet(request, family) : -EINVAL;
  }

  answer(): number {
    return -EOPNOTSUPP;
  }

  private dumpInternet(request: NetlinkRequest, family: number): DumpItem[] | number {
    const { stack } = this.network;
    const protocol = request.u8(PROTOCOL);
    const states = request.u32(STATES);
    const extensions = request.u8(EXTENSIONS);
    const rows = protocol === IPPROTO_TCP ? tcpRows(stack) : protocol === IPPROTO_UDP ? udpRows(stack) : rawRows(stack);
    return rows
      .filter((row) => row.domain === family && (states & (1 << row.state)) !== 0)
      .map((row) => (reply) => {
        writeRow(reply, row, extensions);
      });
  }

  private dumpUnix(request: NetlinkRequest): DumpItem[] {
    const states = request.u32(STATES);
    const show = request.u32(SHOW);
    return [...this.files.unixSockets]
      .filter((socket) => (states & (1 << unixState(socket))) !== 0)
      .map((socket) => (reply) => {
        writeUnix(reply, socket, show);
      });
  }
}

function writeAddress(writer: MessageWriter, address: IpAddress): void {
  if (address.isIpv4) {
    writer.address(address);
    for (let i = 0; i < 3; i++) writer.u32(0);
  } else writer.address(address);
}

function writeRow(reply: Reply, row: SocketRow, extensions: number): void {
  const writer = reply.begin(abi.SOCK_DIAG_BY_FAMILY);
  for (const byte of [row.domain, row.state, row.timer, row.retransmits]) writer.u8(byte);
  writer.big16(row.localPort);
  writer.big16(row.remotePort);
  writeAddress(writer, row.local);
  writeAddress(writer, row.remote);
  writer.u32(row.interfaceIndex);
  writer.u64(row.inode);
  writer.u32(0);
  writer.u32(row.receiveQueued);
  writer.u32(row.sendQueued);
  writer.u32(row.uid);
  writer.u32(row.inode);
  const wants = (attribute: number): boolean => (extensions & (1 << (attribute - 1))) !== 0;
  if (row.domain === AF_INET6 && row.socket !== null) writer.attributeU8(abi.INET_DIAG_SKV6ONLY, row.socket.ip.v6Only);
  if (row.socket instanceof TcpSocket) {
    if (wants(abi.INET_DIAG_INFO)) writeTcpInfo(writer, row.socket);
    if (wants(abi.INET_DIAG_CONG)) writer.text(abi.INET_DIAG_CONG, row.socket.tcpOptions.congestion);
  }
  writer.end();
}

function writeTcpInfo(writer: MessageWriter, socket: TcpSocket): void {
  const size = putTcpInfo(socket, info);
  const at = writer.beginAttribute(abi.INET_DIAG_INFO);
  for (let i = 0; i < size; i++) writer.u8(info.getUint8(i));
  writer.endAttribute(at);
}

function unixState(socket: UnixSocket): number {
  if (socket.isListening) return LISTEN;
  return socket.peer === null ? CLOSED : ESTABLISHED;
}

function writeUnix(reply: Reply, socket: UnixSocket, show: number): void {
  const writer = reply.begin(abi.SOCK_DIAG_BY_FAMILY);
  for (const byte of [AF_UNIX, socket.type, unixState(socket), 0]) writer.u8(byte);
  writer.u32(socket.inode.ino);
  writer.u64(socket.inode.ino);
  const name = socket.ownName.slice(2).replace(/(?<=.)\0$/s, '');
  if ((show & abi.UDIAG_SHOW_NAME) !== 0 && name !== '') {
    const at = writer.beginAttribute(abi.UNIX_DIAG_NAME);
    writer.raw(name);
    writer.endAttribute(at);
  }
  if ((show & abi.UDIAG_SHOW_PEER) !== 0 && socket.peer !== null) writer.attributeU32(abi.UNIX_DIAG_PEER, socket.peer.inode.ino);
  if ((show & abi.UDIAG_SHOW_RQLEN) !== 0) {
    const at = writer.beginAttribute(abi.UNIX_DIAG_RQLEN);
    writer.u32(socket.isListening ? socket.embryos().length : socket.receivedBytes);
    writer.u32(socket.charged);
    writer.endAttribute(at);
  }
  writer.end();
}
