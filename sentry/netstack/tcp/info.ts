/**
 * TCP_INFO: a connection's figures as struct tcp_info (linux/tcp.h) has them. Windows and losses, which we count in octets, are given in segments.
 * The layout is `sentry/abi`'s; fields not here are zero there.
 */
import type { ControlBlock } from './control-block.ts';
import { INFINITE_SSTHRESH } from './limits.ts';
import { inFlight } from './loss/scoreboard.ts';

/** `tcpi_options`. */
const TCPI_OPT_TIMESTAMPS = 1;
const TCPI_OPT_SACK = 2;
const TCPI_OPT_WSCALE = 4;

export interface TcpInfo {
  state: number;
  caState: number;
  retransmits: number;
  probes: number;
  backoff: number;
  options: number;
  sendScale: number;
  receiveScale: number;
  /** Microseconds. */
  rto: number;
  ato: number;
  rtt: number;
  rttVariation: number;
  receiveRtt: number;
  minRtt: number;
  /** Octets. */
  sendMss: number;
  receiveMss: number;
  announcedMss: number;
  pathMtu: number;
  receiveSlowStart: number;
  receiveSpace: number;
  sendWindow: number;
  receiveWindow: number;
  notSentBytes: number;
  bytesAcked: number;
  bytesReceived: number;
  bytesSent: number;
  bytesRetransmitted: number;
  /** Segments. */
  unacked: number;
  sacked: number;
  lost: number;
  retransmitted: number;
  sendSlowStart: number;
  sendCwnd: number;
  totalRetransmits: number;
  segmentsIn: number;
  segmentsOut: number;
  dataSegmentsIn: number;
  dataSegmentsOut: number;
  delivered: number;
  dsackDuplicates: number;
  reorderSeen: number;
  /** Milliseconds since. */
  lastDataSent: number;
  lastDataReceived: number;
  lastAckReceived: number;
}

function segments(octets: number, mss: number): number {
  return Math.ceil(octets / mss);
}

/** The figures of this moment; `nowMs` on the connection's clock. */
export function tcpInfo(connection: ControlBlock): TcpInfo {
  return { ...sequenceFigures(connection), ...timeFigures(connection), ...countFigures(connection) };
}

function sequenceFigures(connection: ControlBlock) {
  const { mss } = connection;
  const out = (connection.sendNext - connection.sendUnacked) | 0;
  return {
    sendMss: mss,
    receiveMss: connection.receiveMss,
    announcedMss: connection.announcedMss,
    pathMtu: connection.path.mtu,
    receiveSlowStart: connection.slowStartWindow,
    receiveSpace: connection.tuneSpace,
    sendWindow: connection.sendWindow,
    receiveWindow: connection.receiveWindow,
    notSentBytes: Math.max(0, (connection.writeEnd - connection.sendNext) | 0),
    unacked: segments(out, mss),
    sacked: segments(connection.sackedBytes, mss),
    lost: segments(connection.lostBytes, mss),
    retransmitted: segments(connection.retransmittedBytes, mss),
    sendSlowStart: connection.ssthresh >= INFINITE_SSTHRESH ? 0x7fff_ffff : segments(connection.ssthresh, mss),
    sendCwnd: Math.max(1, Math.floor(Math.max(connection.cwnd, Math.min(inFlight(connection), connection.cwnd)) / mss)),
  };
}

function timeFigures(connection: ControlBlock) {
  const { nowMs } = connection.context;
  return {
    rto: connection.rtoUs * 2 ** connection.backoff,
    ato: connection.hasAckTimeout ? connection.ackTimeoutUs : 0,
    rtt: connection.srttUs >> 3,
    rttVariation: connection.mdevUs >> 2,
    receiveRtt: connection.receiveRttUs >> 3,
    minRtt: Math.max(connection.minRttUs, 0),
    lastDataSent: (nowMs - connection.lastDataSentMs) | 0,
    lastDataReceived: (nowMs - connection.lastDataReceivedMs) | 0,
    lastAckReceived: (nowMs - connection.lastAckReceivedMs) | 0,
  };
}

function countFigures(connection: ControlBlock) {
  let options = connection.usesTimestamps ? TCPI_OPT_TIMESTAMPS : 0;
  if (connection.usesSack) options |= TCPI_OPT_SACK;
  if (connection.receiveScale > 0 || connection.sendScale > 0) options |= TCPI_OPT_WSCALE;
  return {
    state: connection.state,
    caState: connection.caState,
    retransmits: connection.retransmits,
    probes: connection.probesOut,
    backoff: connection.backoff,
    options,
    sendScale: connection.sendScale,
    receiveScale: connection.receiveScale,
    bytesAcked: connection.bytesAcked,
    bytesReceived: connection.bytesReceived,
    bytesSent: connection.bytesSent,
    bytesRetransmitted: connection.bytesRetransmitted,
    totalRetransmits: connection.totalRetransmits,
    segmentsIn: connection.segmentsIn,
    segmentsOut: connection.segmentsOut,
    dataSegmentsIn: connection.dataSegmentsIn,
    dataSegmentsOut: connection.dataSegmentsOut,
    delivered: segments(connection.delivered, connection.mss),
    dsackDuplicates: connection.dsacksReceived,
    reorderSeen: connection.isReorderSeen ? 1 : 0,
  };
}
