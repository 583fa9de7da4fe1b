/**
 * AF_PACKET sockets, packet(7): frames as they cross an interface. SOCK_RAW with the link header, SOCK_DGRAM without. The endpoint is the
 * stack's; the options are in packet-level.ts.
 */
import { EINVAL, ENODEV, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { PACKET_AUXDATA, SockaddrLl, TP_STATUS_USER, TpacketAuxdata } from '#sentry/abi/packet.ts';
import { SOL_PACKET } from '#sentry/abi/inet.ts';
import { AF_PACKET, FIONREAD, MSG_TRUNC, SO_ATTACH_FILTER, SO_RCVBUF, SOCK_RAW } from '#sentry/abi/socket.ts';
import { LinkAddress } from '../../netstack/packet-socket/link-address.ts';
import { ReceivedFrame } from '../../netstack/packet-socket/packet-endpoint.ts';
import type { PacketEndpoint } from '../../netstack/packet-socket/packet-endpoint.ts';
import { ReceiveRing } from '../../netstack/packet-socket/receive-ring.ts';
import type { RingRequest } from '../../netstack/packet-socket/receive-ring.ts';
import type { Io } from '../../mm/io.ts';
import type { Mappable } from '../../mm/mapped-file.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import { tellSocketFacts } from '../inet/control-messages.ts';
import type { InternetDomain } from '../inet/internet-socket.ts';
import type { Network } from '../inet/network.ts';
import type { ControlBuffer } from '../socket/control-buffer.ts';
import type { OptionValue } from '../socket/option-table.ts';
import { Socket } from '../socket/socket.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { PACKET_LEVEL } from './packet-level.ts';
import type { RingMemories, RingMemory } from './ring-memory.ts';

/** What the packet sockets of a sandbox share. */
export interface PacketDomain extends InternetDomain {
  readonly rings: RingMemories;
}

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
  /** PACKET_VERSION and PACKET_RESERVE, for the next ring. */
  version = 0;
  reserve = 0;
  /** Areas that show the ring are counted one by one: while there are any it stays. */
  readonly countsAreas = true;
  private areas = 0;
  private ring: RingMemory | null = null;
  private readonly rings: RingMemories;

  constructor(shared: PacketDomain, endpoint: PacketEndpoint, type: number, protocol: number, flags: number, caller: Caller) {
    super(shared.files, AF_PACKET, type, protocol, flags, caller);
    this.network = shared.network;
    this.rings = shared.rings;
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
    if (into.wantsControl) {
      tellSocketFacts(this, into.control, frame.timeNs, this.endpoint.drops);
      if (this.tellsAuxiliary !== 0) tellAuxiliary(into.control);
    }
    return n;
  }

  // The ring.
  get hasRing(): boolean {
    return this.ring !== null;
  }

  get isRingMapped(): boolean {
    return this.areas > 0;
  }

  /** PACKET_RX_RING: 0 or -ENOMEM. `request` was checked. */
  makeRing(request: RingRequest): number {
    const taken = this.rings.take(request.blockSize * request.blocks);
    if (typeof taken === 'number') return taken;
    this.network.enter();
    this.ring = taken;
    this.endpoint.realtimeAt = (ns) => this.network.realtimeAt(ns);
    this.endpoint.setRing(new ReceiveRing(taken.memory, request));
    return 0;
  }

  removeRing(): number {
    if (this.ring === null) return 0;
    this.network.enter();
    this.endpoint.setRing(null);
    this.rings.give(this.ring);
    this.ring = null;
    return 0;
  }

  /** Linux packet_mmap: all of it or nothing. */
  override mappable(_shared: boolean, offset = 0, size = 0): Mappable | number {
    if (this.ring === null || offset !== 0 || size !== this.ring.bytes) return -EINVAL;
    return { hostFd: this.ring.fd, hostOffset: 0 };
  }

  noteArea(change: 1 | -1): void {
    this.areas += change;
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
    this.removeRing();
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
  target.read(bytes, 0);
  return true;
}

function writeLinkAddress(from: LinkAddress): string {
  from.write(bytes, 0);
  let text = '';
  for (let i = 0; i < SockaddrLl.size; i++) text += String.fromCharCode(bytes.getUint8(i));
  return text;
}

/** PACKET_AUXDATA of the frame that was received last. */
function tellAuxiliary(control: ControlBuffer): void {
  const at = control.add(SOL_PACKET, PACKET_AUXDATA, TpacketAuxdata.size);
  if (at < 0) return;
  const facts = {
    status: TP_STATUS_USER,
    length: frame.wholeLength,
    captured: frame.length,
    link: 0,
    network: frame.linkLength,
    vlanTag: 0,
    vlanProtocol: 0,
  };
  TpacketAuxdata.encode(control.view, at, facts);
}
