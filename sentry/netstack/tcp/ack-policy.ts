/**
 * When to acknowledge what was received (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2): at once at the beginning of a connection and when
 * something is amiss, for every second full segment, when the guest has made room; otherwise late, in the hope that data goes back soon.
 *
 * "Quick" acknowledgements are a number of immediate ones; "ping-pong" means that the guest answers requests, so acknowledgements ride on the
 * answers. The delay adapts to how segments arrive. Linux: tcp_event_data_recv, __tcp_ack_snd_check, tcp_cleanup_rbuf.
 */
import { ACK_NOW, ACK_PUSHED, ACK_PUSHED_TWICE, ACK_SCHEDULED } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';
import { ACK_DELAY_MAX_US, ACK_DELAY_MIN_US, MSS_DEFAULT_IPV4, QUICK_ACKS_MAX } from './limits.ts';
import { SHUT_RECEIVE } from './states.ts';
import { setAckTimer } from './timers.ts';
import { sendAck } from './transmit.ts';
import { growWindow, offeredWindow, possibleWindow } from './window.ts';

/** Acknowledges the next segments at once, as many as the window holds, at most `most`. */
function addQuickAcks(connection: ControlBlock, most: number): void {
  const quick = Math.max(2, Math.floor(connection.receiveWindow / (2 * Math.max(connection.receiveMss, 1))));
  if (Math.min(quick, most) > connection.quickAcks) connection.quickAcks = Math.min(quick, most);
}

/** Something is amiss, or has just begun: the peer should hear at once. */
export function enterQuickAck(connection: ControlBlock, most: number): void {
  addQuickAcks(connection, most);
  connection.pingPong = 0;
  connection.ackTimeoutUs = ACK_DELAY_MIN_US;
}

/** `segmentSize` octets a segment arrived: adapts delay, the estimate of the peer's segments, and the window. */
export function noteDataReceived(connection: ControlBlock, segmentSize: number, length: number, isPushed: boolean): void {
  connection.ackPending |= ACK_SCHEDULED;
  measurePeerMss(connection, segmentSize, isPushed);
  const { nowUs } = connection.context;
  if (!connection.hasAckTimeout) {
    // The first data of the connection: the peer is in slow start.
    addQuickAcks(connection, QUICK_ACKS_MAX);
    connection.hasAckTimeout = true;
    connection.ackTimeoutUs = ACK_DELAY_MIN_US;
  } else adaptDelay(connection, (nowUs - connection.lastReceivedUs) | 0);
  connection.lastReceivedUs = nowUs;
  growWindow(connection, length);
}

function adaptDelay(connection: ControlBlock, gapUs: number): void {
  const delay = connection.ackTimeoutUs;
  if (gapUs <= ACK_DELAY_MIN_US >> 1) connection.ackTimeoutUs = (delay >> 1) + (ACK_DELAY_MIN_US >> 1);
  else if (gapUs < delay) connection.ackTimeoutUs = Math.min((delay >> 1) + gapUs, connection.rtoUs);
  else if (gapUs > connection.rtoUs) addQuickAcks(connection, QUICK_ACKS_MAX);
}

function measurePeerMss(connection: ControlBlock, size: number, isPushed: boolean): void {
  if (size >= connection.receiveMss) connection.receiveMss = Math.min(size, connection.announcedMss);
  // Two alike: the sender's segments have become smaller (its path narrowed).
  else if (size > MSS_DEFAULT_IPV4 && size === connection.lastReceivedSize) connection.receiveMss = size;
  connection.lastReceivedSize = size;
  if (!isPushed) return;
  if ((connection.ackPending & ACK_PUSHED) !== 0) connection.ackPending |= ACK_PUSHED_TWICE;
  connection.ackPending |= ACK_PUSHED;
}

/** After a segment was taken: acknowledges now or sets the timer, if anything is to be acknowledged at all. */
export function acknowledgeReceived(connection: ControlBlock): void {
  if ((connection.ackPending & (ACK_SCHEDULED | ACK_NOW)) === 0) return;
  const unacknowledged = (connection.receiveNext - connection.acknowledged) | 0;
  const isTwoSegments = unacknowledged > connection.receiveMss && possibleWindow(connection) >= connection.receiveWindow;
  const isQuick = connection.quickAcks > 0 && connection.pingPong === 0;
  if (isTwoSegments || isQuick || (connection.ackPending & ACK_NOW) !== 0) {
    sendAck(connection);
    return;
  }
  if (connection.outOfOrder.count > 0) sendAck(connection);
  else delayAck(connection);
}

function delayAck(connection: ControlBlock): void {
  let delay = connection.ackTimeoutUs;
  if (delay > ACK_DELAY_MIN_US) {
    let most = connection.pingPong !== 0 || (connection.ackPending & ACK_PUSHED) !== 0 ? ACK_DELAY_MAX_US : 500_000;
    if (connection.srttUs > 0) most = Math.min(most, Math.max(connection.srttUs >> 3, ACK_DELAY_MIN_US));
    delay = Math.min(delay, most);
  }
  delay = Math.min(delay, ACK_DELAY_MAX_US);
  const { context } = connection;
  const due = connection.delayedAckAtNs;
  if (due === Infinity) {
    setAckTimer(connection, delay);
    return;
  }
  // One is waiting already. If it is nearly due the rest of the wait is not worth it.
  if (due <= context.nowNs + delay * 250) sendAck(connection);
  else if (context.nowNs + delay * 1000 < due) setAckTimer(connection, delay);
}

/** The delay is over. */
export function ackTimerFired(connection: ControlBlock): void {
  connection.delayedAckAtNs = Infinity;
  if ((connection.ackPending & ACK_SCHEDULED) === 0) return;
  if (connection.pingPong !== 0) {
    connection.pingPong = 0;
    connection.ackTimeoutUs = ACK_DELAY_MIN_US;
  } else connection.ackTimeoutUs = Math.min(connection.ackTimeoutUs * 2, connection.rtoUs);
  connection.context.counters.DelayedACKs++;
  sendAck(connection);
}

/** The guest has taken `copied` octets: acknowledges if the peer waits for that or the window has opened much. */
export function acknowledgeRead(connection: ControlBlock, copied: number): void {
  let isDue = false;
  if ((connection.ackPending & ACK_SCHEDULED) !== 0) {
    const isEmpty = connection.receiveQueue.head === null;
    const { ackPending } = connection;
    isDue =
      ((connection.receiveNext - connection.acknowledged) | 0) > connection.receiveMss ||
      (copied > 0 && isEmpty && ((ackPending & ACK_PUSHED_TWICE) !== 0 || ((ackPending & ACK_PUSHED) !== 0 && connection.pingPong === 0)));
  }
  if (!isDue && copied > 0 && (connection.shut & SHUT_RECEIVE) === 0) {
    const offered = offeredWindow(connection);
    if (2 * offered <= connection.windowClamp) {
      const possible = possibleWindow(connection);
      isDue = possible > 0 && possible >= 2 * offered;
    }
  }
  if (isDue) sendAck(connection);
}
