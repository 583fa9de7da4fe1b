/**
 * struct tcp_info (linux/tcp.h): the figures of a connection as the guest gets them, TCP_INFO.
 */
import { TCP_INFO_SIZE } from '#sentry/abi/inet.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import { LISTEN } from '../../netstack/tcp/states.ts';
import type { TcpEndpointSocket } from './tcp-endpoint-socket.ts';

const UNKNOWN_RATE = 0xffff_ffff;

/** Writes the struct at the start of `view`; returns its size. */
export function putTcpInfo(socket: TcpEndpointSocket, view: DataView): number {
  for (let at = 0; at < TCP_INFO_SIZE; at += 4) view.setUint32(at, 0, true);
  const { listener } = socket;
  if (listener !== null) {
    view.setUint8(0, LISTEN);
    view.setUint32(24, listener.acceptable, true); // tcpi_unacked: what waits for accept
    view.setUint32(28, listener.backlog, true); // tcpi_sacked
    return TCP_INFO_SIZE;
  }
  const { info } = socket.connection;
  putBytes(view, info);
  const words = wordsOf(info);
  for (let i = 0; i < words.length; i++) view.setUint32(8 + 4 * i, words[i]! >>> 0, true);
  putRates(view, info);
  return TCP_INFO_SIZE;
}

type Info = TcpEndpointSocket['connection']['info'];

function putBytes(view: DataView, info: Info): void {
  const { state, caState, retransmits, probes, backoff, options, sendScale, receiveScale } = info;
  [state, caState, retransmits, probes, backoff, options, sendScale | (receiveScale << 4)].forEach((byte, i) => {
    view.setUint8(i, byte);
  });
}

/** From tcpi_rto (offset 8) to tcpi_total_retrans. */
function wordsOf(info: Info): readonly number[] {
  return [
    info.rto,
    info.ato,
    info.sendMss,
    info.receiveMss,
    info.unacked,
    info.sacked,
    info.lost,
    info.retransmitted,
    0, // fackets
    info.lastDataSent,
    0, // last_ack_sent
    info.lastDataReceived,
    info.lastAckReceived,
    info.pathMtu,
    info.receiveSlowStart,
    info.rtt,
    info.rttVariation,
    info.sendSlowStart,
    info.sendCwnd,
    info.announcedMss,
    3, // reordering: RACK needs no figure of its own
    info.receiveRtt,
    info.receiveSpace,
    info.totalRetransmits,
  ];
}

function putRates(view: DataView, info: Info): void {
  putI64(view, 104, 0); // pacing_rate
  view.setUint32(112, UNKNOWN_RATE, true); // max_pacing_rate: none
  view.setUint32(116, UNKNOWN_RATE, true);
  putI64(view, 120, info.bytesAcked);
  putI64(view, 128, info.bytesReceived);
  view.setUint32(136, info.segmentsOut, true);
  view.setUint32(140, info.segmentsIn, true);
  view.setUint32(144, info.notSentBytes, true);
  view.setUint32(148, info.minRtt >>> 0, true);
  view.setUint32(152, info.dataSegmentsIn, true);
  view.setUint32(156, info.dataSegmentsOut, true);
  view.setUint32(192, info.delivered, true);
  putI64(view, 200, info.bytesSent);
  putI64(view, 208, info.bytesRetransmitted);
  view.setUint32(216, info.dsackDuplicates, true);
  view.setUint32(220, info.reorderSeen, true);
  view.setUint32(228, info.sendWindow, true);
}
