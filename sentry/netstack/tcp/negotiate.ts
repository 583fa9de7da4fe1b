/**
 * What both sides agree on with their SYNs (RFC 9293 section 3.7.1, RFC 7323 sections 2 and 3, RFC 2018), and a connection's figures at the moment it is
 * established.
 */
import type { ControlBlock } from './control-block.ts';
import type { TcpHeader } from './header.ts';
import {
  INFINITE_SSTHRESH,
  MSS_DEFAULT_IPV4,
  MSS_DEFAULT_IPV6,
  MSS_MIN,
  QUICK_ACKS_MAX,
  RECEIVE_BUFFER_MAX,
  WINDOW_SCALE_MAX,
} from './limits.ts';
import { enterQuickAck } from './ack-policy.ts';
import { initialWindow } from './loss/window-reduction.ts';
import { currentMss } from './mss.ts';
import type { TcpOptions } from './options.ts';
import { expandSendBuffer } from './readiness.ts';
import { setKeepAliveTimer } from './timers.ts';
import { fullSpace, initialiseWindow } from './window.ts';

/** The scale that lets the window reach the largest buffer. */
export function scaleToOffer(): number {
  let scale = 0;
  while (scale < WINDOW_SCALE_MAX && RECEIVE_BUFFER_MAX >> scale > 65_535) scale++;
  return scale;
}

/** Octets of window that a SYN announces, which cannot be scaled. */
export function firstWindow(options: TcpOptions, mss: number): number {
  const { receiveBuffer, windowClamp } = options;
  let space = Math.min(receiveBuffer - (receiveBuffer >> 2), 65_535);
  if (windowClamp > 0) space = Math.min(space, windowClamp);
  return space > mss ? space - (space % mss) : space;
}

export function mssOf(header: TcpHeader, isIpv4: boolean): number {
  if (header.mss === 0) return isIpv4 ? MSS_DEFAULT_IPV4 : MSS_DEFAULT_IPV6;
  return Math.max(header.mss, MSS_MIN);
}

/** The peer's SYN|ACK, or SYN when both open at once, answers what our SYN offered. */
export function takeOffer(connection: ControlBlock, header: TcpHeader): void {
  connection.peerMss = mssOf(header, connection.remote.isIpv4);
  connection.usesSack = header.sackPermitted !== 0;
  connection.usesTimestamps = header.timestamps !== 0;
  if (header.windowScale >= 0) connection.sendScale = header.windowScale;
  else {
    connection.sendScale = 0;
    connection.receiveScale = 0;
  }
  if (!connection.usesTimestamps) return;
  connection.recentTimestamp = header.tsValue;
  connection.recentStampMs = connection.context.nowMs;
  connection.hasRecentTimestamp = true;
}

/** Both SYNs are known: sizes, windows and buffers begin. */
export function begin(connection: ControlBlock): void {
  const { options, context } = connection;
  currentMss(connection);
  connection.receiveMss = Math.max(
    Math.min(connection.announcedMss, connection.mss, connection.receiveWindow >> 1, MSS_DEFAULT_IPV4),
    MSS_MIN,
  );
  connection.cwnd = initialWindow(connection);
  connection.ssthresh = INFINITE_SSTHRESH;
  connection.copiedSeq = connection.receiveNext;
  connection.acknowledged = connection.receiveNext;
  connection.wasConnected = true;
  connection.lastSentUs = context.nowUs;
  connection.lastReceivedUs = context.nowUs;
  connection.lastAckReceivedMs = context.nowMs;
  connection.lastDataSentMs = context.nowMs;
  connection.lastDataReceivedMs = context.nowMs;
  connection.stalledSinceNs = context.nowNs;
  initialiseWindow(connection);
  // What is left of the buffer may be offered bit by bit.
  connection.slowStartWindow = Math.min(Math.max(connection.receiveWindow, connection.receiveMss), fullSpace(connection));
  enterQuickAck(connection, QUICK_ACKS_MAX);
  expandSendBuffer(connection);
  if (options.keepAlive !== 0) setKeepAliveTimer(connection, options.keepIdleMs);
}
