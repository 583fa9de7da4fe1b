/**
 * AF_PACKET sockets, packet(7): frames as they cross an interface. SOCK_RAW with the link header, SOCK_DGRAM without. The endpoint is the
 * stack's; rings (PACKET_RX_RING) and fan-out are not there.
 */
import { EINVAL, ENODEV, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { PACKET_ADD_MEMBERSHIP, PACKET_DROP_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_STATISTICS, SockaddrLl } from '#sentry/abi/packet.ts';
import { PACKET_AUXDATA, PACKET_IGNORE_OUTGOING, PACKET_MREQ_SIZE, PACKET_ORIGDEV, PACKET_VERSION } from '#sentry/abi/packet.ts';
import { SOL_PACKET } from '#sentry/abi/inet.ts';
import { AF_PACKET, FIONREAD, MSG_TRUNC, SO_ATTACH_FILTER, SO_RCVBUF, SOCK_RAW } from '#sentry/abi/socket.ts';
import { LinkAddress, ReceivedFrame } from '../../netstack/packet-socket/packet-endpoint.ts';
import type { PacketEndpoint } from '../../netstack/packet-socket/packet-endpoint.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import { tellSocketFacts } from '../inet/control-messages.ts';
import type { InternetDomain } from '../inet/internet-socket.ts';
import type { Network } from '../inet/network.ts';
import { intRow, OptionTable } from '../socket/option-table.ts';
import type { OptionValue } from '../socket/option-table.ts';
import { Socket } from '../socket/socket.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';

/** struct sockaddr_ll without the last, unused bytes of its address. */
const LEAST_ADDRESS = 18;
const HARDWARE_LENGTH = 6;

// One of each serves all calls.
const target = new LinkAddress();
const frame = new ReceivedFrame();
const bytes = new DataView(new ArrayBuffer(SockaddrLl.size));

export class PacketSocket extends Socket {
  readonly network: Network;
  readonly endpoint: PacketEndpoint;
  tellsAuxiliary = 0;
  tellsOrigin = 0;
  version = 0;

  constructor(shared: InternetDomain, endpoint: PacketEndpoint, type: number, protocol: number, flags: number, caller: Caller) {
    super(shared.files, AF_PACKET, type, protocol, flags, caller);
    this.network = shared.network;
    this.endpoint = endpoint;
    endpoint.observer = this;
  }

  /** EndpointObserver. */
  onChange(events: number): void {
    if (!this.queue.isEmpty) this.queue.notify(events);
  }

  override get keepsBoundaries(): boolean {
    return true;
  }

  override bind(address: string, _caller: SocketCaller): number {
    if (!readLinkAddress(address, LEAST_ADDRESS)) return -EINVAL;
    this.network.enter();
    const { protocol, interfaceIndex } = target;
    if (interfaceIndex !== 0 && this.network.stack.interfaces.byIndex(interfaceIndex) === null) return -ENODEV;
    return this.endpoint.bind(protocol === 0 ? this.endpoint.protocol : protocol, interfaceIndex);
  }

  override localAddress(): string {
    const { endpoint } = this;
    const owner = this.network.stack.interfaces.byIndex(endpoint.interfaceIndex);
    target.protocol = endpoint.protocol;
    target.interfaceIndex = endpoint.interfaceIndex;
    target.kind = 0;
    target.hardwareType = owner?.hardwareType ?? 0;
    target.hardwareLength = owner === null ? 0 : HARDWARE_LENGTH;
    if (owner === null) target.hardware.set(0, 0);
    else target.hardware.copy(owner.hardware);
    return writeLinkAddress(target);
  }

  override peerAddress(): number {
    return -EOPNOTSUPP;
  }

  override send(io: Io, outgoing: Outgoing, _flags: number, _caller: SocketCaller): number {
    if (outgoing.address !== '' && !readLinkAddress(outgoing.address, LEAST_ADDRESS - HARDWARE_LENGTH)) return -EINVAL;
    this.network.enter();
    if (outgoing.address === '' && this.endpoint.interfaceIndex === 0) return -ENOTCONN;
    return this.endpoint.send(io, outgoing.address === '' ? null : target);
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    const n = this.endpoint.receive(io, frame, flags);
    if (n < 0) {
      this.waitQueue = this.queue;
      return n;
    }
    if (frame.isTruncated) into.flags |= MSG_TRUNC;
    if (into.wantsAddress) into.address = writeLinkAddress(frame.from).slice(0, LEAST_ADDRESS);
    if (into.wantsControl) tellSocketFacts(this, into.control, frame.timeNs, this.endpoint.drops);
    return n;
  }

  override poll(): number {
    return this.endpoint.events;
  }

  override takeError(): number {
    return this.endpoint.takeError();
  }

  override interfaceIndex(name: string): number {
    return this.network.stack.interfaces.byName(name)?.index ?? -ENODEV;
  }

  override interfaceName(index: number): string | null {
    return this.network.stack.interfaces.byIndex(index)?.name ?? null;
  }

  override optionChanged(name: number): void {
    if (name === SO_RCVBUF) this.endpoint.receiveBuffer = this.options.receiveBuffer;
    else if (name === SO_ATTACH_FILTER) this.endpoint.filter = this.options.filter;
  }

  override setOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    return level === SOL_PACKET ? PACKET_LEVEL.set(this, name, value, caller) : -ENOPROTOOPT;
  }

  override getOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    return level === SOL_PACKET ? PACKET_LEVEL.get(this, name, value, caller) : -ENOPROTOOPT;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    if (request === FIONREAD) return guestOf(caller).memory.storeU32(argument, this.endpoint.nextLength);
    return super.ioctl(request, argument, caller);
  }

  protected override destroy(): void {
    super.destroy();
    this.network.enter();
    this.endpoint.close();
  }

  get isRaw(): boolean {
    return this.type === SOCK_RAW;
  }
}

