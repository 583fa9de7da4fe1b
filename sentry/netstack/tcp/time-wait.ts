/**
 * What is left of a connection: an entry that answers repetitions while they may still be in the network (TIME_WAIT, RFC 9293 section 3.6.1), or
 * waits for the peer's FIN after the socket is gone (FIN_WAIT2). Small, because a busy server has thousands.
 *
 * A new SYN from the same peer may take its place when sequence numbers or timestamps show that it is new (RFC 6191); so may a
 * connection of our own after a second (`mayReuse`). Linux: tcp_minisocks.c.
 */
import { Timer } from '../../lib/timer-queue.ts';
import type { IpHeader } from '../ip/header.ts';
import type { Arrival } from './arrival.ts';
import type { TcpContext } from './context.ts';
import type { ControlBlock } from './control-block.ts';
import { REMNANT, TcpEntry } from './entry.ts';
import { ACK, FIN, RST, SYN } from './header.ts';
import type { TcpHeader } from './header.ts';
import { INVALID_RATE_LIMIT_US, TIME_WAIT_MAX, TIME_WAIT_NS } from './limits.ts';
import { after, before } from './sequence.ts';
import { FIN_WAIT2, TIME_WAIT } from './states.ts';
import { answer, sendReset, sendStateless } from './transmit.ts';
import { offeredWindow } from './window.ts';

/** New connections begin beyond all that the old one may have sent. */
const REUSE_GAP = 65_537;
const REUSE_AFTER_MS = 1000;

export class Remnant extends TcpEntry {
  state = TIME_WAIT;
  sendNext = 0;
  receiveNext = 0;
  receiveWindow = 0;
  /** As the header has it. */
  window = 0;
  usesTimestamps = false;
  timestampOffset = 0;
  recentTimestamp = 0;
  recentStampMs = 0;
  lastAckUs = 0;
  hasAcked = false;
  readonly timer: Timer;

  constructor(context: TcpContext) {
    super(REMNANT);
    this.isTimeWait = 1;
    this.timer = new Timer(() => endRemnant(context, this));
  }
}

/** Puts a remnant in the place of `connection`, whose caller ends it. Beyond the bound there is none, as in Linux. */
export function leaveRemnant(connection: ControlBlock, state: number, lifeNs: number): void {
  const { context } = connection;
  if (context.timeWaits >= TIME_WAIT_MAX) {
    context.counters.TCPTimeWaitOverflow++;
    return;
  }
  const remnant = new Remnant(context);
  remnant.identify(connection);
  remnant.state = state;
  remnant.sendNext = connection.sendNext;
  remnant.receiveNext = connection.receiveNext;
  remnant.receiveWindow = offeredWindow(connection);
  remnant.window = remnant.receiveWindow >>> connection.receiveScale;
  remnant.usesTimestamps = connection.usesTimestamps;
  remnant.timestampOffset = connection.timestampOffset;
  remnant.recentTimestamp = connection.recentTimestamp;
  remnant.recentStampMs = connection.recentStampMs;
  context.table.remove(connection);
  context.table.add(remnant);
  context.ports.share(remnant, connection);
  context.timeWaits++;
  context.counters.TW++;
  context.timers.set(remnant.timer, context.nowNs + lifeNs);
}

export function endRemnant(context: TcpContext, remnant: Remnant): void {
  if (!remnant.isListed) return;
  context.timers.cancel(remnant.timer);
  context.table.remove(remnant);
  context.ports.release(remnant);
  context.timeWaits--;
}

/** Whether a connection of our own may take its place, by timestamps that are certainly newer (RFC 6191 section 2; Linux tcp_tw_reuse). */
export function mayReuse(context: TcpContext, remnant: Remnant): boolean {
  return remnant.state === TIME_WAIT && remnant.usesTimestamps && ((context.nowMs - remnant.recentStampMs) | 0) > REUSE_AFTER_MS;
}

/** Where a connection begins that takes the place of `remnant`. */
export function sequenceBehind(remnant: Remnant): number {
  return (remnant.sendNext + REUSE_GAP) | 0;
}

/**
 * A segment for a remnant. True: it is a SYN that ends the remnant (which is gone now) and opens a new connection; `arrival.seq` is to be taken
 * as that of any SYN.
 */
