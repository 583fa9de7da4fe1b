/**
 * The options of level SOL_PACKET: packet(7). Linux net/packet/af_packet.c, packet_setsockopt.
 */
import { EBUSY, EINVAL } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/packet.ts';
import { checkRing, RING_HEADER_LENGTH } from '../../netstack/packet-socket/receive-ring.ts';
import { intRow, OptionTable } from '../socket/option-table.ts';
import type { OptionRow, OptionValue } from '../socket/option-table.ts';
import type { PacketSocket } from './packet-socket.ts';

const INT_MAX = 0x7fff_ffff;

/** PACKET_ADD_MEMBERSHIP: struct packet_mreq {ifindex, type, length, address}. Leaving comes with the socket's end. */
function membership(socket: PacketSocket, value: OptionValue): number {
  if (value.length < abi.PACKET_MREQ_SIZE) return -EINVAL;
  const kind = value.view.getUint16(4, true);
  if (kind > 3) return -EINVAL;
  if (kind !== abi.PACKET_MR_PROMISC) return 0;
  socket.network.enter();
  return socket.endpoint.join(value.view.getInt32(0, true));
}

/** PACKET_RX_RING: struct tpacket_req; no blocks end the ring. */
function setRing(socket: PacketSocket, value: OptionValue): number {
  if (value.length < abi.TPACKET_REQ_SIZE) return -EINVAL;
  const { view } = value;
  const [blockSize, blocks, frameSize, frames] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [number, number, number, number];
  if (socket.isRingMapped) return -EBUSY;
  if (blocks === 0) return frames === 0 ? socket.removeRing() : -EINVAL;
  if (socket.hasRing) return -EBUSY;
  const request = { blockSize, blocks, frameSize, frames, version: socket.version, reserve: socket.reserve };
  const checked = checkRing(request);
  return checked < 0 ? checked : socket.makeRing(request);
}

/** The version asked about is where the answer goes. */
const headerLength: OptionRow<PacketSocket> = {
  get: (_socket, value) => {
    const version = value.int;
    if (value.length < 4 || (version !== abi.TPACKET_V1 && version !== abi.TPACKET_V2)) return -EINVAL;
    return value.putInt(RING_HEADER_LENGTH);
  },
};

const statistics: OptionRow<PacketSocket> = {
  get: ({ endpoint }, value) => {
    value.view.setUint32(0, endpoint.seen, true);
    value.view.setUint32(4, endpoint.drops, true);
    endpoint.seen = endpoint.drops = 0;
    return 8;
  },
};

/** TPACKET_V3 does not exist; programs fall back to V2. */
function setVersion(socket: PacketSocket, version: number): number {
  if (version !== abi.TPACKET_V1 && version !== abi.TPACKET_V2) return -EINVAL;
  if (socket.hasRing) return -EBUSY;
  socket.version = version;
  return 0;
}

function setReserve(socket: PacketSocket, reserve: number): number {
  if (reserve < 0 || reserve > INT_MAX) return -EINVAL;
  if (socket.hasRing) return -EBUSY;
  socket.reserve = reserve;
  return 0;
}

export const PACKET_LEVEL = new OptionTable<PacketSocket>(0, {
  [abi.PACKET_ADD_MEMBERSHIP]: { set: membership },
  [abi.PACKET_DROP_MEMBERSHIP]: { set: (_socket, value) => (value.length < abi.PACKET_MREQ_SIZE ? -EINVAL : 0) },
  [abi.PACKET_RX_RING]: { set: setRing },
  [abi.PACKET_HDRLEN]: headerLength,
  [abi.PACKET_STATISTICS]: statistics,
  [abi.PACKET_VERSION]: intRow((socket) => socket.version, setVersion),
  [abi.PACKET_RESERVE]: intRow((socket) => socket.reserve, setReserve),
  [abi.PACKET_AUXDATA]: intRow(
    (socket) => socket.tellsAuxiliary,
    (socket, on) => {
      socket.tellsAuxiliary = on === 0 ? 0 : 1;
      return 0;
    },
  ),
  [abi.PACKET_ORIGDEV]: intRow(
    (socket) => socket.tellsOrigin,
    (socket, on) => {
      socket.tellsOrigin = on === 0 ? 0 : 1;
      return 0;
    },
  ),
  [abi.PACKET_IGNORE_OUTGOING]: intRow(
    ({ endpoint }) => (endpoint.ignoresOutgoing ? 1 : 0),
    ({ endpoint }, on) => {
      if (on < 0 || on > 1) return -EINVAL;
      endpoint.ignoresOutgoing = on === 1;
      return 0;
    },
  ),
});
