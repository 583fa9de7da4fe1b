/**
 * Data and FIN of a segment (RFC 9293 section 3.10.7.4, "seventh" and "eighth"): what continues the stream goes to the receive queue, with all that
 * was waiting for it; what comes early waits in the out-of-order queue; what is known already is reported as a duplicate.
 *
 * Linux: tcp_data_queue, tcp_fin.
 */
import { READABLE } from '#sentry/abi/fs.ts';
import { enterQuickAck, noteDataReceived } from './ack-policy.ts';
import type { Arrival } from './arrival.ts';
import { abortOnData, finArrived } from './closing.ts';
import { ACK_NOW, ACK_SCHEDULED } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';
import { FIN, PSH } from './header.ts';
import { QUICK_ACKS_MAX } from './limits.ts';
import { DUPLICATE, REFUSED } from './out-of-order-queue.ts';
import type { Run } from './out-of-order-queue.ts';
import { notify } from './readiness.ts';
import { appendReceived } from './received.ts';
import { noteDuplicate } from './sack-blocks.ts';
import { after, before } from './sequence.ts';
import { ESTABLISHED, isIn, MAY_RECEIVE, SHUT_RECEIVE } from './states.ts';
import { measureReceiveRtt, offeredWindow } from './window.ts';

/** `segmentSize`: octets of each segment when several were joined below, 0: this is one. */
export function receiveData(connection: ControlBlock, arrival: Arrival, segmentSize: number): void {
  if (!isIn(connection.state, MAY_RECEIVE)) {
    // The peer's FIN has been taken: nothing can follow it but repetitions.
    connection.ackPending |= ACK_SCHEDULED;
    return;
  }
  // Linux: SHUT_RD alone refuses nothing; with the other direction closed too, data for nobody is answered with a reset.
  if (connection.state !== ESTABLISHED && (connection.shut & SHUT_RECEIVE) !== 0 && isNewData(connection, arrival)) {
    abortOnData(connection);
    return;
  }
  if (arrival.seq === connection.receiveNext) inOrder(connection, arrival, segmentSize);
  else if (!after(arrival.endSeq, connection.receiveNext)) repeated(connection, arrival);
  else if (before(arrival.seq, connection.receiveNext)) overlapping(connection, arrival, segmentSize);
  else early(connection, arrival);
}

function isNewData(connection: ControlBlock, arrival: Arrival): boolean {
  return arrival.length > 0 && after((arrival.seq + arrival.length) | 0, connection.receiveNext);
}

function inOrder(connection: ControlBlock, arrival: Arrival, segmentSize: number): void {
  const window = offeredWindow(connection);
  if (arrival.length > window) {
    if (window === 0) {
      // A window probe, or a peer that ignores the window.
      connection.context.counters.TCPZeroWindowDrop++;
      enterQuickAck(connection, QUICK_ACKS_MAX);
      connection.ackPending |= ACK_NOW | ACK_SCHEDULED;
      return;
    }
    arrival.trimTo(window);
  }
  const { length } = arrival;
  if (length > 0) {
    if (lacksMemory(connection, arrival, connection.receiveQueue.head === null)) {
      connection.context.counters.TCPRcvQDrop++;
      connection.ackPending |= ACK_NOW | ACK_SCHEDULED;
      return;
    }
    const isPushed = (arrival.flags & PSH) !== 0;
    connection.dataSegmentsIn++;
    connection.lastDataReceivedMs = connection.context.nowMs;
    append(connection, arrival);
    noteDataReceived(connection, segmentSize > 0 ? segmentSize : length, length, isPushed);
    measureReceiveRtt(connection, -1);
  }
  const hadFin = (arrival.flags & FIN) !== 0;
  if (hadFin) takeFin(connection);
  else if (connection.outOfOrder.first !== null) drainOutOfOrder(connection);
  if (length > 0) notify(connection, READABLE);
}

/**
 * Whether what arrived has to go because queues hold too much already: that of one who has data to read, or `isFirst`, when even those hold too much who had none.
 * What the sender holds too (loopback) costs nothing more. Linux: tcp_try_rmem_schedule.
 */
function lacksMemory({ context }: ControlBlock, arrival: Arrival, isFirst: boolean): boolean {
  const { packets } = context;
  return packets.isScarce && arrival.packet!.users === 1 && (packets.isExhausted || !isFirst);
}

