/**
 * What poll(2) sees of a connection, and telling its owner when that may have changed (Linux: tcp_poll, sk_stream_write_space).
 *
 * Room for writing is announced once a third of the send buffer is free, and only to who has found it full before (`wantsRoom`).
 */
import { POLLERR, POLLHUP, POLLPRI, POLLRDHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import type { ControlBlock } from './control-block.ts';
import { SEND_BUFFER_MAX } from './limits.ts';
import { CLOSED, isIn, OPENING, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND, SYN_SENT } from './states.ts';
import { URGENT_HERE } from './urgent-states.ts';
import { offeredWindow } from './window.ts';

/** Whether a write may take something: a third of the buffer is free. */
function isWritable(connection: ControlBlock): boolean {
  const { options, sendCharge } = connection;
  if (options.sendBuffer - sendCharge < sendCharge >> 1) return false;
  return options.notSentLowWater === 0 || ((connection.writeEnd - connection.sendNext) | 0) < options.notSentLowWater;
}

/** Whether a read would return: enough octets (SO_RCVLOWAT), or as much as the window lets come. */
function isReadable(connection: ControlBlock): boolean {
  const { receivedBytes } = connection;
  if (receivedBytes === 0) return false;
  return receivedBytes >= connection.options.receiveLowWater || offeredWindow(connection) <= connection.receiveMss;
}

/** POLL* bits that hold now. */
export function eventsOf(connection: ControlBlock): number {
  let events = connection.error !== 0 ? POLLERR : 0;
  const { shut, state } = connection;
  if (shut === SHUT_BOTH || state === CLOSED) events |= POLLHUP;
  if ((shut & SHUT_RECEIVE) !== 0) events |= READABLE | POLLRDHUP;
  if (isIn(state, OPENING) && state === SYN_SENT) return events;
  if (isReadable(connection)) events |= READABLE;
  if ((shut & SHUT_SEND) !== 0 || isWritable(connection)) events |= WRITABLE;
  else connection.wantsRoom = true;
  if (connection.urgentState === URGENT_HERE) events |= POLLPRI;
  return events;
}

/** Tells the owner that these may hold now. */
export function notify(connection: ControlBlock, events: number): void {
  connection.observer?.onChange(events);
}

/** After an acknowledgement: lets the buffer grow with the window, and tells who waits for room. */
export function notifyWritable(connection: ControlBlock): void {
  if (!connection.wantsRoom) return;
  expandSendBuffer(connection);
  if (!isWritable(connection)) return;
  connection.wantsRoom = false;
  notify(connection, WRITABLE);
}

/** Room for twice what the window holds, and as much again for overhead, so that sending never waits for the guest (Linux: tcp_sndbuf_expand). */
export function expandSendBuffer(connection: ControlBlock): void {
  const { options, mss } = connection;
  if (options.sendBufferLocked !== 0 || options.sendBuffer >= SEND_BUFFER_MAX) return;
  const wanted = 4 * Math.max(connection.cwnd, 10 * mss);
  if (wanted > options.sendBuffer) options.sendBuffer = Math.min(wanted, SEND_BUFFER_MAX);
}
