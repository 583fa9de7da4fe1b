/**
 * Urgent data as Linux has it (tcp(7), RFC 6093): one octet "out of band", the last that the urgent pointer covers. It is taken out of the
 * stream and read with MSG_OOB, or, with SO_OOBINLINE, left in it; reading stops at the mark either way (SIOCATMARK).
 */
import { POLLPRI } from '#sentry/abi/fs.ts';
import type { Arrival } from './arrival.ts';
import type { ControlBlock } from './control-block.ts';
import type { TcpHeader } from './header.ts';
import { notify } from './readiness.ts';
import { after, before } from './sequence.ts';
import { URGENT_AWAITED, URGENT_HERE, URGENT_NONE } from './urgent-states.ts';

/** The pointer points behind the urgent octet. */
export function noteUrgent(connection: ControlBlock, header: TcpHeader, arrival: Arrival): void {
  if (header.urgent === 0) return;
  const seq = (header.seq + header.urgent - 1) | 0;
  // Already read past it, already received but skipped, or known.
  if (after(connection.copiedSeq, seq) || before(seq, connection.receiveNext) || before(seq, arrival.seq)) return;
  if (connection.urgentState !== URGENT_NONE && !after(seq, connection.urgentSeq)) return;
  skipEarlier(connection);
  connection.urgentState = URGENT_AWAITED;
  connection.urgentSeq = seq;
  notify(connection, POLLPRI);
}

/** Two urgent octets in a row, the first at the very place reading stands and not inline: the second mark would leave it in the stream (as in Linux). */
function skipEarlier(connection: ControlBlock): void {
  if (connection.urgentState === URGENT_NONE || connection.urgentSeq !== connection.copiedSeq) return;
  if (connection.options.oobInline !== 0 || connection.copiedSeq === connection.receiveNext) return;
  const { head } = connection.receiveQueue;
  if (head === null || head.length === 0) return;
  connection.copiedSeq = (connection.copiedSeq + 1) | 0;
  head.seq = (head.seq + 1) | 0;
  head.offset++;
  head.length--;
  connection.receivedBytes--;
}

/** Looks whether the awaited octet is in this segment. */
export function takeUrgent(connection: ControlBlock, arrival: Arrival): void {
  if (connection.urgentState !== URGENT_AWAITED) return;
  const at = (connection.urgentSeq - arrival.seq) | 0;
  if (at < 0 || at >= arrival.length) return;
  connection.urgentByte = arrival.packet!.memory.bytes[arrival.offset + at]!;
  connection.urgentState = URGENT_HERE;
  notify(connection, POLLPRI);
}
