/** /proc/net/packet: sockets of AF_PACKET, proc_pid_net(5); Linux net/packet/af_packet.c, packet_seq_show. */
import type { Stack } from '../../../netstack/stack.ts';
import { PacketSocket } from '../../packet/packet-socket.ts';

const NO_ADDRESS = '0'.repeat(16);

export function packetText(stack: Stack): string {
  const lines = stack.packets.endpoints.map(({ observer, protocol, interfaceIndex }) => {
    const socket = observer instanceof PacketSocket ? observer : null;
    const type = String(socket === null ? 0 : socket.type).padEnd(4);
    const where = `${protocol.toString(16).padStart(4, '0')} ${String(interfaceIndex).padStart(5)} 1`;
    return `${NO_ADDRESS} ${'3'.padEnd(6)} ${type} ${where} ${'0'.padEnd(6)} ${String(socket?.inode.uid ?? 0).padEnd(6)} ${socket?.inode.ino ?? 0}\n`;
  });
  return `sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n${lines.join('')}`;
}
