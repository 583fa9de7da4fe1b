/**
 * Putting segments on their way: the header of a connection's segment, acknowledgements, probes, resets (RFC 9293 section 3.10.7.1).
 *
 * Whatever is sent carries the newest acknowledgement and window, so every segment also does what a delayed acknowledgement was waiting for.
 */
import { IPPROTO_TCP } from '../ip/header.ts';
import type { IpHeader } from '../ip/header.ts';
import type { Payload } from '../packet.ts';
import type { ControlBlock } from './control-block.ts';
import type { TcpContext } from './context.ts';
import { ACK, FIN, PSH, RST, SYN, URG } from './header.ts';
import type { TcpHeader } from './header.ts';
import { ACK_DELAY_MIN_US } from './limits.ts';
import { sackOptionBlocks, sackOptionLength, writeSackBlocks } from './sack-blocks.ts';
import type { Segment } from './segment.ts';
import { before } from './sequence.ts';
import { CLOSED, SYN_SENT } from './states.ts';
import { announceWindow } from './window.ts';

/** Fills the context's header for a segment of `connection`, acknowledgement and window included. */
function fillHeader(connection: ControlBlock, flags: number, seq: number, window: number): TcpHeader {
  const { context } = connection;
  const { header } = context;
  header.clear();
  header.sourcePort = connection.localPort;
  header.destinationPort = connection.remotePort;
  header.seq = seq;
  header.flags = flags;
  header.ack = connection.receiveNext;
  header.window = window;
  if (connection.usesTimestamps) {
    header.timestamps = 1;
    header.tsValue = (context.nowMs + connection.timestampOffset) | 0;
    header.tsEcho = connection.recentTimestamp;
  }
  if (sackOptionBlocks(connection) > 0) writeSackBlocks(connection, header);
  if (connection.sendsUrgent) markUrgent(connection, header);
  return header;
}

/** RFC 9293 section 3.8.5, with the pointer behind the last urgent octet as Linux and BSD understand it (RFC 6093). */
function markUrgent(connection: ControlBlock, header: TcpHeader): void {
  if (!before(header.seq, connection.urgentEnd)) return;
  const ahead = (connection.urgentEnd - header.seq) | 0;
  header.flags |= URG;
  header.urgent = Math.min(ahead, 0xffff);
}

function dispatch(connection: ControlBlock, header: TcpHeader, payload: Payload | null): number {
  const { context, options } = connection;
  const { ip } = context;
  ip.prepare(connection.local, connection.remote, IPPROTO_TCP);
  ip.hopLimit = options.hopLimit;
  ip.trafficClass = options.trafficClass;
  ip.dontFragment = true;
  ip.interfaceIndex = connection.path.boundInterface;
  context.counters.OutSegs++;
  connection.segmentsOut++;
  if ((header.flags & ACK) !== 0) ackWasSent(connection);
  return context.lower.send(connection.path, ip, header, payload);
}

function ackWasSent(connection: ControlBlock): void {
  if (connection.quickAcks > 0) {
    connection.quickAcks--;
    if (connection.quickAcks === 0) connection.ackTimeoutUs = ACK_DELAY_MIN_US;
  }
  connection.ackPending = 0;
  connection.delayedAckAtNs = Infinity;
  connection.hasDsack = false;
}

/** Sends one segment of the queue as it is. 0 or -errno of the layer below. */
export function transmitSegment(connection: ControlBlock, segment: Segment): number {
  const { context } = connection;
  let flags = ACK | (segment.flags & (FIN | PSH));
  if (segment.length === 0) flags &= ~PSH;
  const header = fillHeader(connection, flags, segment.seq, announceWindow(connection));
  const { length } = segment;
  connection.bytesSent += length;
  if (length === 0) return dispatch(connection, header, null);
  const mss = connection.mss - sackOptionLength(connection);
  if (length > mss) header.segmentSize = mss;
  connection.dataSegmentsOut++;
  connection.lastDataSentMs = context.nowMs;
  return dispatch(connection, header, context.payload.set(segment.packet!, segment.offset, length));
}

