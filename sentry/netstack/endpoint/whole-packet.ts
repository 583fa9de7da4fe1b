/**
 * A guest's bytes as one packet, for endpoints whose messages are packets of their own (raw(7), packet(7), icmp(7)).
 */
import { EFAULT, ENOBUFS } from '#sentry/abi/errno.ts';
import type { Io } from '../../mm/io.ts';
import type { Packet, PacketPool } from '../packet.ts';

/** A packet with one reference that holds all of `io`, or -ENOBUFS, or -EFAULT. */
export function takeWhole(pool: PacketPool, io: Io): Packet | number {
  const length = io.remaining;
  const packet = pool.take(length);
  if (packet === null) return -ENOBUFS;
  const taken = length === 0 ? 0 : io.take(packet.memory, packet.end, length);
  if (taken < length) {
    packet.release();
    return -EFAULT;
  }
  packet.end += length;
  return packet;
}
