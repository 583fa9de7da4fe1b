/**
 * One netlink request, netlink(7): its header, and the attributes behind its fixed struct. Nothing is believed before its length is checked.
 */
import { ATTRIBUTE_HEADER_SIZE, ATTRIBUTE_TYPE_MASK, NLM_F_ACK, NLM_F_DUMP, NLMSG_HEADER_SIZE } from '#sentry/abi/netlink.ts';
import { IpAddress } from '../../netstack/address.ts';

export class NetlinkRequest {
  readonly view: DataView;
  /** The header lies here, the message ends there. */
  readonly at: number;
  readonly end: number;
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;

  /** The caller has checked that `length` (≥ 16) bytes are there at `at`. */
  constructor(view: DataView, at: number, length: number) {
    this.view = view;
    this.at = at;
    this.end = at + length;
    this.type = view.getUint16(at + 4, true);
    this.flags = view.getUint16(at + 6, true);
    this.sequence = view.getUint32(at + 8, true);
  }

  get body(): number {
    return this.at + NLMSG_HEADER_SIZE;
  }

  get isDump(): boolean {
    return (this.flags & NLM_F_DUMP) === NLM_F_DUMP;
  }

  get wantsAck(): boolean {
    return (this.flags & NLM_F_ACK) !== 0;
  }

  /** Whether the fixed struct of `size` bytes is there. */
  has(size: number): boolean {
    return this.end - this.body >= size;
  }

  /** Fields of the fixed struct, by their offset in it; 0 when the message ends before. */
  u8(offset: number): number {
    return this.body + offset < this.end ? this.view.getUint8(this.body + offset) : 0;
  }
  u32(offset: number): number {
    return this.body + offset + 4 <= this.end ? this.view.getUint32(this.body + offset, true) : 0;
  }

  /** Where the data of the attribute `type` lies behind a struct of `size` bytes, and how long it is; null: it is not there. */
  attribute(size: number, type: number): { readonly at: number; readonly length: number } | null {
    const { view, end } = this;
    for (let at = this.body + ((size + 3) & ~3); at + ATTRIBUTE_HEADER_SIZE <= end; ) {
      const length = view.getUint16(at, true);
      if (length < ATTRIBUTE_HEADER_SIZE || at + length > end) return null;
      if ((view.getUint16(at + 2, true) & ATTRIBUTE_TYPE_MASK) === type)
        return { at: at + ATTRIBUTE_HEADER_SIZE, length: length - ATTRIBUTE_HEADER_SIZE };
      at += (length + 3) & ~3;
    }
    return null;
  }

  /** An attribute of one 32-bit number. */
  number(size: number, type: number): number | null {
    const found = this.attribute(size, type);
    return found === null || found.length < 4 ? null : this.view.getUint32(found.at, true);
  }

  text(size: number, type: number): string | null {
    const found = this.attribute(size, type);
    if (found === null) return null;
    let text = '';
    for (let i = 0; i < found.length; i++) {
      const code = this.view.getUint8(found.at + i);
      if (code === 0) break;
      text += String.fromCharCode(code);
    }
    return text;
  }

  /** An address of four or sixteen bytes. */
  address(size: number, type: number): IpAddress | null {
    const found = this.attribute(size, type);
    if (found === null) return null;
    if (found.length === 4) return new IpAddress().setIpv4(this.view.getInt32(found.at));
    return found.length === 16 ? new IpAddress().read(this.view, found.at) : null;
  }
}