/** An acknowledgement without data. */
export function sendAck(connection: ControlBlock): void {
  if (connection.state === CLOSED || connection.state === SYN_SENT) return;
  dispatch(connection, fillHeader(connection, ACK, connection.sendNext, announceWindow(connection)), null);
}

/** A segment the peer has to answer, with a sequence number it has already acknowledged: keepalive (RFC 9293 section 3.8.4) and window probe. */
export function sendProbe(connection: ControlBlock): void {
  dispatch(connection, fillHeader(connection, ACK, (connection.sendUnacked - 1) | 0, announceWindow(connection)), null);
}

/** SYN or SYN|ACK of a connection with its options (RFC 9293 section 3.7.1, RFC 7323, RFC 2018). */
export function sendSyn(connection: ControlBlock, flags: number): void {
  const { context } = connection;
  // The window of a SYN is never scaled.
  const header = fillHeader(connection, flags, connection.initialSend, Math.min(connection.receiveWindow, 65_535));
  header.mss = connection.announcedMss;
  const isAnswer = (flags & ACK) !== 0;
  if (!isAnswer) header.ack = 0;
  if (connection.usesSack || !isAnswer) header.sackPermitted = 1;
  if (!isAnswer || connection.receiveScale > 0) header.windowScale = connection.receiveScale;
  if (connection.usesTimestamps || !isAnswer) {
    header.timestamps = 1;
    header.tsValue = (context.nowMs + connection.timestampOffset) | 0;
    header.tsEcho = isAnswer ? connection.recentTimestamp : 0;
  }
  dispatch(connection, header, null);
}

/** A reset of our own accord: the connection is given up while the peer still believes in it. */
export function sendAbort(connection: ControlBlock): void {
  connection.context.counters.OutRsts++;
  const header = fillHeader(connection, RST | ACK, connection.sendNext, 0);
  header.sackCount = 0;
  dispatch(connection, header, null);
}

/**
 * Answers a segment that belongs to no connection, or to none in a state it fits: a reset it can be recognised by (RFC 9293 section 3.5.2).
 * Nothing for resets, for packets to many, and beyond the rate limit.
 */
export function sendReset(context: TcpContext, ip: IpHeader, arrived: TcpHeader, octets: number): void {
  if ((arrived.flags & RST) !== 0 || ip.isToMany || !context.resetLimit.admits(context.nowNs)) return;
  const seq = (arrived.flags & ACK) !== 0 ? arrived.ack : 0;
  const flags = (arrived.flags & ACK) !== 0 ? RST : RST | ACK;
  const acknowledged = (arrived.seq + octets + ((arrived.flags & SYN) >> 1) + (arrived.flags & FIN)) | 0;
  const header = answer(context, arrived, flags, seq, (flags & ACK) !== 0 ? acknowledged : 0);
  context.counters.OutRsts++;
  sendStateless(context, ip, header);
}

/** The context's header, turned round from what arrived. */
export function answer(context: TcpContext, arrived: TcpHeader, flags: number, seq: number, ack: number): TcpHeader {
  const { header } = context;
  header.clear();
  header.sourcePort = arrived.destinationPort;
  header.destinationPort = arrived.sourcePort;
  header.seq = seq;
  header.ack = ack;
  header.flags = flags;
  header.window = 0;
  return header;
}

/** Sends `header` back to where `ip` came from, without a connection. */
export function sendStateless(context: TcpContext, ip: IpHeader, header: TcpHeader): void {
  const { path } = context;
  path.source.copy(ip.destination);
  path.isSourceGiven = true;
  path.destination.copy(ip.source);
  path.boundInterface = ip.source.isLinkLocal ? ip.interfaceIndex : 0;
  if (context.lower.route(path) < 0) return;
  const out = context.ip.prepareAnswer(ip);
  out.dontFragment = true;
  context.counters.OutSegs++;
  context.lower.send(path, out, header, null);
}
