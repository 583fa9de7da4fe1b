/**
 * /proc/net/snmp, snmp6 and netstat: the stack's counters by their names in the MIBs (RFC 4293, 4022, 4113) and Linux's own.
 */
import type { IcmpCounters, IpCounters, UdpCounters } from '../../../netstack/counters.ts';
import type { Stack } from '../../../netstack/stack.ts';

type Pairs = readonly (readonly [string, number])[];

/** A line of names and a line of values. */
function group(title: string, pairs: Pairs): string {
  return `${title}: ${pairs.map(([name]) => name).join(' ')}\n${title}: ${pairs.map(([, value]) => value).join(' ')}\n`;
}

function pick<T extends object>(counters: T, names: readonly (keyof T & string)[]): Pairs {
  return names.map((name) => [name, counters[name] as unknown as number]);
}

const REASSEMBLY = ['ReasmTimeout', 'ReasmReqds', 'ReasmOKs', 'ReasmFails', 'FragOKs', 'FragFails', 'FragCreates'] as const;
/** Names of ICMP messages by type. */
const ICMP_TYPES: readonly (readonly [string, number])[] = [
  ['DestUnreachs', 3],
  ['TimeExcds', 11],
  ['ParmProbs', 12],
  ['SrcQuenchs', 4],
  ['Redirects', 5],
  ['Echos', 8],
  ['EchoReps', 0],
  ['Timestamps', 13],
  ['TimestampReps', 14],
  ['AddrMasks', 17],
  ['AddrMaskReps', 18],
];

function ipPairs(ip: IpCounters): Pairs {
  return [
    ['Forwarding', 2],
    ['DefaultTTL', 64],
    ...pick(ip, ['InReceives', 'InHdrErrors', 'InAddrErrors']),
    ['ForwDatagrams', 0],
    ...pick(ip, ['InUnknownProtos', 'InDiscards', 'InDelivers', 'OutRequests', 'OutDiscards', 'OutNoRoutes']),
    ...pick(ip, REASSEMBLY),
    ['OutTransmits', ip.OutTransmits],
  ];
}

function icmpPairs(icmp: IcmpCounters): Pairs {
  const types = (prefix: string, counts: ArrayLike<number>): Pairs => ICMP_TYPES.map(([name, type]) => [prefix + name, counts[type]!]);
  return [
    ...pick(icmp, ['InMsgs', 'InErrors', 'InCsumErrors']),
    ...types('In', icmp.inTypes),
    ...pick(icmp, ['OutMsgs', 'OutErrors', 'OutRateLimitGlobal']),
    ['OutRateLimitHost', 0],
    ...types('Out', icmp.outTypes),
  ];
}

function icmpMessages(icmp: IcmpCounters): string {
  const seen = (prefix: string, counts: Float64Array): Pairs =>
    [...counts].flatMap((count, type) => (count === 0 ? [] : [[`${prefix}${type}`, count] as const]));
  const pairs = [...seen('InType', icmp.inTypes), ...seen('OutType', icmp.outTypes)];
  return pairs.length === 0 ? '' : group('IcmpMsg', pairs);
}

const UDP_NAMES = [
  'InDatagrams',
  'NoPorts',
  'InErrors',
  'OutDatagrams',
  'RcvbufErrors',
  'SndbufErrors',
  'InCsumErrors',
  'IgnoredMulti',
  'MemErrors',
] as const;

function tcpPairs({ tcp, state }: Stack): Pairs {
  const { counters } = tcp;
  const refused = state.counters.tcp;
  return [
    ['RtoAlgorithm', 1],
    ['RtoMin', 200],
    ['RtoMax', 120000],
    ['MaxConn', -1],
    ...pick(counters, ['ActiveOpens', 'PassiveOpens', 'AttemptFails', 'EstabResets', 'CurrEstab', 'InSegs', 'OutSegs', 'RetransSegs']),
    ['InErrs', counters.InErrs + refused.InErrs],
    ['OutRsts', counters.OutRsts],
    ['InCsumErrors', counters.InCsumErrors + refused.InCsumErrors],
  ];
}

export function snmpText(stack: Stack): string {
  const { counters } = stack.state;
  const zeros = UDP_NAMES.map((name) => [name, 0] as const);
  return (
    group('Ip', ipPairs(counters.ipv4)) +
    group('Icmp', icmpPairs(counters.icmpv4)) +
    icmpMessages(counters.icmpv4) +
    group('Tcp', tcpPairs(stack)) +
    group('Udp', pick(counters.udpv4, UDP_NAMES)) +
    group('UdpLite', zeros)
  );
}

function lines(prefix: string, pairs: Pairs): string {
  return pairs.map(([name, value]) => `${(prefix + name).padEnd(32)}\t${value}\n`).join('');
}

const IP6_NAMES = [
  'InReceives',
  'InHdrErrors',
  'InAddrErrors',
  'InUnknownProtos',
  'InTruncatedPkts',
  'InDiscards',
  'InDelivers',
  'OutRequests',
  'OutDiscards',
  'OutNoRoutes',
  ...REASSEMBLY,
  'InMcastPkts',
  'OutMcastPkts',
  'OutTransmits',
] as const;

export function snmp6Text(stack: Stack): string {
  const { ipv6, icmpv6, udpv6 } = stack.state.counters;
  const udp: UdpCounters = udpv6;
  return (
    lines('Ip6', pick(ipv6, IP6_NAMES)) +
    lines('Icmp6', pick(icmpv6, ['InMsgs', 'InErrors', 'OutMsgs', 'OutErrors', 'InCsumErrors'])) +
    lines('Udp6', pick(udp, ['InDatagrams', 'NoPorts', 'InErrors', 'OutDatagrams', 'RcvbufErrors', 'SndbufErrors', 'InCsumErrors']))
  );
}

/** What the Tcp group of snmp has. */
const IN_SNMP: ReadonlySet<string> = new Set([
  'ActiveOpens',
  'PassiveOpens',
  'AttemptFails',
  'EstabResets',
  'CurrEstab',
  'InSegs',
  'OutSegs',
  'RetransSegs',
  'InErrs',
  'OutRsts',
  'InCsumErrors',
]);

export function netstatText(stack: Stack): string {
  const extended = Object.entries(stack.tcp.counters).filter(
    (pair): pair is [string, number] => typeof pair[1] === 'number' && !IN_SNMP.has(pair[0]),
  );
  const { ipv4 } = stack.state.counters;
  const ip = pick(
    ipv4,
    ['InNoRoutes', 'InTruncatedPkts', 'InMcastPkts', 'OutMcastPkts', 'InBcastPkts', 'OutBcastPkts'].filter(
      (name): name is keyof IpCounters => name in ipv4,
    ),
  );
  return group('TcpExt', extended) + group('IpExt', ip);
}
