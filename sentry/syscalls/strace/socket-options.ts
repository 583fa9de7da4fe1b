/**
 * setsockopt(2) and getsockopt(2) in strace lines: levels, options and values by name; and the protocol of socket(2).
 */
import * as inet from '#sentry/abi/inet.ts';
import { getI64 } from '#sentry/abi/layout.ts';
import * as netlink from '#sentry/abi/netlink.ts';
import * as packet from '#sentry/abi/packet.ts';
import * as socket from '#sentry/abi/socket.ts';
import type { CallContext } from './printer.ts';
import { enumText, pointer, quoteBuffer, STRING_MAX } from './text.ts';

type Names = Readonly<Record<string, number>>;

/** The constants of a module whose names match. */
function named(module: Readonly<Record<string, unknown>>, pattern: RegExp): Names {
  const pairs = Object.entries(module).filter((pair): pair is [string, number] => typeof pair[1] === 'number' && pattern.test(pair[0]));
  return Object.fromEntries(pairs);
}

const { SOL_IP, SOL_TCP, SOL_UDP, SOL_IPV6, SOL_ICMPV6, SOL_RAW, SOL_PACKET, SOL_NETLINK } = inet;
const { SOL_SOCKET } = socket;
const LEVELS = { SOL_SOCKET, SOL_IP, SOL_TCP, SOL_UDP, SOL_IPV6, SOL_ICMPV6, SOL_RAW, SOL_PACKET, SOL_NETLINK };

const OPTIONS: Readonly<Record<number, Names>> = {
  [SOL_SOCKET]: named(socket, /^SO_/),
  [SOL_IP]: named(inet, /^(IP|MCAST)_(?!PMTUDISC)/),
  [SOL_IPV6]: named(inet, /^(IPV6|MCAST)_(?!MREQ)/),
  [SOL_TCP]: named(inet, /^TCP_(?!INFO_SIZE|CM_)/),
  [SOL_UDP]: named(inet, /^UDP_/),
  [SOL_RAW]: { ICMP_FILTER: inet.ICMP_FILTER },
  [SOL_PACKET]: named(packet, /^PACKET_(?!MR)/),
  [SOL_NETLINK]: named(netlink, /^NETLINK_(?!ROUTE|SOCK_DIAG)/),
};

/** Options whose value is text. */
const TEXT: ReadonlySet<string> = new Set(['SO_BINDTODEVICE', 'TCP_CONGESTION', 'TCP_ULP']);

export function levelText({ values }: CallContext): string {
  return enumText(values[1]!, LEVELS);
}

export function optionText({ values }: CallContext): string {
  return enumText(values[2]!, OPTIONS[values[1]!] ?? {});
}

/** The value: its length is the last argument of setsockopt, and what that points to of getsockopt. */
export function valueText(direction: 'in' | 'out'): (context: CallContext) => string | undefined {
  return (context) => {
    const { values, view, result } = context;
    const address = values[3]!;
    if (address === 0 || (direction === 'out' && result !== 0)) return undefined;
    const length = direction === 'in' ? values[4]! : view.read(values[4]!, 4, (data) => data.getInt32(0, true));
    return length === null ? undefined : valueOf(context, address, length);
  };
}

function valueOf(context: CallContext, address: number, length: number): string | undefined {
  const { values, view } = context;
  const name = values[1] === SOL_SOCKET || values[1] === SOL_TCP ? optionText(context) : '';
  if (TEXT.has(name) || (length !== 4 && length !== 8 && length !== 16)) {
    const bytes = view.bytes(address, Math.min(Math.max(length, 0), STRING_MAX));
    return bytes === null ? pointer(address) : quoteBuffer(bytes, length);
  }
  if (length === 4) return view.read(address, 4, (data) => `[${data.getInt32(0, true)}]`) ?? undefined;
  if (name === 'SO_LINGER')
    return view.read(address, 8, (data) => `{l_onoff=${data.getInt32(0, true)}, l_linger=${data.getInt32(4, true)}}`) ?? undefined;
  if (name === 'SO_RCVTIMEO' || name === 'SO_SNDTIMEO')
    return view.read(address, 16, (data) => `{tv_sec=${getI64(data, 0)}, tv_usec=${getI64(data, 8)}}`) ?? undefined;
  return undefined;
}

const INTERNET_PROTOCOLS = named(inet, /^IPPROTO_(?!MAX)/);
const NETLINK_PROTOCOLS = named(netlink, /^NETLINK_(ROUTE|SOCK_DIAG)$/);

/** The protocol of a socket, which means something else in each family. */
export function protocolText({ values }: CallContext): string | undefined {
  const [domain, , protocol] = values as [number, number, number];
  if (domain === socket.AF_INET || domain === socket.AF_INET6) return enumText(protocol, INTERNET_PROTOCOLS);
  return domain === socket.AF_NETLINK ? enumText(protocol, NETLINK_PROTOCOLS) : undefined;
}
