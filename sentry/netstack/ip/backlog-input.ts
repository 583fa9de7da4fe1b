/**
 * What comes back from the backlog: packets of this host to itself, past everything that a wire would need. Those that are objects become
 * bytes only for raw sockets, and to be quoted when nobody has their port.
 */
import type { StackState } from '../stack-state.ts';
import { tcpHeaderLength } from '../tcp/codec.ts';
import { ETHERNET_HEADER_LENGTH } from '../wire/ethernet.ts';
import { UDP_HEADER_LENGTH } from '../wire/udp.ts';
import { Arrival } from './arrival.ts';
import { KIND_TCP, KIND_UDP, KIND_WHOLE } from './backlog.ts';
import type { BacklogEntry } from './backlog.ts';
import { IPPROTO_UDP } from './header.ts';
import type { Icmp } from './icmp.ts';
import type { IpInput } from './input.ts';
import type { Protocols } from './protocols.ts';
import { ipHeaderLength, serialiseUpper } from './serialise.ts';

export class BacklogInput {
  private readonly state: StackState;
  private readonly input: IpInput;
  private readonly icmp: Icmp;
  private readonly protocols: Protocols;
  private readonly arrival = new Arrival();

  constructor(state: StackState, input: IpInput, icmp: Icmp, protocols: Protocols) {
    this.state = state;
    this.input = input;
    this.icmp = icmp;
    this.protocols = protocols;
  }

  /** Delivers one entry; the caller recycles it. */
  deliver(entry: BacklogEntry): void {
    const { ip, kind, payload } = entry;
    if (entry.interface.isLoopback) count(entry);
    if (kind === KIND_WHOLE) {
      this.input.whole(entry.interface, payload.packet!);
      return;
    }
    const counters = this.state.counters.ip(ip.version);
    counters.InReceives++;
    if (kind !== KIND_TCP && kind !== KIND_UDP) {
      this.describe(entry);
      this.arrival.payload.set(payload.packet!, payload.offset, payload.length);
      this.input.deliver(this.arrival);
      return;
    }
    counters.InDelivers++;
    if (this.protocols.raw.wants(ip.protocol)) this.showRaw(entry);
    if (kind === KIND_TCP) this.protocols.tcp.input(ip, entry.tcp, payload.packet === null ? null : payload, this.state.nowNs);
    else {
      const udp = ip.protocol === IPPROTO_UDP ? this.protocols.udp : this.protocols.udpLite;
      if (!udp.input(ip, entry.sourcePort, entry.destinationPort, payload)) this.noPort(entry);
    }
  }

  private noPort(entry: BacklogEntry): void {
    const { counters } = this.state;
    const { version, protocol } = entry.ip;
    (protocol === IPPROTO_UDP ? counters.udp(version) : counters.udpLite(version)).NoPorts++;
    this.withBytes(entry, (arrival) => {
      this.icmp.portUnreachable(arrival);
    });
  }

  private showRaw(entry: BacklogEntry): void {
    this.withBytes(entry, (arrival) => {
      this.protocols.raw.input(arrival);
    });
  }

  /** Neither of the two that need bytes is on the way of ordinary traffic. */
  private withBytes(entry: BacklogEntry, then: (arrival: Arrival) => void): void {
    const packet = serialiseUpper(this.state.pool, entry);
    if (packet === null) return;
    this.describe(entry);
    this.arrival.payload.set(packet, packet.start, packet.length);
    then(this.arrival);
    packet.release();
  }

  private describe(entry: BacklogEntry): void {
    const { arrival } = this;
    arrival.interface = entry.interface;
    arrival.ip.copy(entry.ip);
    arrival.ipStart = -1;
    arrival.isVerified = true;
  }
}

/** What leaves by lo arrives there: both sides of its counters, with the link header that Linux counts. */
function count(entry: BacklogEntry): void {
  const { kind, ip, payload } = entry;
  let bytes = ETHERNET_HEADER_LENGTH + payload.length;
  if (kind !== KIND_WHOLE) bytes += ipHeaderLength(ip.version);
  if (kind === KIND_TCP) bytes += tcpHeaderLength(entry.tcp);
  else if (kind === KIND_UDP) bytes += UDP_HEADER_LENGTH;
  const { counters } = entry.interface;
  counters.txPackets++;
  counters.rxPackets++;
  counters.txBytes += bytes;
  counters.rxBytes += bytes;
}
