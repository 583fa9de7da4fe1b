/**
 * What the host says about the interfaces of the network namespace this process is in: links, addresses and routes, by rtnetlink(7). Used once, before
 * the sentry is confined.
 *
 *     const routing = new Rtnetlink();  routing.links();  routing.addresses(index);  routing.routes(index);  routing.close();
 *
 * Requests and answers: netlink(7). Numbers are in the host's byte order, addresses in network order.
 */
import { IPV4_PREFIX_BITS, IpAddress } from '#sentry/netstack/address.ts';
import { AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW } from '#sentry/abi/socket.ts';
import { close } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import * as sockets from '#platform/host/sockets.ts';

export interface HostLinkFacts {
  readonly index: number;
  readonly name: string;
  /** IFF_*. */
  readonly flags: number;
  /** ARPHRD_*. */
  readonly type: number;
  readonly mtu: number;
  /** Byte string. */
  readonly hardwareAddress: string;
}

export interface HostAddressFacts {
  readonly address: IpAddress;
  /** As written: of 32 or 128. */
  readonly prefixLength: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
}

export interface HostRouteFacts {
  readonly destination: IpAddress;
  /** Of 128. */
  readonly prefixBits: number;
  readonly gateway: IpAddress | null;
  readonly source: IpAddress | null;
  readonly metric: number;
}

const RTM_GETLINK = 18;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;

const HEADER = 16;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;

const MEMORY = 65_536;
const memory = allocateMemory(MEMORY);
const { view } = memory;

/** One message: where its body begins, and where each attribute's data lies. */
type Visit = (body: number, attributes: ReadonlyMap<number, { readonly at: number; readonly length: number }>) => void;

export class Rtnetlink {
  private readonly fd: number;
  private sequence = 0;

  constructor() {
    this.fd = sockets.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
  }

  links(): HostLinkFacts[] {
    const found: HostLinkFacts[] = [];
    this.dump(RTM_GETLINK, 16, 16, (body, attributes) => {
      const name = attributes.get(IFLA_IFNAME);
      const hardware = attributes.get(IFLA_ADDRESS);
      found.push({
        index: view.getInt32(body + 4, true),
        name: name === undefined ? '' : memory.latin1(name.at, name.at + name.length - 1),
        flags: view.getUint32(body + 8, true),
        type: view.getUint16(body + 2, true),
        mtu: u32(attributes.get(IFLA_MTU)),
        hardwareAddress: hardware === undefined ? '' : memory.latin1(hardware.at, hardware.at + hardware.length),
      });
    });
    return found;
  }

  addresses(index: number): HostAddressFacts[] {
    const found: HostAddressFacts[] = [];
    this.dump(RTM_GETADDR, 8, 8, (body, attributes) => {
      if (view.getInt32(body + 4, true) !== index) return;
      const address = addressOf(attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS));
      if (address !== null) found.push({ address, prefixLength: view.getUint8(body + 1), scope: view.getUint8(body + 3) });
    });
    return found;
  }

  /** Unicast routes of the main table over interface `index`. */
  routes(index: number): HostRouteFacts[] {
    const found: HostRouteFacts[] = [];
    this.dump(RTM_GETROUTE, 12, 12, (body, attributes) => {
      const family = view.getUint8(body);
      if (family !== AF_INET && family !== AF_INET6) return;
      if (view.getUint8(body + 4) !== RT_TABLE_MAIN || view.getUint8(body + 7) !== RTN_UNICAST) return;
      if (u32(attributes.get(RTA_OIF)) !== index) return;
      const none = family === AF_INET ? new IpAddress().setIpv4(0) : new IpAddress();
      found.push({
        destination: addressOf(attributes.get(RTA_DST)) ?? none,
        prefixBits: view.getUint8(body + 1) + (family === AF_INET ? IPV4_PREFIX_BITS : 0),
        gateway: addressOf(attributes.get(RTA_GATEWAY)),
        source: addressOf(attributes.get(RTA_PREFSRC)),
        metric: u32(attributes.get(RTA_PRIORITY)),
      });
    });
    return found;
  }

  /** Takes an address off an interface. 0 or -errno. */
  removeAddress(index: number, { address, prefixLength }: HostAddressFacts): number {
    const bytes = address.isIpv4 ? 4 : 16;
    const at = HEADER + 8;
    memory.bytes.fill(0, 0, at + 4 + bytes);
    view.setUint8(HEADER, address.isIpv4 ? AF_INET : AF_INET6);
    view.setUint8(HEADER + 1, prefixLength);
    view.setInt32(HEADER + 4, index, true);
    view.setUint16(at, 4 + bytes, true);
    view.setUint16(at + 2, IFA_LOCAL, true);
    if (address.isIpv4) view.setInt32(at + 4, address.w3);
    else address.write(view, at + 4);
    this.send(RTM_DELADDR, NLM_F_ACK, at + 4 + bytes);
    const received = sockets.recvfrom(this.fd, memory.address, MEMORY, 0, 0, 0);
    return received < HEADER + 4 ? -5 : view.getInt32(HEADER, true);
  }

  close(): void {
    close(this.fd);
  }

  private send(type: number, flags: number, length: number): number {
    view.setUint32(0, length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, NLM_F_REQUEST | flags, true);
    view.setUint32(8, ++this.sequence, true);
    view.setUint32(12, 0, true);
    return sockets.send(this.fd, memory.address, length, 0);
  }

  /** Asks for all objects of a kind; `bodyLength` bytes come before the attributes of each. */
  private dump(type: number, requestLength: number, bodyLength: number, visit: Visit): void {
    memory.bytes.fill(0, HEADER, HEADER + requestLength);
    if (this.send(type, NLM_F_DUMP, HEADER + requestLength) < 0) return;
    for (;;) {
      const received = sockets.recvfrom(this.fd, memory.address, MEMORY, 0, 0, 0);
      if (received <= 0) return;
      for (let at = 0; at + HEADER <= received; ) {
        const length = view.getUint32(at, true);
        const kind = view.getUint16(at + 4, true);
        if (kind === NLMSG_DONE || kind === NLMSG_ERROR || length < HEADER) return;
        visit(at + HEADER, attributesOf(at + HEADER + bodyLength, Math.min(at + length, received)));
        at += (length + 3) & ~3;
      }
    }
  }
}

function attributesOf(start: number, end: number): Map<number, { at: number; length: number }> {
  const attributes = new Map<number, { at: number; length: number }>();
  for (let at = start; at + 4 <= end; ) {
    const length = view.getUint16(at, true);
    if (length < 4) break;
    attributes.set(view.getUint16(at + 2, true) & 0x3fff, { at: at + 4, length: length - 4 });
    at += (length + 3) & ~3;
  }
  return attributes;
}

function u32(attribute: { readonly at: number } | undefined): number {
  return attribute === undefined ? 0 : view.getUint32(attribute.at, true);
}

function addressOf(attribute: { readonly at: number; readonly length: number } | undefined): IpAddress | null {
  if (attribute?.length === 4) return new IpAddress().setIpv4(view.getInt32(attribute.at));
  return attribute?.length === 16 ? new IpAddress().read(view, attribute.at) : null;
}
