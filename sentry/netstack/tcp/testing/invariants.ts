/**
 * What must hold of a connection at any time (README.md): the scoreboard's sums agree with its marks, queues are contiguous, charges add up.
 * Throws a sentence that says what does not.
 */
import type { ControlBlock } from '../control-block.ts';
import { inFlight } from '../loss/scoreboard.ts';
import { LOST, RETRANSMITTED, SACKED } from '../segment.ts';
import { CLOSED, SYN_RECEIVED, SYN_SENT } from '../states.ts';

function agree(what: string, is: number, shouldBe: number): void {
  if (is !== shouldBe) throw new Error(`${what} is ${is}, should be ${shouldBe}`);
}

export function checkInvariants(connection: ControlBlock): void {
  if (connection.state === CLOSED || connection.state === SYN_SENT || connection.state === SYN_RECEIVED) return;
  checkSendQueue(connection);
  checkTimed(connection);
  checkReceiveQueue(connection);
  checkOutOfOrder(connection);
}

function checkSendQueue(connection: ControlBlock): void {
  let seq = connection.sendUnacked;
  let charge = 0;
  let sacked = 0;
  let lost = 0;
  let retransmitted = 0;
  let isUnsent = false;
  for (let segment = connection.sendQueue.head; segment !== null; segment = segment.next) {
    agree('sequence of a segment to send', segment.seq, seq);
    if (segment === connection.unsent) {
      isUnsent = true;
      agree('sequence of the first unsent segment', segment.seq, connection.sendNext);
    }
    seq = segment.endSeq;
    charge += segment.charge;
    if ((segment.marks & SACKED) !== 0) sacked += segment.span;
    if ((segment.marks & LOST) !== 0) lost += segment.span;
    if ((segment.marks & RETRANSMITTED) !== 0) retransmitted += segment.span;
    if ((segment.marks & SACKED) !== 0 && (segment.marks & LOST) !== 0) throw new Error('a segment is both SACKED and LOST');
  }
  agree('end of the send queue', seq, connection.writeEnd);
  if (!isUnsent) agree('what was sent', connection.sendNext, connection.writeEnd);
  agree('charge of the send queue', connection.sendCharge, charge);
  if (connection.usesSack) agree('sackedBytes', connection.sackedBytes, sacked);
  agree('lostBytes', connection.lostBytes, lost);
  agree('retransmittedBytes', connection.retransmittedBytes, retransmitted);
  if (inFlight(connection) < 0) throw new Error(`${inFlight(connection)} octets in flight`);
}

function checkTimed(connection: ControlBlock): void {
  let before = connection.oldestSent;
  for (let segment = before?.later ?? null; segment !== null; before = segment, segment = segment.later) {
    if (((segment.order - before!.order) | 0) < 0) throw new Error('the list by time is out of order');
    if (segment.earlier !== before) throw new Error('the list by time is broken');
  }
  if (before !== connection.newestSent) throw new Error('the list by time ends elsewhere');
}

function checkReceiveQueue(connection: ControlBlock): void {
  let bytes = 0;
  let charge = 0;
  for (let segment = connection.receiveQueue.head; segment !== null; segment = segment.next) {
    agree('sequence of a segment to read', segment.seq, (connection.copiedSeq + bytes) | 0);
    bytes += segment.length;
    charge += segment.charge;
  }
  agree('octets to read', connection.receivedBytes, bytes);
  agree('charge of the receive queue', connection.receiveCharge, charge);
  const expected = (connection.copiedSeq + bytes + (connection.finReceived ? 1 : 0)) | 0;
  agree('next octet to receive', connection.receiveNext, expected);
}

function checkOutOfOrder(connection: ControlBlock): void {
  let end = connection.receiveNext;
  let charge = 0;
  for (let run = connection.outOfOrder.first; run !== null; run = run.next) {
    if (((run.start - end) | 0) <= 0) throw new Error('runs out of order touch or overlap');
    let seq = run.start;
    for (let segment = run.segments.head; segment !== null; segment = segment.next) {
      agree('sequence within a run', segment.seq, seq);
      seq = segment.endSeq;
      charge += segment.charge;
    }
    agree('end of a run', run.end, seq);
    end = run.end;
  }
  agree('charge out of order', connection.outOfOrder.charge, charge);
}
