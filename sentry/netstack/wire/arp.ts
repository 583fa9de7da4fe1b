/**
 * ARP for IPv4 over Ethernet (RFC 826): 28 bytes.
 *
 *      0     2     4   5   6    8        14      18       24
 *      htype ptype hln pln oper sender-hw sender target-hw target
 */
import { ETHERTYPE_IPV4, HardwareAddress } from './ethernet.ts';

export const ARP_LENGTH = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;
const HARDWARE_ETHERNET = 1;

export class ArpMessage {
  operation = 0;
  readonly senderHardware = new HardwareAddress();
  /** IPv4 addresses as int32 words. */
  sender = 0;
  readonly targetHardware = new HardwareAddress();
  target = 0;

  /** False when it is no ARP of this kind. */
  parse(view: DataView, offset: number, length: number): boolean {
    if (length < ARP_LENGTH) return false;
    if (view.getUint16(offset) !== HARDWARE_ETHERNET || view.getUint16(offset + 2) !== ETHERTYPE_IPV4) return false;
    if (view.getUint16(offset + 4) !== 0x0604) return false;
    this.operation = view.getUint16(offset + 6);
    this.senderHardware.read(view, offset + 8);
    this.sender = view.getInt32(offset + 14);
    this.targetHardware.read(view, offset + 18);
    this.target = view.getInt32(offset + 24);
    return this.operation === ARP_REQUEST || this.operation === ARP_REPLY;
  }

  write(view: DataView, offset: number): void {
    view.setUint16(offset, HARDWARE_ETHERNET);
    view.setUint16(offset + 2, ETHERTYPE_IPV4);
    view.setUint16(offset + 4, 0x0604);
    view.setUint16(offset + 6, this.operation);
    this.senderHardware.write(view, offset + 8);
    view.setInt32(offset + 14, this.sender);
    this.targetHardware.write(view, offset + 18);
    view.setInt32(offset + 24, this.target);
  }
}
