/**
 * /proc/net/tcp, udp, raw, icmp with their IPv6 kin, unix and sockstat: proc_pid_net(5). Addresses of the kernel's own objects are zero, as they
 * are for who may not see them.
 */
import { AF_INET } from '#sentry/abi/socket.ts';
import { pingRows, rawRows, tcpRows, udpRows } from '../../inet/socket-list.ts';
import type { SocketRow } from '../../inet/socket-list.ts';
import { LISTEN, TIME_WAIT } from '../../../netstack/tcp/states.ts';
import type { Stack } from '../../../netstack/stack.ts';
import type { UnixSocket } from '../../unix/unix-socket.ts';
import { addressText, hex } from './format.ts';

const SOCKETS = 'st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const IPV6_ADDRESSES = 'local_address                         remote_address                       ';
/** Linux pads the lines of the IPv4 tables to a fixed width. */
const LINE_WIDTH = 127;
const TCP_LINE_WIDTH = 149;
const NO_ADDRESS = '0'.repeat(16);

function common(row: SocketRow, index: number, indexWidth: number): string {
  const { domain } = row;
  const local = `${addressText(row.local, domain)}:${hex(row.localPort, 4)}`;
  const remote = `${addressText(row.remote, domain)}:${hex(row.remotePort, 4)}`;
  // A listener's backlog is not something that waits to be sent.
  const sent = row.state === LISTEN ? 0 : row.sendQueued;
  const queues = `${hex(sent, 8)}:${hex(row.receiveQueued, 8)} ${hex(row.timer, 2)}:00000000 ${hex(row.retransmits, 8)}`;
  return `${String(index).padStart(indexWidth)}: ${local} ${remote} ${hex(row.state, 2)} ${queues} ${String(row.uid).padStart(5)} ${'0'.padStart(8)} ${row.inode}`;
}

function tcpLine(row: SocketRow, index: number): string {
  return `${common(row, index, 4)} ${row.state === TIME_WAIT ? 3 : 1} ${NO_ADDRESS} 20 4 0 10 -1`;
}

function datagramLine(width: number): (row: SocketRow, index: number) => string {
  return (row, index) => `${common(row, index, width)} 2 ${NO_ADDRESS} ${row.drops}`;
}

function table(head: string, rows: SocketRow[], domain: number, line: (row: SocketRow, index: number) => string, width: number): string {
  const lines = rows.filter((row) => row.domain === domain).map((row, index) => line(row, index).padEnd(width));
  return [head.padEnd(width), ...lines].map((text) => `${text}\n`).join('');
}

export function tcpText(stack: Stack, domain: number): string {
  if (domain === AF_INET) return table(`  sl  local_address rem_address   ${SOCKETS}`, tcpRows(stack), domain, tcpLine, TCP_LINE_WIDTH);
  return table(`  sl  ${IPV6_ADDRESSES} ${SOCKETS}`, tcpRows(stack), domain, tcpLine, 0);
}

function datagramText(rows: SocketRow[], domain: number, start: string, width: number): string {
  const more = `${SOCKETS} ref pointer drops`;
  if (domain === AF_INET)
    return table(`${start}  local_address rem_address   ${more}`, rows, domain, datagramLine(width === 0 ? 4 : 5), width);
  return table(`  sl  ${IPV6_ADDRESSES} ${more}`, rows, domain, datagramLine(5), 0);
}

export function udpText(stack: Stack, domain: number): string {
  return datagramText(udpRows(stack), domain, '   sl', LINE_WIDTH);
}

export function rawText(stack: Stack, domain: number): string {
  return datagramText(rawRows(stack), domain, '  sl', 0);
}

export function pingText(stack: Stack, domain: number): string {
  return datagramText(pingRows(stack), domain, '   sl', LINE_WIDTH);
}

/** Unix sockets: flags 00010000 for those that listen, states of `enum socket_state`. */
export function unixText(sockets: Iterable<UnixSocket>): string {
  let text = 'Num       RefCount Protocol Flags    Type St Inode Path\n';
  for (const socket of sockets) {
    const flags = socket.isListening ? '00010000' : '00000000';
    const state = socket.peer === null ? '01' : '03';
    const references = hex(socket.peer === null ? 2 : 3, 8);
    text += `${NO_ADDRESS}: ${references} 00000000 ${flags} ${hex(socket.type, 4)} ${state} ${String(socket.inode.ino).padStart(5)}${pathText(socket.ownName)}\n`;
  }
  return text;
}

/** The path without its terminator; abstract names with @ for NUL. */
function pathText(name: string): string {
  const path = name.slice(2);
  if (path === '') return '';
  return path.startsWith('\0') ? ` ${path.replaceAll('\0', '@')}` : ` ${path.replace(/\0.*$/s, '')}`;
}

export function sockstatText(stack: Stack, unixSockets: number): string {
  const { context } = stack.tcp;
  const tcp = tcpRows(stack).filter((row) => row.domain === AF_INET);
  const count = (rows: SocketRow[]): number => rows.filter((row) => row.domain === AF_INET).length;
  const pages = Math.ceil(stack.state.pool.inUse / 4096);
  const owned = [...tcpRows(stack), ...udpRows(stack), ...rawRows(stack)].filter((row) => row.inode !== 0).length;
  const live = tcp.filter((row) => row.state !== TIME_WAIT).length;
  return (
    `sockets: used ${unixSockets + owned}\n` +
    `TCP: inuse ${live} orphan ${context.orphans} tw ${context.timeWaits} alloc ${live} mem ${pages}\n` +
    `UDP: inuse ${count(udpRows(stack))} mem 0\nUDPLITE: inuse 0\nRAW: inuse ${count(rawRows(stack))}\n${fragments(stack, 4)}`
  );
}

function fragments(stack: Stack, version: 4 | 6): string {
  const { count, bytes } = stack.reassembly.usage(version);
  return `FRAG${version === 4 ? '' : '6'}: inuse ${count} memory ${bytes}\n`;
}

export function sockstat6Text(stack: Stack): string {
  const count = (rows: SocketRow[]): number => rows.filter((row) => row.domain !== AF_INET && row.state !== TIME_WAIT).length;
  return `TCP6: inuse ${count(tcpRows(stack))}\nUDP6: inuse ${count(udpRows(stack))}\nUDPLITE6: inuse 0\nRAW6: inuse ${count(rawRows(stack))}\n${fragments(stack, 6)}`;
}