function append(connection: ControlBlock, arrival: Arrival): void {
  const { length } = arrival;
  const { context, receiveQueue } = connection;
  connection.receiveCharge += appendReceived(context, receiveQueue, arrival.packet!, arrival.offset, length, arrival.seq);
  connection.receivedBytes += length;
  connection.bytesReceived += length;
  connection.receiveNext = (connection.receiveNext + length) | 0;
}

function takeFin(connection: ControlBlock): void {
  connection.receiveNext = (connection.receiveNext + 1) | 0;
  connection.outOfOrder.clear(connection.context);
  finArrived(connection);
}

/** What was waiting for the gap to close. */
function drainOutOfOrder(connection: ControlBlock): void {
  for (;;) {
    const run = connection.outOfOrder.takeUpTo(connection.receiveNext);
    if (run === null) break;
    const isFin = takeRun(connection, run);
    if (isFin) {
      takeFin(connection);
      return;
    }
  }
  // A gap was filled: the sender wants to know at once (RFC 5681 section 4.2).
  connection.ackPending |= ACK_NOW | ACK_SCHEDULED;
}

/** Moves a run to the receive queue; whether it ended with FIN. */
function takeRun(connection: ControlBlock, run: Run): boolean {
  const { context } = connection;
  if (!after(run.end, connection.receiveNext)) {
    noteDuplicate(connection, run.start, run.end);
    run.segments.clear(context.segments);
    return false;
  }
  let isFin = false;
  for (let segment = run.segments.head; segment !== null; segment = run.segments.head) {
    run.segments.remove(segment);
    const known = (connection.receiveNext - segment.seq) | 0;
    if ((segment.flags & FIN) !== 0) isFin = true;
    if (segment.packet === null || known >= segment.length) {
      context.segments.put(segment);
      continue;
    }
    segment.offset += known;
    segment.seq = (segment.seq + known) | 0;
    segment.length -= known;
    connection.receiveQueue.append(segment);
    connection.receiveCharge += segment.charge;
    connection.receivedBytes += segment.length;
    connection.bytesReceived += segment.length;
    connection.receiveNext = segment.endSeq;
  }
  return isFin;
}

/** Known completely: our acknowledgement was lost, or the segment was sent again without need. */
function repeated(connection: ControlBlock, arrival: Arrival): void {
  connection.context.counters.DelayedACKLost++;
  noteDuplicate(connection, arrival.seq, arrival.endSeq);
  enterQuickAck(connection, QUICK_ACKS_MAX);
  connection.ackPending |= ACK_SCHEDULED | ACK_NOW;
}

function overlapping(connection: ControlBlock, arrival: Arrival, segmentSize: number): void {
  noteDuplicate(connection, arrival.seq, connection.receiveNext);
  arrival.trimFront((connection.receiveNext - arrival.seq) | 0);
  connection.ackPending |= ACK_NOW;
  inOrder(connection, arrival, segmentSize);
}

/** Behind a gap: kept, and reported at once. */
function early(connection: ControlBlock, arrival: Arrival): void {
  const { context, outOfOrder } = connection;
  const edge = (connection.receiveNext + offeredWindow(connection)) | 0;
  connection.ackPending |= ACK_SCHEDULED | ACK_NOW;
  connection.pingPong = 0;
  const inside = (edge - arrival.seq) | 0;
  if (inside <= 0) return;
  if (arrival.length > inside) arrival.trimTo(inside);
  const isFull = connection.receiveCharge + outOfOrder.charge > connection.options.receiveBuffer;
  if (isFull || (arrival.length > 0 && lacksMemory(connection, arrival, false))) {
    context.counters.TCPOFODrop++;
    return;
  }
  const { length } = arrival;
  const answer = outOfOrder.insert(context, arrival);
  if (outOfOrder.duplicateStart !== outOfOrder.duplicateEnd) noteDuplicate(connection, outOfOrder.duplicateStart, outOfOrder.duplicateEnd);
  if (answer === REFUSED) context.counters.TCPOFODrop++;
  else if (answer === DUPLICATE) context.counters.TCPOFOMerge++;
  else {
    context.counters.TCPOFOQueue++;
    connection.dataSegmentsIn++;
    if (length >= connection.receiveMss) connection.receiveMss = Math.min(length, connection.announcedMss);
  }
}
