/**
 * What the filter of a socket leaves of a message that is only bytes, without headers or an interface: those of AF_UNIX and netlink.
 *
 * Linux: sk_filter in unix_dgram_sendmsg, netlink_unicast, do_one_broadcast.
 */
import { FilteredPacket } from '../../bpf/packet-filter.ts';
import type { PacketFilter } from '../../bpf/packet-filter.ts';

const packet = new FilteredPacket(new DataView(new ArrayBuffer(0)));

/** Bytes at the start of `bytes` that the socket gets; -1: none, the message is dropped. */
export function filterBytes(filter: PacketFilter, bytes: Uint8Array): number {
  packet.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  packet.end = bytes.length;
  const kept = filter.run(packet);
  return kept === 0 ? -1 : Math.min(kept, bytes.length);
}
