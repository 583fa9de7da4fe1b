/**
 * The receive window: how much the peer may send, so that what it sends fits the buffer, small windows are not offered (silly window
 * syndrome, RFC 9293 section 3.8.6.2.2) and the right edge never moves left. And the growth of both (Linux: "dynamic right-sizing").
 *
 * `slowStartWindow` is as far as the window has grown by evidence that the peer uses it; it approaches the room of the buffer by two segments for
 * each good one that arrives. The buffer itself grows when the guest reads more in a round trip than half of it holds.
 */
import type { ControlBlock } from './control-block.ts';
import { RECEIVE_BUFFER_MAX, WINDOW_MAX } from './limits.ts';

/** Share of a buffer that is offered as window; the rest is for the overhead of what arrives in small pieces. */
function windowOfSpace(bytes: number): number {
  return bytes - (bytes >> 2);
}

function spaceOfWindow(bytes: number): number {
  return Math.ceil((bytes * 4) / 3);
}

export function fullSpace(connection: ControlBlock): number {
  return windowOfSpace(connection.options.receiveBuffer);
}

function freeSpace(connection: ControlBlock): number {
  return windowOfSpace(connection.options.receiveBuffer - connection.receiveCharge - connection.outOfOrder.charge);
}

/** What the peer may still send of what was offered. */
export function offeredWindow(connection: ControlBlock): number {
  const left = (connection.acknowledged + connection.receiveWindow - connection.receiveNext) | 0;
  return left < 0 ? 0 : left;
}

/** What could be offered now, in octets: a multiple of what the scale can express, 0 when it would be silly. Linux: __tcp_select_window. */
export function possibleWindow(connection: ControlBlock): number {
  const full = fullSpace(connection);
  const allowed = Math.min(connection.windowClamp, full);
  const mss = Math.min(connection.receiveMss, full);
  let free = freeSpace(connection);
  const unit = 1 << connection.receiveScale;
  if (free < full >> 1) {
    connection.quickAcks = 0;
    free -= free & (unit - 1);
    if (free < allowed >> 4 || free < mss) return 0;
  }
  free = Math.min(free, connection.slowStartWindow, connection.windowClamp);
  if (connection.receiveScale > 0) return (free + unit - 1) & -unit;
  const { receiveWindow } = connection;
  if (receiveWindow <= free - mss || receiveWindow > free) return free - (free % mss);
  return mss === full && free > receiveWindow + (full >> 1) ? free : receiveWindow;
}

/** Decides on the window that the segment about to be sent announces, and returns the header's 16 bits. */
export function announceWindow(connection: ControlBlock): number {
  const offered = offeredWindow(connection);
  const unit = 1 << connection.receiveScale;
  let window = possibleWindow(connection);
  const { counters } = connection.context;
  if (window < offered) {
    if (window === 0) counters.TCPWantZeroWindowAdv++;
    window = (offered + unit - 1) & -unit;
  }
  if (window === 0 && connection.receiveWindow !== 0) counters.TCPToZeroWindowAdv++;
  else if (window !== 0 && connection.receiveWindow === 0) counters.TCPFromZeroWindowAdv++;
  window = Math.min(window, 65_535 << connection.receiveScale);
  connection.receiveWindow = window;
  connection.acknowledged = connection.receiveNext;
  return window >>> connection.receiveScale;
}

/** A segment of `length` octets came in order: the window may grow towards the buffer's room. Linux: tcp_grow_window. */
export function growWindow(connection: ControlBlock, length: number): void {
  if (length < 128) return;
  const room = Math.min(connection.windowClamp, freeSpace(connection)) - connection.slowStartWindow;
  if (room <= 0) return;
  connection.slowStartWindow += Math.min(room, 2 * connection.announcedMss);
  connection.quickAcks |= 1;
}

/** Figures at the beginning of a connection, when MSS and scale are known. */
export function initialiseWindow(connection: ControlBlock): void {
  connection.windowClamp = Math.min(WINDOW_MAX, 65_535 << connection.receiveScale);
  if (connection.options.windowClamp > 0) connection.windowClamp = Math.min(connection.windowClamp, connection.options.windowClamp);
  connection.slowStartWindow = Math.min(connection.receiveWindow, connection.windowClamp);
  connection.tuneSeq = connection.copiedSeq;
  connection.tuneUs = connection.context.nowUs;
  connection.tuneSpace = Math.min(connection.receiveWindow, 10 * connection.announcedMss);
  connection.receiveRttSeq = (connection.receiveNext + connection.receiveWindow) | 0;
  connection.receiveRttStartUs = connection.context.nowUs;
}

/** The guest has read: more than fits in a round trip makes the buffer grow. Linux: tcp_rcv_space_adjust. */
export function tuneReceiveBuffer(connection: ControlBlock): void {
  const { nowUs } = connection.context;
  const elapsed = (nowUs - connection.tuneUs) | 0;
  if (connection.receiveRttUs === 0 || (elapsed < connection.receiveRttUs >> 3 && elapsed >= 0)) return;
  const copied = (connection.copiedSeq - connection.tuneSeq) | 0;
  const space = connection.tuneSpace;
  if (copied > space) {
    if (connection.options.receiveBufferLocked === 0) {
      const window = 2 * copied + 16 * connection.announcedMss;
      const wanted = window + 2 * Math.floor((window * (copied - space)) / space);
      const buffer = Math.min(spaceOfWindow(wanted), RECEIVE_BUFFER_MAX);
      if (buffer > connection.options.receiveBuffer) connection.options.receiveBuffer = buffer;
    }
    connection.tuneSpace = copied;
  }
  connection.tuneSeq = connection.copiedSeq;
  connection.tuneUs = nowUs;
}

/** Measures the round trip as a receiver sees it: the time a whole window takes to come, or a timestamp to return (`echoUs` ≥ 0). In 1/8 microseconds. */
export function measureReceiveRtt(connection: ControlBlock, echoUs: number): void {
  if (echoUs >= 0) {
    const sample = Math.max(echoUs, 1) << 3;
    connection.receiveRttUs =
      connection.receiveRttUs === 0 ? sample : connection.receiveRttUs - (connection.receiveRttUs >> 3) + (sample >> 3);
    return;
  }
  if (((connection.receiveNext - connection.receiveRttSeq) | 0) < 0) return;
  const { nowUs } = connection.context;
  const sample = Math.max((nowUs - connection.receiveRttStartUs) | 0, 1) << 3;
  if (connection.receiveRttUs === 0 || sample < connection.receiveRttUs) connection.receiveRttUs = sample;
  connection.receiveRttSeq = (connection.receiveNext + connection.receiveWindow) | 0;
  connection.receiveRttStartUs = nowUs;
}
