/**
 * Datagrams that are sent to the guest in the name of somebody else: of whoever is behind a gateway, or of a server that is carried here.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import { IpHeader, IPPROTO_UDP } from '../ip/header.ts';
import { Path } from '../ip/path.ts';
import { copyBytes, Payload } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { SocketAddress } from '../socket-address.ts';
import type { Stack } from '../stack.ts';

const path = new Path();
const header = new IpHeader();
const payload = new Payload();

/**
 * A packet with one reference that holds `memory[offset, offset + length)`, and in `path` its way from `from`, whoever that is, to the guest; null when
 * there is no way or no room.
 */
export function packetFrom(
  stack: Stack,
  path: Path,
  from: SocketAddress,
  to: SocketAddress,
  memory: HostMemory,
  offset: number,
  length: number,
): Packet | null {
  path.destination.copy(to.address);
  path.source.copy(from.address);
  path.isSourceGiven = true;
  path.generation = -1;
  if (stack.output.route(path) < 0) return null;
  const packet = stack.state.pool.take(length);
  if (packet === null) return null;
  copyBytes(memory, offset, packet.memory, packet.start, length);
  packet.end = packet.start + length;
  return packet;
}

/** Sends `memory[0, length)`. Without room for it, it is lost. */
export function sendDatagram(stack: Stack, from: SocketAddress, to: SocketAddress, memory: HostMemory, length: number): void {
  const packet = packetFrom(stack, path, from, to, memory, 0, length);
  if (packet === null) return;
  header.prepare(from.address, to.address, IPPROTO_UDP);
  stack.output.sendUdp(path, header, from.port, to.port, payload.set(packet, packet.start, length));
  packet.release();
}