export function remnantInput(context: TcpContext, remnant: Remnant, ip: IpHeader, header: TcpHeader, arrival: Arrival): boolean {
  const isOld = remnant.usesTimestamps && header.timestamps !== 0 && before(header.tsValue, remnant.recentTimestamp);
  if (isOld) context.counters.PAWSEstab++;
  if (remnant.state === FIN_WAIT2) {
    finWait2Input(context, remnant, ip, header, arrival, isOld);
    return false;
  }
  const { flags, seq } = arrival;
  if (!isOld && seq === remnant.receiveNext && (arrival.endSeq === seq || (flags & RST) !== 0)) {
    if ((flags & RST) !== 0) endRemnant(context, remnant);
    else restart(context, remnant, header);
    return false;
  }
  if ((flags & (SYN | RST | ACK)) === SYN && !isOld && isNewConnection(remnant, header)) {
    context.counters.TWRecycled++;
    endRemnant(context, remnant);
    return true;
  }
  if ((flags & RST) !== 0) return false;
  if (isOld || (flags & ACK) !== 0) context.timers.set(remnant.timer, context.nowNs + TIME_WAIT_NS);
  acknowledge(context, remnant, ip, header);
  return false;
}

function isNewConnection(remnant: Remnant, header: TcpHeader): boolean {
  if (after(header.seq, remnant.receiveNext)) return true;
  return remnant.usesTimestamps && header.timestamps !== 0 && after(header.tsValue, remnant.recentTimestamp);
}

/** The half that waits for FIN: anything else that brings data is refused. */
function finWait2Input(context: TcpContext, remnant: Remnant, ip: IpHeader, header: TcpHeader, arrival: Arrival, isOld: boolean): void {
  const { flags, seq, endSeq } = arrival;
  const edge = (remnant.receiveNext + remnant.receiveWindow) | 0;
  const isOutside = before(endSeq, remnant.receiveNext) || after(seq, edge);
  if (isOld || isOutside) {
    if ((flags & RST) === 0) acknowledge(context, remnant, ip, header);
    return;
  }
  if ((flags & RST) !== 0) {
    endRemnant(context, remnant);
    return;
  }
  if ((flags & SYN) !== 0 && !before(seq, remnant.receiveNext)) {
    refuse(context, remnant, ip, header, arrival);
    return;
  }
  if ((flags & ACK) === 0 || !after(endSeq, remnant.receiveNext) || endSeq === seq) return;
  if ((flags & FIN) === 0 || endSeq !== ((remnant.receiveNext + 1) | 0)) {
    refuse(context, remnant, ip, header, arrival);
    return;
  }
  remnant.state = TIME_WAIT;
  remnant.receiveNext = endSeq;
  remnant.receiveWindow = 0;
  restart(context, remnant, header);
  remnant.hasAcked = false;
  acknowledge(context, remnant, ip, header);
}

function refuse(context: TcpContext, remnant: Remnant, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  sendReset(context, ip, header, arrival.length);
  context.counters.TCPAbortOnData++;
  endRemnant(context, remnant);
}

function restart(context: TcpContext, remnant: Remnant, header: TcpHeader): void {
  if (header.timestamps !== 0) {
    remnant.recentTimestamp = header.tsValue;
    remnant.recentStampMs = context.nowMs;
  }
  context.timers.set(remnant.timer, context.nowNs + TIME_WAIT_NS);
}

function acknowledge(context: TcpContext, remnant: Remnant, ip: IpHeader, arrived: TcpHeader): void {
  const elapsed = (context.nowUs - remnant.lastAckUs) | 0;
  if (remnant.hasAcked && elapsed >= 0 && elapsed < INVALID_RATE_LIMIT_US) return;
  remnant.hasAcked = true;
  remnant.lastAckUs = context.nowUs;
  const header = answer(context, arrived, ACK, remnant.sendNext, remnant.receiveNext);
  header.window = remnant.window;
  if (remnant.usesTimestamps) {
    header.timestamps = 1;
    header.tsValue = (context.nowMs + remnant.timestampOffset) | 0;
    header.tsEcho = remnant.recentTimestamp;
  }
  sendStateless(context, ip, header);
}
