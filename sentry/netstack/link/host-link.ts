/**
 * A link on a descriptor of the host: a tap or tun device, or a packet socket bound to an interface. One read and one write move one frame, with
 * a virtio-net header in front (Virtual I/O Device specification, section 5.1.6; IFF_VNET_HDR, PACKET_VNET_HDR), so that checksums and the
 * cutting of large TCP segments are left to the host, and segments that it has put together arrive whole.
 *
 *     0      1         2           4         6           8            10 (12)
 *     flags  gso type  header len  gso size  csum start  csum offset  frame …              (little-endian)
 *
 * The descriptor does not block. Who has it watched polls the device when it is readable. What the host says in the header is checked like
 * everything else that arrives.
 */
import { EAGAIN, ENOBUFS } from '#sentry/abi/errno.ts';
import type { Host, HostFd } from '#platform/contract/host.ts';
import { copyBytes, PACKET_DATA_MAX } from '../packet.ts';
import type { Packet, PacketPool } from '../packet.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { Offload } from './device.ts';
import type { FrameReceiver, LinkDevice, LinkKind } from './device.ts';

const NEEDS_CHECKSUM = 1;
const DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
/** Frames up to this size go on in a small packet of their own, so that few bytes do not hold a large one. */
const SMALL_FRAME_MAX = 1792;
/** The link header, a VLAN tag, and the longest vnet header. */
const HEADERS_MAX = 32;
/** Reads of one `poll` that find nothing but malformed frames or no memory. */
const FRUITLESS_MAX = 16;

export interface HostLinkOptions {
  readonly kind: LinkKind;
  readonly mtu: number;
  /** Byte string of six bytes, empty without. */
  readonly hardwareAddress: string;
  /** Bytes of the virtio-net header in front of each frame: 0 (none), 10 or 12. */
  readonly vnetHeaderLength: 0 | 10 | 12;
  /** Whether the host cuts TCP segments (TUN_F_TSO4 and TUN_F_TSO6, or any packet socket with vnet headers). */
  readonly cutsSegments: boolean;
}

export class HostLink implements LinkDevice {
  readonly kind: LinkKind;
  readonly mtu: number;
  readonly hardwareAddress: string;
  readonly canChecksum: boolean;
  readonly segmentationMax: number;
  /** Simulated links alone have anything to wait for. */
  readonly nextDeadline = Infinity;
  readonly fd: HostFd;
  /** The last error of the descriptor other than -EAGAIN, 0 for none: the device is gone or down. */
  lastError = 0;
  private readonly host: Pick<Host, 'read' | 'write'>;
  private readonly pool: PacketPool;
  private readonly vnet: number;
  private readonly linkLength: number;
  private readonly offload = new Offload();
  /** Where the next frame is read to. */
  private landing: Packet | null = null;

  constructor(host: Pick<Host, 'read' | 'write'>, fd: HostFd, pool: PacketPool, options: HostLinkOptions) {
    this.host = host;
    this.fd = fd;
    this.pool = pool;
    this.kind = options.kind;
    this.mtu = options.mtu;
    this.hardwareAddress = options.hardwareAddress;
    this.vnet = options.vnetHeaderLength;
    this.linkLength = options.kind === 'ethernet' ? ETHERNET_HEADER_LENGTH : 0;
    this.canChecksum = this.vnet > 0;
    this.segmentationMax = this.vnet > 0 && options.cutsSegments ? 65_535 : 0;
  }

  send(packet: Packet, linkLength: number, offload: Offload): number {
    const { vnet } = this;
    const at = packet.start - vnet;
    if (at < packet.base) return -ENOBUFS;
    if (vnet > 0)
      this.writeHeader(packet.memory.view, at, packet.memory.view.getUint8(packet.start + linkLength) >>> 4, linkLength, offload);
    const result = this.host.write(this.fd, packet.memory, at, vnet + packet.length);
    if (result >= 0) return 0;
    if (result === -EAGAIN) return -ENOBUFS;
    this.lastError = -result;
    return result;
  }

  private writeHeader(view: DataView, at: number, version: number, linkLength: number, offload: Offload): void {
    for (let i = 0; i < this.vnet; i += 2) view.setUint16(at + i, 0);
    if (offload.checksumStart < 0) return;
    view.setUint8(at, NEEDS_CHECKSUM);
    view.setUint16(at + 6, linkLength + offload.checksumStart, true);
    view.setUint16(at + 8, offload.checksumOffset, true);
    if (offload.segmentSize === 0) return;
    view.setUint8(at + 1, version === 4 ? GSO_TCPV4 : GSO_TCPV6);
    view.setUint16(at + 2, linkLength + offload.headerLength, true);
    view.setUint16(at + 4, offload.segmentSize, true);
  }

  poll(receiver: FrameReceiver, budget: number, nowNs: number): number {
    let count = 0;
    for (let fruitless = 0; count < budget && fruitless < FRUITLESS_MAX; ) {
      const packet = this.read();
      if (packet === null) return count;
      const frame = this.parseHeader(packet) ? this.settle(packet) : null;
      if (frame === null) {
        fruitless++;
        continue;
      }
      receiver.frame(frame, this.offload, nowNs);
      frame.release();
      count++;
    }
    return count;
  }

  /** The landing packet with a frame and its vnet header in it; null: nothing arrived, or no memory. */
  private read(): Packet | null {
    const room = this.vnet + HEADERS_MAX + PACKET_DATA_MAX;
    const packet = this.landing ?? this.pool.takeUrgent(room);
    this.landing = packet;
    if (packet === null) return null;
    const n = this.host.read(this.fd, packet.memory, packet.start, room);
    if (n < 0) {
      if (n !== -EAGAIN) this.lastError = -n;
      return null;
    }
    packet.end = packet.start + n;
    return packet;
  }

  /** Takes the vnet header off the landing packet and into `offload`. False: it contradicts the frame. */
  private parseHeader(packet: Packet): boolean {
    const offload = this.offload.clear();
    const { vnet } = this;
    if (packet.length < vnet + this.linkLength) return false;
    if (vnet === 0) return true;
    const { view } = packet.memory;
    const at = packet.start;
    const flags = view.getUint8(at);
    const gso = view.getUint8(at + 1) & 0x7f;
    const length = packet.length - vnet;
    offload.isVerified = (flags & DATA_VALID) !== 0;
    if ((flags & NEEDS_CHECKSUM) !== 0) {
      const start = view.getUint16(at + 6, true);
      const field = view.getUint16(at + 8, true);
      if (start < this.linkLength || start + field + 2 > length) return false;
      offload.checksumStart = start - this.linkLength;
      offload.checksumOffset = field;
    }
    if (gso !== GSO_NONE) offload.segmentSize = view.getUint16(at + 4, true);
    return true;
  }

  /** The frame in a packet of fitting size, with one reference; null: no memory. */
  private settle(landing: Packet): Packet | null {
    const { vnet } = this;
    const length = landing.length - vnet;
    if (length > SMALL_FRAME_MAX) {
      this.landing = null;
      landing.start += vnet;
      return landing;
    }
    const packet = this.pool.takeUrgent(length);
    if (packet !== null) {
      copyBytes(landing.memory, landing.start + vnet, packet.memory, packet.start, length);
      packet.end += length;
    }
    landing.end = landing.start;
    return packet;
  }
}
