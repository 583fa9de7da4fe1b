/**
 * The first step of input: a frame from a device is counted, shown to those who listen, and its payload given to ARP or IP.
 */
import type { IpInput } from '../ip/input.ts';
import type { Packet } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ethernetType, HardwareAddress } from '../wire/ethernet.ts';
import type { Arp } from './arp.ts';
import { completeChecksum } from './complete-checksum.ts';
import type { FrameReceiver, Offload } from './device.ts';
import { IFF_PROMISC } from './interface.ts';
import type { NetworkInterface } from './interface.ts';
import { PACKET_BROADCAST, PACKET_HOST, PACKET_MULTICAST, PACKET_OTHERHOST } from './tap.ts';

export class LinkInput implements FrameReceiver {
  private readonly state: StackState;
  private readonly owner: NetworkInterface;
  private readonly arp: Arp;
  private readonly ip: IpInput;
  private readonly to = new HardwareAddress();

  constructor(state: StackState, owner: NetworkInterface, arp: Arp, ip: IpInput) {
    this.state = state;
    this.owner = owner;
    this.arp = arp;
    this.ip = ip;
  }

  frame(packet: Packet, offload: Offload): void {
    const { owner } = this;
    const { counters } = owner;
    if (!owner.isUp) return;
    counters.rxPackets++;
    counters.rxBytes += packet.length;
    if (!owner.isEthernet) this.bare(packet, offload);
    else if (packet.length < ETHERNET_HEADER_LENGTH) counters.rxErrors++;
    else this.ethernet(packet, offload);
  }

  private bare(packet: Packet, offload: Offload): void {
    if (packet.length === 0) return;
    const version = packet.memory.view.getUint8(packet.start) >>> 4;
    this.show(packet, 0, version === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4, PACKET_HOST, offload);
    if (version === 4) this.ip.ipv4(this.owner, packet, false, offload);
    else if (version === 6) this.ip.ipv6(this.owner, packet, false, offload);
    else this.owner.counters.rxErrors++;
  }

  private ethernet(packet: Packet, offload: Offload): void {
    const { owner } = this;
    const { view } = packet.memory;
    const kind = this.kindOf(this.to.read(view, packet.start));
    const type = ethernetType(view, packet.start);
    const isPromiscuous = (owner.flags & IFF_PROMISC) !== 0 || owner.promiscuousUsers > 0;
    if (kind === PACKET_MULTICAST) owner.counters.multicast++;
    if (kind !== PACKET_OTHERHOST || isPromiscuous) this.show(packet, ETHERNET_HEADER_LENGTH, type, kind, offload);
    if (kind === PACKET_OTHERHOST) return;
    packet.start += ETHERNET_HEADER_LENGTH;
    const isGroup = kind !== PACKET_HOST;
    if (type === ETHERTYPE_IPV4) this.ip.ipv4(owner, packet, isGroup, offload);
    else if (type === ETHERTYPE_IPV6) this.ip.ipv6(owner, packet, isGroup, offload);
    else if (type === ETHERTYPE_ARP) this.arp.input(owner, packet);
    else owner.counters.rxDropped++;
  }

  private kindOf(to: HardwareAddress): number {
    if (to.equals(this.owner.hardware)) return PACKET_HOST;
    if (!to.isGroup) return PACKET_OTHERHOST;
    return to.isBroadcast ? PACKET_BROADCAST : PACKET_MULTICAST;
  }

  private show(packet: Packet, linkLength: number, type: number, kind: number, offload: Offload): void {
    const { taps } = this.owner;
    if (taps.length === 0) return;
    const shown = offload.checksumStart < 0 ? packet.hold() : completeChecksum(this.state.pool, packet, linkLength, offload);
    if (shown === null) return;
    for (const tap of taps) tap.tap(this.owner, shown, linkLength, type, kind);
    shown.release();
  }
}
