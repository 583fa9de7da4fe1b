/**
 * A copy of a frame whose checksum was left to the device, with the checksum in place: for those who look at frames.
 */
import { addBytes, finishSum } from '../checksum.ts';
import { copyBytes } from '../packet.ts';
import type { Packet, PacketPool } from '../packet.ts';
import type { Offload } from './device.ts';

/** A copy with one reference; null: no memory. */
export function completeChecksum(pool: PacketPool, packet: Packet, linkLength: number, offload: Offload): Packet | null {
  const { length } = packet;
  const copy = pool.takeUrgent(length);
  if (copy === null) return null;
  copyBytes(packet.memory, packet.start, copy.memory, copy.start, length);
  copy.end += length;
  const from = copy.start + linkLength + offload.checksumStart;
  const { view } = copy.memory;
  // The field holds the pseudo header's sum, so summing everything gives the whole.
  const sum = finishSum(addBytes(0, view, from, copy.end - from));
  view.setUint16(from + offload.checksumOffset, sum === 0 ? 0xffff : sum);
  return copy;
}
