/**
 * Ethernet II frames (RFC 894, RFC 2464) and hardware addresses.
 *
 *      0            6            12     14
 *      destination  source       type   payload
 *
 * A hardware address is two small integers: `high`, its first two bytes, and `low`, the other four as int32.
 */
export const ETHERNET_HEADER_LENGTH = 14;
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
const TYPE_OFFSET = 12;

export class HardwareAddress {
  high = 0;
  low = 0;

  set(high: number, low: number): this {
    this.high = high;
    this.low = low | 0;
    return this;
  }

  copy(other: HardwareAddress): this {
    this.high = other.high;
    this.low = other.low;
    return this;
  }

  equals(other: HardwareAddress): boolean {
    return this.low === other.low && this.high === other.high;
  }

  read(view: DataView, offset: number): this {
    this.high = view.getUint16(offset);
    this.low = view.getInt32(offset + 2);
    return this;
  }

  write(view: DataView, offset: number): void {
    view.setUint16(offset, this.high);
    view.setInt32(offset + 2, this.low);
  }

  /** From a byte string of six bytes; anything else is the zero address. */
  fromBytes(bytes: string): this {
    if (bytes.length !== 6) return this.set(0, 0);
    const at = (i: number): number => bytes.charCodeAt(i) & 0xff;
    return this.set((at(0) << 8) | at(1), (at(2) << 24) | (at(3) << 16) | (at(4) << 8) | at(5));
  }

  toBytes(): string {
    const { high, low } = this;
    return String.fromCharCode(high >>> 8, high & 255, low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255);
  }

  /** Broadcast or multicast. */
  get isGroup(): boolean {
    return (this.high & 0x100) !== 0;
  }

  get isBroadcast(): boolean {
    return this.high === 0xffff && this.low === -1;
  }

  get isZero(): boolean {
    return this.high === 0 && this.low === 0;
  }
}

export const BROADCAST_HARDWARE_ADDRESS = new HardwareAddress().set(0xffff, -1);

/** The group address that carries an IP multicast address: 01:00:5e and 23 bits (RFC 1112, section 6.4), or 33:33 and 32 bits (RFC 2464, section 7). */
export function multicastHardwareAddress(word: number, version: 4 | 6, into: HardwareAddress): HardwareAddress {
  return version === 4 ? into.set(0x0100, 0x5e000000 | (word & 0x7fffff)) : into.set(0x3333, word);
}

export function writeEthernet(view: DataView, offset: number, destination: HardwareAddress, source: HardwareAddress, type: number): void {
  destination.write(view, offset);
  source.write(view, offset + 6);
  view.setUint16(offset + TYPE_OFFSET, type);
}

export function ethernetType(view: DataView, offset: number): number {
  return view.getUint16(offset + TYPE_OFFSET);
}