/** Reads a sockaddr_ll of at least `least` bytes into `target`. */
function readLinkAddress(address: string, least: number): boolean {
  if (address.length < least || address.charCodeAt(0) !== AF_PACKET || address.charCodeAt(1) !== 0) return false;
  for (let i = 0; i < SockaddrLl.size; i++) bytes.setUint8(i, i < address.length ? address.charCodeAt(i) : 0);
  const { offsets } = SockaddrLl;
  target.protocol = bytes.getUint16(offsets.protocol);
  target.interfaceIndex = bytes.getInt32(offsets.interface, true);
  target.hardware.read(bytes, offsets.address);
  return true;
}

function writeLinkAddress(from: LinkAddress): string {
  const { offsets } = SockaddrLl;
  bytes.setUint16(offsets.family, AF_PACKET, true);
  bytes.setUint16(offsets.protocol, from.protocol);
  bytes.setInt32(offsets.interface, from.interfaceIndex, true);
  bytes.setUint16(offsets.hardwareType, from.hardwareType, true);
  bytes.setUint8(offsets.kind, from.kind);
  bytes.setUint8(offsets.length, from.hardwareLength);
  bytes.setUint32(offsets.address, 0);
  bytes.setUint32(offsets.address + 4, 0);
  from.hardware.write(bytes, offsets.address);
  let text = '';
  for (let i = 0; i < SockaddrLl.size; i++) text += String.fromCharCode(bytes.getUint8(i));
  return text;
}

/** PACKET_ADD_MEMBERSHIP: struct packet_mreq {ifindex, type, length, address}. Leaving comes with the socket's end. */
function membership(socket: PacketSocket, value: OptionValue): number {
  if (value.length < PACKET_MREQ_SIZE) return -EINVAL;
  const kind = value.view.getUint16(4, true);
  if (kind > 3) return -EINVAL;
  if (kind !== PACKET_MR_PROMISC) return 0;
  socket.network.enter();
  return socket.endpoint.join(value.view.getInt32(0, true));
}

const PACKET_LEVEL = new OptionTable<PacketSocket>(0, {
  [PACKET_ADD_MEMBERSHIP]: { set: membership },
  [PACKET_DROP_MEMBERSHIP]: { set: (_socket, value) => (value.length < PACKET_MREQ_SIZE ? -EINVAL : 0) },
  [PACKET_STATISTICS]: {
    get: ({ endpoint }, value) => {
      value.view.setUint32(0, endpoint.seen, true);
      value.view.setUint32(4, endpoint.drops, true);
      endpoint.seen = endpoint.drops = 0;
      return 8;
    },
  },
  [PACKET_AUXDATA]: intRow(
    (socket) => socket.tellsAuxiliary,
    (_socket, on) => (on === 0 ? 0 : -ENOPROTOOPT),
  ),
  [PACKET_ORIGDEV]: intRow(
    (socket) => socket.tellsOrigin,
    (socket, on) => {
      socket.tellsOrigin = on === 0 ? 0 : 1;
      return 0;
    },
  ),
  [PACKET_VERSION]: intRow(
    (socket) => socket.version,
    (_socket, version) => (version === 0 ? 0 : -EINVAL),
  ),
  [PACKET_IGNORE_OUTGOING]: intRow(
    ({ endpoint }) => (endpoint.ignoresOutgoing ? 1 : 0),
    ({ endpoint }, on) => {
      if (on < 0 || on > 1) return -EINVAL;
      endpoint.ignoresOutgoing = on === 1;
      return 0;
    },
  ),
});
