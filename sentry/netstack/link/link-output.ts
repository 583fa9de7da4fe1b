/**
 * The last step of output: the link header in front of an IP packet, a look for those who listen to the interface, and the device.
 */
import type { IpAddress } from '../address.ts';
import type { Packet } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import {
  BROADCAST_HARDWARE_ADDRESS,
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  HardwareAddress,
  multicastHardwareAddress,
  writeEthernet,
} from '../wire/ethernet.ts';
import { completeChecksum } from './complete-checksum.ts';
import type { Offload } from './device.ts';
import type { NetworkInterface } from './interface.ts';
import { PACKET_OUTGOING } from './tap.ts';

export class LinkOutput {
  readonly loopback: NetworkInterface;
  private readonly state: StackState;
  private readonly group = new HardwareAddress();

  constructor(state: StackState, loopback: NetworkInterface) {
    this.state = state;
    this.loopback = loopback;
  }

  /** The IP packet [start, end) to one hardware address. Takes the packet over. 0 or -errno. */
  unicast(out: NetworkInterface, packet: Packet, to: HardwareAddress, offload: Offload): number {
    const first = packet.memory.view.getUint8(packet.start);
    return this.ethernet(out, packet, to, first >>> 4 === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6, offload);
  }

  /** To all, or to a group. */
  toMany(out: NetworkInterface, destination: IpAddress, packet: Packet, offload: Offload): number {
    if (!out.isEthernet) return this.bare(out, packet, offload);
    if (!destination.isMulticast) return this.unicast(out, packet, BROADCAST_HARDWARE_ADDRESS, offload);
    return this.unicast(out, packet, multicastHardwareAddress(destination.w3, destination.version, this.group), offload);
  }

  /** Without a link header. */
  bare(out: NetworkInterface, packet: Packet, offload: Offload): number {
    return this.frame(out, packet, 0, offload);
  }

  /** Any payload [start, end) in an Ethernet frame of `type`. */
  ethernet(out: NetworkInterface, packet: Packet, to: HardwareAddress, type: number, offload: Offload): number {
    const at = packet.prepend(ETHERNET_HEADER_LENGTH);
    writeEthernet(packet.memory.view, at, to, out.hardware, type);
    return this.frame(out, packet, ETHERNET_HEADER_LENGTH, offload);
  }

  /** A complete frame, whose link header takes `linkLength` bytes. Takes the packet over. */
  frame(out: NetworkInterface, packet: Packet, linkLength: number, offload: Offload): number {
    if (out.taps.length > 0) this.show(out, packet, linkLength, offload);
    const { counters } = out;
    counters.txPackets++;
    counters.txBytes += packet.length;
    const result = out.device!.send(packet, linkLength, offload);
    packet.release();
    if (result < 0) counters.txDropped++;
    return result;
  }

  private show(out: NetworkInterface, packet: Packet, linkLength: number, offload: Offload): void {
    const shown = offload.checksumStart < 0 ? packet.hold() : completeChecksum(this.state.pool, packet, linkLength, offload);
    if (shown === null) return;
    const type = etherTypeOf(packet, linkLength);
    for (const tap of out.taps) tap.tap(out, shown, linkLength, type, PACKET_OUTGOING);
    shown.release();
  }
}

/** The protocol of a frame, told from the IP version where there is no link header. */
export function etherTypeOf(packet: Packet, linkLength: number): number {
  const { view } = packet.memory;
  if (linkLength >= ETHERNET_HEADER_LENGTH) return view.getUint16(packet.start + 12);
  return view.getUint8(packet.start) >>> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
}
