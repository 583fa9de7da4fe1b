/**
 * SYN cookies (RFC 4987 section 3.6): under a flood the request is not remembered but written into our initial sequence number, and read from the
 * acknowledgement that returns it. What does not fit there (window scale, SACK) goes into the low bits of our timestamp, if the peer uses
 * those.
 *
 *     31    27 26  24 23                    0
 *     minute   MSS    signature over the four-tuple, the peer's sequence, minute and MSS
 */
import type { SynRequest } from './syn-request.ts';
import type { TcpContext } from './context.ts';
import { SECOND } from './limits.ts';
import type { TcpHeader } from './header.ts';

/** An MSS is rounded down to one of these. */
const MSS_CHOICES: readonly number[] = [216, 536, 1220, 1300, 1440, 1460, 4312, 8960];
/** A cookie holds for this many changes of the counter. */
const AGE_MAX = 2;
const COUNTER_NS = 64 * SECOND;
/** Low bits of a timestamp: window scale (15: none), SACK. */
const OPTION_BITS = 0x1f;
const SACK_BIT = 0x10;
const NO_SCALE = 0x0f;

function counterNow(context: TcpContext): number {
  return Math.floor(context.nowNs / COUNTER_NS) & 31;
}

function sign(context: TcpContext, request: SynRequest, counter: number, choice: number): number {
  const said = request.initialReceive ^ (choice << 8);
  const { local, localPort, remote, remotePort } = request;
  return context.secrets.cookieSignature(local, localPort, remote, remotePort, said, counter) & 0xff_ffff;
}

/** The initial sequence number that says what `request` holds; also puts its options where the timestamp will carry them. */
export function makeCookie(context: TcpContext, request: SynRequest): number {
  let choice = 0;
  for (let i = 0; i < MSS_CHOICES.length; i++) if (MSS_CHOICES[i]! <= request.peerMss) choice = i;
  const counter = counterNow(context);
  if (request.usesTimestamps) {
    const scale = request.receiveScale < 0 ? NO_SCALE : request.sendScale;
    const options = scale | (request.usesSack ? SACK_BIT : 0);
    // The option bits replace the clock's lowest; a timestamp must not run ahead, so it is set back when they would.
    const clock = (context.nowMs + request.timestampOffset) | 0;
    let stamp = (clock & ~OPTION_BITS) | options;
    if (((stamp - clock) | 0) > 0) stamp = (stamp - OPTION_BITS - 1) | 0;
    request.timestampOffset = (stamp - context.nowMs) | 0;
  } else {
    request.usesSack = false;
    request.receiveScale = -1;
    request.sendScale = 0;
  }
  return (counter << 27) | (choice << 24) | sign(context, request, counter, choice);
}

/** Reads the cookie that `header` acknowledges into `request`, whose four-tuple and `initialReceive` are set. False: it is none of ours, or old. */
export function readCookie(context: TcpContext, request: SynRequest, header: TcpHeader, receiveScale: number): boolean {
  const cookie = (header.ack - 1) | 0;
  const counter = cookie >>> 27;
  if (((counterNow(context) - counter) & 31) > AGE_MAX) return false;
  const choice = (cookie >>> 24) & 7;
  if ((cookie & 0xff_ffff) !== sign(context, request, counter, choice)) return false;
  request.initialSend = cookie;
  request.peerMss = MSS_CHOICES[choice]!;
  request.usesTimestamps = header.timestamps !== 0;
  if (!request.usesTimestamps) return true;
  const options = header.tsEcho & OPTION_BITS;
  request.usesSack = (options & SACK_BIT) !== 0;
  const scale = options & NO_SCALE;
  if (scale !== NO_SCALE) {
    request.sendScale = scale;
    request.receiveScale = receiveScale;
  }
  request.recentTimestamp = header.tsValue;
  request.recentStampMs = context.nowMs;
  return true;
}
