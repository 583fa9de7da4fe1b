/**
 * Messages of IP's own protocols to neighbours on one link: neighbour discovery, MLD, IGMP. They leave by a given interface, without a
 * look at the routing table, and with a source that routing would not choose (`::` while an address is tentative).
 */
import type { IpAddress } from '../address.ts';
import { NO_OFFLOAD } from '../link/device.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { LinkOutput } from '../link/link-output.ts';
import type { Packet } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import type { HardwareAddress } from '../wire/ethernet.ts';
import { writeIcmp } from '../wire/icmp.ts';
import { IpHeader, IPPROTO_ICMPV6 } from './header.ts';
import { prependIp } from './serialise.ts';

export class ControlOutput {
  readonly links: LinkOutput;
  private readonly state: StackState;
  readonly header = new IpHeader();

  constructor(state: StackState, links: LinkOutput) {
    this.state = state;
    this.links = links;
  }

  /** An empty packet of `length` zero bytes with one reference; null: no memory, or the interface is down. */
  make(out: NetworkInterface, length: number): Packet | null {
    if (!out.isUp || out.device === null) return null;
    const packet = this.state.pool.takeUrgent(length);
    if (packet === null) return null;
    packet.end += length;
    packet.memory.bytes.fill(0, packet.start, packet.end);
    return packet;
  }

  /** Sends an ICMPv6 message whose body is in place, to a group or (with `to`) a neighbour whose hardware address is known. */
  icmpv6(
    out: NetworkInterface,
    packet: Packet,
    source: IpAddress,
    destination: IpAddress,
    hopLimit: number,
    type: number,
    rest: number,
    to: HardwareAddress | null,
  ): void {
    const { header } = this;
    header.prepare(source, destination, IPPROTO_ICMPV6);
    header.version = 6;
    header.hopLimit = hopLimit;
    writeIcmp(header, packet.memory.view, packet.start, packet.length, type, 0, rest);
    const counters = this.state.counters.icmpv6;
    counters.OutMsgs++;
    counters.outTypes[type]! += 1;
    prependIp(header, packet, 0);
    this.whole(out, packet, destination, to);
  }

  /** A whole IP packet. Taken over. */
  whole(out: NetworkInterface, packet: Packet, destination: IpAddress, to: HardwareAddress | null): void {
    this.state.counters.ip(destination.version).OutRequests++;
    if (to !== null && out.isEthernet) this.links.unicast(out, packet, to, NO_OFFLOAD);
    else if (destination.isMulticast || !out.isEthernet) this.links.toMany(out, destination, packet, NO_OFFLOAD);
    else if (out.neighbours !== null) out.neighbours.send(destination, packet, NO_OFFLOAD);
    else packet.release();
  }
}
