/**
 * AF_UNIX as a socket family: which types there are, pairs, and the state all sockets of the sandbox share.
 */
import { EPROTONOSUPPORT, ESOCKTNOSUPPORT } from '#sentry/abi/errno.ts';
import { AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM } from '#sentry/abi/socket.ts';
import { NetworkSettings } from '../../netstack/settings.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { Messages } from '../socket/message.ts';
import type { SocketCaller, SocketFamily } from '../socket/socket.ts';
import { DatagramSocket } from './datagram-socket.ts';
import { InFlight } from './in-flight.ts';
import { UnixNames } from './names.ts';
import { SeqpacketSocket } from './seqpacket-socket.ts';
import { StreamSocket } from './stream-socket.ts';
import { identityOf, UnixSocket } from './unix-socket.ts';
import type { UnixDomain } from './unix-socket.ts';

export class UnixFamily implements SocketFamily {
  private readonly domain: UnixDomain;

  constructor(files: AnonymousFiles, settings = new NetworkSettings()) {
    const isCarrier = (file: FileDescription): UnixSocket | null => (file instanceof UnixSocket ? file : null);
    this.domain = { files, names: new UnixNames(), messages: new Messages(files.pages), inFlight: new InFlight(isCarrier), settings };
  }

  create(type: number, protocol: number, flags: number, caller: SocketCaller): UnixSocket | number {
    if (protocol !== 0 && protocol !== AF_UNIX) return -EPROTONOSUPPORT;
    switch (type) {
      case SOCK_STREAM:
        return new StreamSocket(this.domain, flags, caller);
      case SOCK_SEQPACKET:
        return new SeqpacketSocket(this.domain, flags, caller);
      case SOCK_DGRAM:
      case SOCK_RAW: // Linux takes it for SOCK_DGRAM
        return new DatagramSocket(this.domain, flags, caller);
      default:
        return -ESOCKTNOSUPPORT;
    }
  }

  createPair(type: number, protocol: number, flags: number, caller: SocketCaller): readonly [UnixSocket, UnixSocket] | number {
    const first = this.create(type, protocol, flags, caller);
    if (typeof first === 'number') return first;
    const second = this.create(type, protocol, flags, caller) as UnixSocket;
    if (first instanceof DatagramSocket) first.join(second as DatagramSocket);
    else (first as StreamSocket).join(second as StreamSocket);
    first.peerIdentity = second.peerIdentity = identityOf(caller);
    return [first, second];
  }
}
