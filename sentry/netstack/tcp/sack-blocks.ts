/**
 * The SACK option of what we send (RFC 2018 section 4, RFC 2883): first a duplicate just received, then the runs that arrived out of order, the
 * latest first, as many as fit.
 */
import type { ControlBlock } from './control-block.ts';
import type { TcpHeader } from './header.ts';
import type { Run } from './out-of-order-queue.ts';

/** With timestamps three blocks fit into the 40 octets of options, without four. */
function room(connection: ControlBlock): number {
  return connection.usesTimestamps ? 3 : 4;
}

/** Blocks the next segment carries. */
export function sackOptionBlocks(connection: ControlBlock): number {
  if (!connection.usesSack) return 0;
  const { count } = connection.outOfOrder;
  if (count === 0 && !connection.hasDsack) return 0;
  return Math.min(count + (connection.hasDsack ? 1 : 0), room(connection));
}

/** Octets that takes of a segment's room. */
export function sackOptionLength(connection: ControlBlock): number {
  const blocks = sackOptionBlocks(connection);
  return blocks === 0 ? 0 : 4 + 8 * blocks;
}

export function writeSackBlocks(connection: ControlBlock, header: TcpHeader): void {
  let count = 0;
  if (connection.hasDsack) count = put(header, count, connection.dsackStart, connection.dsackEnd);
  const most = sackOptionBlocks(connection);
  let run = latest(connection, null);
  while (run !== null && count < most) {
    count = put(header, count, run.start, run.end);
    run = latest(connection, run);
  }
  header.sackCount = count;
}

function put(header: TcpHeader, index: number, start: number, end: number): number {
  header.sack[2 * index] = start;
  header.sack[2 * index + 1] = end;
  return index + 1;
}

/** The run touched last before `than` was (null: last of all). */
function latest(connection: ControlBlock, than: Run | null): Run | null {
  let best: Run | null = null;
  for (let run = connection.outOfOrder.first; run !== null; run = run.next) {
    if (than !== null && ((run.touched - than.touched) | 0) >= 0) continue;
    if (best === null || ((run.touched - best.touched) | 0) > 0) best = run;
  }
  return best;
}

/** Remembers a range received twice: the next acknowledgement says so at once. */
export function noteDuplicate(connection: ControlBlock, start: number, end: number): void {
  if (!connection.usesSack || start === end) return;
  const { counters } = connection.context;
  if (((start - connection.receiveNext) | 0) < 0) counters.TCPDSACKOldSent++;
  else counters.TCPDSACKOfoSent++;
  connection.hasDsack = true;
  connection.dsackStart = start;
  connection.dsackEnd = end;
}
