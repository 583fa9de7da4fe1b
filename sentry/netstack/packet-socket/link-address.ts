/** struct sockaddr_ll (packet(7)). */
import { AF_PACKET } from '#sentry/abi/socket.ts';
import { SockaddrLl } from '#sentry/abi/packet.ts';
import { HardwareAddress } from '../wire/ethernet.ts';

const { offsets } = SockaddrLl;

/** The caller's object. */
export class LinkAddress {
  /** Ethertype in host order. */
  protocol = 0;
  interfaceIndex = 0;
  /** ARPHRD_*. */
  hardwareType = 1;
  /** PACKET_HOST … PACKET_OUTGOING. */
  kind = 0;
  readonly hardware = new HardwareAddress();
  hardwareLength = 6;

  copy(other: LinkAddress): void {
    this.protocol = other.protocol;
    this.interfaceIndex = other.interfaceIndex;
    this.hardwareType = other.hardwareType;
    this.kind = other.kind;
    this.hardware.copy(other.hardware);
    this.hardwareLength = other.hardwareLength;
  }

  /** What a caller says of where to send to, or bind to; the rest stays. */
  read(view: DataView, at: number): void {
    this.protocol = view.getUint16(at + offsets.protocol);
    this.interfaceIndex = view.getInt32(at + offsets.interface, true);
    this.hardware.read(view, at + offsets.address);
  }

  /** SockaddrLl.size bytes. */
  write(view: DataView, at: number): void {
    view.setUint16(at + offsets.family, AF_PACKET, true);
    view.setUint16(at + offsets.protocol, this.protocol);
    view.setInt32(at + offsets.interface, this.interfaceIndex, true);
    view.setUint16(at + offsets.hardwareType, this.hardwareType, true);
    view.setUint8(at + offsets.kind, this.kind);
    view.setUint8(at + offsets.length, this.hardwareLength);
    view.setUint32(at + offsets.address, 0);
    view.setUint32(at + offsets.address + 4, 0);
    this.hardware.write(view, at + offsets.address);
  }
}
