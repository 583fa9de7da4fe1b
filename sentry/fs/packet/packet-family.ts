/**
 * AF_PACKET as a socket family: for who has CAP_NET_RAW.
 */
import { EOPNOTSUPP, EPERM, ESOCKTNOSUPPORT } from '#sentry/abi/errno.ts';
import { SOCK_DGRAM, SOCK_RAW } from '#sentry/abi/socket.ts';
import { capable, CAP_NET_RAW } from '../../vfs/credentials.ts';
import type { InternetDomain } from '../inet/internet-socket.ts';
import type { SocketCaller, SocketFamily } from '../socket/socket.ts';
import { PacketSocket } from './packet-socket.ts';
import type { PacketDomain } from './packet-socket.ts';
import { RingMemories } from './ring-memory.ts';

export class PacketFamily implements SocketFamily {
  private readonly shared: PacketDomain;

  constructor(shared: InternetDomain) {
    const { host, budget } = shared.files;
    this.shared = { ...shared, rings: new RingMemories(host, budget) };
  }

  /** `protocol`: an Ethertype in network order. */
  create(type: number, protocol: number, flags: number, caller: SocketCaller): PacketSocket | number {
    if (!capable(caller.credentials, CAP_NET_RAW)) return -EPERM;
    if (type !== SOCK_RAW && type !== SOCK_DGRAM) return -ESOCKTNOSUPPORT;
    const etherType = ((protocol & 255) << 8) | ((protocol >> 8) & 255);
    const { network } = this.shared;
    network.enter();
    const endpoint = network.stack.packets.endpoint(type === SOCK_RAW ? 'raw' : 'cooked', etherType);
    return typeof endpoint === 'number' ? endpoint : new PacketSocket(this.shared, endpoint, type, protocol, flags, caller);
  }

  createPair(type: number, protocol: number, flags: number, caller: SocketCaller): number {
    const socket = this.create(type, protocol, flags, caller);
    if (typeof socket === 'number') return socket;
    socket.release();
    return -EOPNOTSUPP;
  }
}
