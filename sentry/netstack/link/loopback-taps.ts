/**
 * What packet sockets and captures see of `lo`: what travels there as objects is written out for them, once as it leaves and once as it
 * arrives, behind an Ethernet header of zeros as on Linux. Done only while somebody listens.
 */
import type { BacklogEntry } from '../ip/backlog.ts';
import { pieceCount, serialisePiece } from '../ip/serialise.ts';
import type { StackState } from '../stack-state.ts';
import { ETHERNET_HEADER_LENGTH, HardwareAddress, writeEthernet } from '../wire/ethernet.ts';
import type { NetworkInterface } from './interface.ts';
import { etherTypeOf } from './link-output.ts';
import { PACKET_HOST, PACKET_OUTGOING } from './tap.ts';

const ZERO = new HardwareAddress();

/** Shows one entry of the backlog to the taps of `lo`. */
export function showOnLoopback(state: StackState, lo: NetworkInterface, entry: BacklogEntry): void {
  const pieces = pieceCount(entry);
  for (let piece = 0; piece < pieces; piece++) {
    const packet = serialisePiece(state.pool, entry, piece);
    if (packet === null) return;
    const type = etherTypeOf(packet, 0);
    writeEthernet(packet.memory.view, packet.prepend(ETHERNET_HEADER_LENGTH), ZERO, ZERO, type);
    for (const tap of lo.taps) tap.tap(lo, packet, ETHERNET_HEADER_LENGTH, type, PACKET_OUTGOING);
    for (const tap of lo.taps) tap.tap(lo, packet, ETHERNET_HEADER_LENGTH, type, PACKET_HOST);
    packet.release();
  }
}
