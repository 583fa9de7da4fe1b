/**
 * Writes netlink messages, netlink(7): a header, a fixed struct, attributes; into one buffer that is used again and again.
 *
 *     writer.begin(RTM_NEWLINK, NLM_F_MULTI, sequence, port);
 *     writer.u8(AF_UNSPEC); … ; writer.text(IFLA_IFNAME, 'lo');
 *     writer.end();                                              // more messages may follow
 *     const bytes = writer.take();
 */
import { ATTRIBUTE_HEADER_SIZE, NLMSG_HEADER_SIZE } from '#sentry/abi/netlink.ts';
import type { IpAddress } from '../../netstack/address.ts';

/** Room for a chunk of a dump and one message beyond its limit. */
const CAPACITY = 16_384;

export class MessageWriter {
  readonly bytes = new Uint8Array(CAPACITY);
  private readonly view = new DataView(this.bytes.buffer);
  length = 0;
  private start = 0;

  begin(type: number, flags: number, sequence: number, port: number): void {
    this.start = this.length;
    this.length += NLMSG_HEADER_SIZE;
    this.view.setUint16(this.start + 4, type, true);
    this.view.setUint16(this.start + 6, flags, true);
    this.view.setUint32(this.start + 8, sequence, true);
    this.view.setUint32(this.start + 12, port, true);
  }

  end(): void {
    this.view.setUint32(this.start, this.length - this.start, true);
    this.align();
  }

  /** Forgets the message that was begun: nothing is to be told. */
  cancel(): void {
    this.length = this.start;
  }

  /** What was written, which may be empty. */
  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length);
    this.length = 0;
    return taken;
  }

  u8(value: number): void {
    this.view.setUint8(this.length++, value);
  }
  u16(value: number): void {
    this.view.setUint16(this.length, value, true);
    this.length += 2;
  }
  u32(value: number): void {
    this.view.setUint32(this.length, value >>> 0, true);
    this.length += 4;
  }
  u64(value: number): void {
    this.u32(value % 2 ** 32);
    this.u32(Math.floor(value / 2 ** 32));
  }
  /** Network order. */
  big16(value: number): void {
    this.view.setUint16(this.length, value);
    this.length += 2;
  }
  big32(value: number): void {
    this.view.setInt32(this.length, value | 0);
    this.length += 4;
  }
  raw(text: string): void {
    for (let i = 0; i < text.length; i++) this.u8(text.charCodeAt(i));
  }
  copy(from: Uint8Array): void {
    this.bytes.set(from, this.length);
    this.length += from.length;
    this.align();
  }
  /** Four or sixteen bytes. */
  address(address: IpAddress): void {
    if (address.isIpv4) {
      this.big32(address.w3);
      return;
    }
    for (const word of [address.w0, address.w1, address.w2, address.w3]) this.big32(word);
  }

  // Attributes.
  beginAttribute(type: number): number {
    this.align();
    const at = this.length;
    this.view.setUint16(at + 2, type, true);
    this.length += ATTRIBUTE_HEADER_SIZE;
    return at;
  }
  endAttribute(at: number): void {
    this.view.setUint16(at, this.length - at, true);
    this.align();
  }
  attributeU8(type: number, value: number): void {
    const at = this.beginAttribute(type);
    this.u8(value);
    this.endAttribute(at);
  }
  attributeU32(type: number, value: number): void {
    const at = this.beginAttribute(type);
    this.u32(value);
    this.endAttribute(at);
  }
  attributeAddress(type: number, address: IpAddress): void {
    const at = this.beginAttribute(type);
    this.address(address);
    this.endAttribute(at);
  }
  /** With its terminator. */
  text(type: number, text: string): void {
    const at = this.beginAttribute(type);
    this.raw(`${text}\0`);
    this.endAttribute(at);
  }

  private align(): void {
    while ((this.length & 3) !== 0) this.u8(0);
  }
}
