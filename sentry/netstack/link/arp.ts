/**
 * ARP of a host (RFC 826, RFC 5227): asks for the hardware addresses of neighbours, answers for ours, and announces a new address.
 */
import { ETHERTYPE_ARP, BROADCAST_HARDWARE_ADDRESS, HardwareAddress } from '../wire/ethernet.ts';
import { IpAddress } from '../address.ts';
import type { Packet } from '../packet.ts';
import { selectSource } from '../route/source-selection.ts';
import type { StackState } from '../stack-state.ts';
import { ARP_LENGTH, ARP_REPLY, ARP_REQUEST, ArpMessage } from '../wire/arp.ts';
import { NO_OFFLOAD } from './device.ts';
import type { InterfaceTable } from './interface-table.ts';
import type { InterfaceAddress, NetworkInterface } from './interface.ts';
import type { LinkOutput } from './link-output.ts';
import type { Neighbour } from './neighbour-cache.ts';

const ZERO = new HardwareAddress();

export class Arp {
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly links: LinkOutput;
  private readonly message = new ArpMessage();
  private readonly address = new IpAddress();

  constructor(state: StackState, interfaces: InterfaceTable, links: LinkOutput) {
    this.state = state;
    this.interfaces = interfaces;
    this.links = links;
  }

  /** Who has `neighbour.address`? */
  solicit(out: NetworkInterface, neighbour: Neighbour, isUnicast: boolean): void {
    const source = selectSource(this.interfaces, out, neighbour.address, neighbour.address);
    const sender = source === null ? 0 : source.w3;
    this.send(out, ARP_REQUEST, sender, neighbour.address.w3, ZERO, isUnicast ? neighbour.hardware : BROADCAST_HARDWARE_ADDRESS);
  }

  /** Tells the link that `address` is here (gratuitous ARP). */
  announce(address: InterfaceAddress): void {
    const { interface: out } = address;
    this.send(out, ARP_REQUEST, address.address.w3, address.address.w3, ZERO, BROADCAST_HARDWARE_ADDRESS);
  }

  private send(
    out: NetworkInterface,
    operation: number,
    sender: number,
    target: number,
    targetHardware: HardwareAddress,
    to: HardwareAddress,
  ): void {
    const packet = this.state.pool.takeUrgent(ARP_LENGTH);
    if (packet === null) return;
    packet.end += ARP_LENGTH;
    const { message } = this;
    message.operation = operation;
    message.senderHardware.copy(out.hardware);
    message.sender = sender;
    message.targetHardware.copy(targetHardware);
    message.target = target;
    message.write(packet.memory.view, packet.start);
    this.links.ethernet(out, packet, to, ETHERTYPE_ARP, NO_OFFLOAD);
  }

  /** The ARP packet [start, end). */
  input(owner: NetworkInterface, packet: Packet): void {
    const { message, address } = this;
    if (owner.neighbours === null || !message.parse(packet.memory.view, packet.start, packet.length)) return;
    if (message.senderHardware.isGroup || message.senderHardware.isZero) return;
    const { sender, target, operation } = message;
    const isForUs = this.interfaces.findLocal(address.setIpv4(target)) !== null && target >>> 24 !== 127;
    address.setIpv4(sender);
    const isSenderHost = address.isUnicast && !address.isLoopback && this.interfaces.findLocal(address) === null;
    if (isSenderHost) this.learn(owner, operation, isForUs);
    // RFC 5227: a probe, from 0.0.0.0, is answered too.
    if (operation === ARP_REQUEST && isForUs && (isSenderHost || sender === 0)) {
      const to = new HardwareAddress().copy(message.senderHardware);
      this.send(owner, ARP_REPLY, target, sender, to, to);
    }
  }

  /** Linux: who asks for us is remembered; what is told to others changes only entries that exist. */
  private learn(owner: NetworkInterface, operation: number, isForUs: boolean): void {
    const { message, address } = this;
    const cache = owner.neighbours!;
    const known = cache.find(address);
    if (known !== null) cache.told(known, message.senderHardware, operation === ARP_REPLY && isForUs, true);
    else if (isForUs && operation === ARP_REQUEST) cache.learn(address, message.senderHardware);
  }
}
