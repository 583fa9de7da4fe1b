/**
 * Requests to the host's rtnetlink(7) in the network namespace this thread is in. Used while a sandbox starts, before the sentry is confined.
 *
 *     const routing = new Rtnetlink();
 *     routing.dump(RTM_GETLINK, 16, (body, attributes) => …);                       // all objects of a kind
 *     routing.start(RTM_NEWRULE, 12).put8(…).attribute32(FRA_PRIORITY, 1);          // then, to have it done:
 *     routing.acknowledged(NLM_F_CREATE);                                           // 0 or -errno
 *     routing.close();
 *
 * Requests and answers: netlink(7). Numbers are in the host's byte order, addresses in network order.
 */
import { EIO } from '#sentry/abi/errno.ts';
import { AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW } from '#sentry/abi/socket.ts';
import { IpAddress } from '#sentry/netstack/address.ts';
import { close } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import * as sockets from '#platform/host/sockets.ts';

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const HEADER = 16;
const ATTRIBUTE_HEADER = 4;
const MEMORY = 65_536;
const memory = allocateMemory(MEMORY);
const { view } = memory;

const align = (length: number) => (length + 3) & ~3;

/** Where an attribute's data lies. */
interface Attribute {
  readonly at: number;
  readonly length: number;
}

/** One object of a dump, readable during the visit only. */
export class Attributes {
  private readonly found = new Map<number, Attribute>();

  constructor(start: number, end: number) {
    for (let at = start; at + ATTRIBUTE_HEADER <= end; ) {
      const length = view.getUint16(at, true);
      if (length < ATTRIBUTE_HEADER || at + length > end) break;
      this.found.set(view.getUint16(at + 2, true) & 0x3fff, { at: at + ATTRIBUTE_HEADER, length: length - ATTRIBUTE_HEADER });
      at += align(length);
    }
  }

  /** null: not given. */
  u32(type: number): number | null {
    const attribute = this.found.get(type);
    return attribute === undefined || attribute.length < 4 ? null : view.getUint32(attribute.at, true);
  }

  /** Byte string, empty when not given. */
  bytes(type: number): string {
    const attribute = this.found.get(type);
    return attribute === undefined ? '' : memory.latin1(attribute.at, attribute.at + attribute.length);
  }

  address(type: number): IpAddress | null {
    const attribute = this.found.get(type);
    if (attribute?.length === 4) return new IpAddress().setIpv4(view.getInt32(attribute.at));
    return attribute?.length === 16 ? new IpAddress().read(view, attribute.at) : null;
  }
}

/** `body`: where the fixed part of the object begins in `view`. */
type Visit = (body: DataView, attributes: Attributes) => void;

export class Rtnetlink {
  private readonly fd: number;
  private sequence = 0;
  private type = 0;
  private end = 0;

  constructor() {
    this.fd = sockets.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
  }

  close(): void {
    close(this.fd);
  }

  /** Begins a request with `bodyLength` zero bytes; set8 and set32 fill them. */
  start(type: number, bodyLength: number): this {
    this.type = type;
    this.end = HEADER + align(bodyLength);
    memory.bytes.fill(0, 0, this.end);
    return this;
  }

  set8(offset: number, value: number): this {
    view.setUint8(HEADER + offset, value);
    return this;
  }

  set32(offset: number, value: number): this {
    view.setInt32(HEADER + offset, value, true);
    return this;
  }

  attribute8(type: number, value: number): this {
    view.setUint8(this.attribute(type, 1), value);
    return this;
  }

  attribute32(type: number, value: number): this {
    view.setInt32(this.attribute(type, 4), value, true);
    return this;
  }

  /** `name`: byte string; a NUL is added. */
  attributeText(type: number, name: string): this {
    memory.writeLatin1(`${name}\0`, this.attribute(type, name.length + 1));
    return this;
  }

  attributeAddress(type: number, address: IpAddress): this {
    if (address.isIpv4) view.setInt32(this.attribute(type, 4), address.w3);
    else address.write(view, this.attribute(type, 16));
    return this;
  }

  private attribute(type: number, length: number): number {
    const at = this.end;
    view.setUint16(at, ATTRIBUTE_HEADER + length, true);
    view.setUint16(at + 2, type, true);
    this.end = at + align(ATTRIBUTE_HEADER + length);
    return at + ATTRIBUTE_HEADER;
  }

  /** Sends what was built. 0 or the host's -errno. */
  acknowledged(flags: number): number {
    const sent = this.send(flags | NLM_F_ACK);
    if (sent < 0) return sent;
    const received = sockets.recvfrom(this.fd, memory.address, MEMORY, 0, 0, 0);
    if (received < 0) return received;
    return received < HEADER + 4 ? -EIO : view.getInt32(HEADER, true);
  }

  private send(flags: number): number {
    view.setUint32(0, this.end, true);
    view.setUint16(4, this.type, true);
    view.setUint16(6, NLM_F_REQUEST | flags, true);
    view.setUint32(8, ++this.sequence, true);
    view.setUint32(12, 0, true);
    return sockets.send(this.fd, memory.address, this.end, 0);
  }

  /** Asks for all objects of a kind, each with a fixed part of `bodyLength` bytes. 0 or -errno. */
  dump(type: number, bodyLength: number, visit: Visit): number {
    const sent = this.start(type, bodyLength).send(NLM_F_DUMP);
    if (sent < 0) return sent;
    for (;;) {
      const received = sockets.recvfrom(this.fd, memory.address, MEMORY, 0, 0, 0);
      if (received <= 0) return received;
      for (let at = 0; at + HEADER <= received; ) {
        const length = view.getUint32(at, true);
        const kind = view.getUint16(at + 4, true);
        if (kind === NLMSG_DONE || length < HEADER) return 0;
        if (kind === NLMSG_ERROR) return view.getInt32(at + HEADER, true);
        const body = at + HEADER;
        visit(
          new DataView(view.buffer, view.byteOffset + body, bodyLength),
          new Attributes(body + align(bodyLength), Math.min(at + length, received)),
        );
        at += align(length);
      }
    }
  }
}
