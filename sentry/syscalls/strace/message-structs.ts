/**
 * iovecs, socket addresses and message headers in strace lines.
 */
import { ETH_P_ALL, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from '#sentry/abi/inet.ts';
import { getU64 } from '#sentry/abi/layout.ts';
import { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, FAMILY_NAMES, MSG_NAMES, MsgHdr, SOCKADDR_MAX } from '#sentry/abi/socket.ts';
import { formatAddress, IpAddress } from '../../netstack/address.ts';
import type { GuestView } from './guest-view.ts';
import type { CallContext } from './printer.ts';
import { enumText, flagText, pointer, quote, quoteBuffer, STRING_MAX } from './text.ts';

const SEGMENTS_MAX = 16;

/** The iovec at `address`, whose length is the next argument. For output only what the call filled is shown. */
export function iovecText(address: number, context: CallContext, direction: 'in' | 'out'): string | null {
  const count = context.values[context.index + 1] ?? 0;
  const known = direction === 'in' ? Infinity : Math.max(context.result ?? 0, 0);
  return segments(context.view, address, count, known);
}

function segments(view: GuestView, address: number, count: number, known: number): string | null {
  const items: string[] = [];
  let left = known;
  for (let i = 0; i < Math.min(count, SEGMENTS_MAX); i++) {
    const pair = view.read(address + 16 * i, 16, (data) => [getU64(data, 0), getU64(data, 8)] as const);
    if (pair === null) return null;
    const [base, length] = pair;
    const shown = Math.min(length, left);
    left -= shown;
    const bytes = view.bytes(base, Math.min(shown, STRING_MAX));
    items.push(`{iov_base=${bytes === null ? pointer(base) : quoteBuffer(bytes, shown)}, iov_len=${length}}`);
  }
  return `[${items.join(', ')}${count > SEGMENTS_MAX ? ', ...' : ''}]`;
}

/** A socket address; its length is the next argument, or what that points to. */
export function sockaddrText(address: number, { view, values, index }: CallContext): string | null {
  const next = values[index + 1] ?? 0;
  const length = next > SOCKADDR_MAX ? (view.read(next, 4, (data) => data.getUint32(0, true)) ?? 0) : next;
  return addressText(view, address, length);
}

function addressText(view: GuestView, address: number, length: number): string | null {
  const bytes = view.bytes(address, Math.min(length, SOCKADDR_MAX));
  if (bytes === null || bytes.length < 2) return null;
  const at = (i: number): number => (i < bytes.length ? bytes.charCodeAt(i) : 0);
  const family = at(0) | (at(1) << 8);
  const start = `{sa_family=${enumText(family, FAMILY_NAMES)}`;
  const port = (at(2) << 8) | at(3);
  switch (family) {
    case AF_UNIX:
      return `${start}${unixPath(bytes.slice(2))}}`;
    case AF_INET:
      return `${start}, sin_port=htons(${port}), sin_addr=inet_addr("${at(4)}.${at(5)}.${at(6)}.${at(7)}")}`;
    case AF_INET6:
      return `${start}, sin6_port=htons(${port}), ${ipv6Text(at)}}`;
    case AF_NETLINK:
      return `${start}, nl_pid=${littleWord(at, 4)}, nl_groups=${littleWord(at, 8).toString(16).padStart(8, '0')}}`;
    case AF_PACKET:
      return `${start}, sll_protocol=htons(${enumText(port, ETHERTYPES)}), sll_ifindex=${littleWord(at, 4)}, ...}`;
    default:
      return `${start}, sa_data=${quote(bytes.slice(2))}}`;
  }
}

type At = (index: number) => number;

const ETHERTYPES = { ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 };

function littleWord(at: At, i: number): number {
  return (at(i) | (at(i + 1) << 8) | (at(i + 2) << 16) | (at(i + 3) << 24)) >>> 0;
}

function bigWord(at: At, i: number): number {
  return (at(i) << 24) | (at(i + 1) << 16) | (at(i + 2) << 8) | at(i + 3);
}

/** What follows the port of a sockaddr_in6. */
function ipv6Text(at: At): string {
  const address = new IpAddress().set(bigWord(at, 8), bigWord(at, 12), bigWord(at, 16), bigWord(at, 20));
  const text = address.isIpv4 ? `::ffff:${formatAddress(address)}` : formatAddress(address);
  return `sin6_flowinfo=htonl(${bigWord(at, 4) >>> 0}), inet_pton(AF_INET6, "${text}", &sin6_addr), sin6_scope_id=${littleWord(at, 24)}`;
}

/** A path ends at its NUL; an abstract name begins with one, written as @. */
function unixPath(path: string): string {
  if (path === '') return '';
  if (path.startsWith('\0')) return `, sun_path=@${quote(path.slice(1))}`;
  const end = path.indexOf('\0');
  return `, sun_path=${quote(end < 0 ? path : path.slice(0, end))}`;
}

export function msghdrText(address: number, { view, result }: CallContext): string | null {
  const header = view.read(address, MsgHdr.size, (data) => MsgHdr.decode(data, 0));
  if (header === null) return null;
  const { name, nameLength, iov, iovCount, controlLength, flags } = header;
  const peer = name === 0 ? 'NULL' : (addressText(view, name, nameLength) ?? pointer(name));
  const data = segments(view, iov, iovCount, result === null || result < 0 ? Infinity : result) ?? pointer(iov);
  const rest = `msg_iovlen=${iovCount}, msg_controllen=${controlLength}, msg_flags=${flagText(flags, MSG_NAMES)}`;
  return `{msg_name=${peer}, msg_namelen=${nameLength}, msg_iov=${data}, ${rest}}`;
}
