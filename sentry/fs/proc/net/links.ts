/**
 * /proc/net/dev, route, ipv6_route, if_inet6, arp, igmp and dev_mcast: interfaces, routes and neighbours, proc_pid_net(5).
 */
import { IFF_LOOPBACK, RT_SCOPE_HOST, RT_SCOPE_LINK } from '../../../netstack/link/interface.ts';
import type { InterfaceAddress, NetworkInterface } from '../../../netstack/link/interface.ts';
import { NUD_PERMANENT } from '../../../netstack/link/neighbour-cache.ts';
import type { Route } from '../../../netstack/route/routing-table.ts';
import type { Stack } from '../../../netstack/stack.ts';
import { formatAddress } from '../../../netstack/address.ts';
import { plainHex, swapped } from './format.ts';

const LINE_WIDTH = 127;
const IPV4_BITS = 96;
const RTF_UP = 1;
const RTF_GATEWAY = 2;
const RTF_HOST = 4;

const DEVICES =
  'Inter-|   Receive                                                |  Transmit\n' +
  ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n';

export function devicesText({ interfaces }: Stack): string {
  const lines = interfaces.list.map(({ name, counters: c }) => {
    const pad = (value: number, width: number): string => String(value).padStart(width);
    const received = `${pad(c.rxBytes, 7)} ${pad(c.rxPackets, 7)} ${pad(c.rxErrors, 4)} ${pad(c.rxDropped, 4)}    0     0          0 ${pad(c.multicast, 9)}`;
    const sent = `${pad(c.txBytes, 8)} ${pad(c.txPackets, 7)} ${pad(c.txErrors, 4)} ${pad(c.txDropped, 4)}    0     0       0          0`;
    return `${name.padStart(6)}: ${received} ${sent}\n`;
  });
  return DEVICES + lines.join('');
}

function mask(bits: number): number {
  return bits <= 0 ? 0 : -1 << (32 - bits);
}

/** Routes that lead somewhere: the others have no interface to show. */
function isShown(route: Route): boolean {
  return route.interface !== null;
}

export function routesText({ routes }: Stack): string {
  const head = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'.padEnd(LINE_WIDTH);
  const lines = routes.routes
    .filter((route) => route.isIpv4 && isShown(route))
    .map((route) => {
      const bits = route.prefixBits - IPV4_BITS;
      const flags = RTF_UP | (route.hasGateway ? RTF_GATEWAY : 0) | (bits === 32 ? RTF_HOST : 0);
      const gateway = route.hasGateway ? swapped(route.gateway.w3) : '00000000';
      const start = `${route.interface!.name}\t${swapped(route.destination.w3)}\t${gateway}\t${flags.toString(16).toUpperCase().padStart(4, '0')}`;
      return `${start}\t0\t0\t${route.metric}\t${swapped(mask(bits))}\t${route.mtu}\t0\t0`.padEnd(LINE_WIDTH);
    });
  return [head, ...lines].map((line) => `${line}\n`).join('');
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, '0');
}

export function ipv6RoutesText({ routes }: Stack): string {
  const none = `${'0'.repeat(32)} 00`;
  return routes.routes
    .filter((route) => !route.isIpv4 && isShown(route))
    .map((route) => {
      const flags = RTF_UP | (route.hasGateway ? RTF_GATEWAY : 0);
      const gateway = route.hasGateway ? plainHex(route.gateway) : '0'.repeat(32);
      const bits = route.prefixBits.toString(16).padStart(2, '0');
      const numbers = `${hex8(route.metric)} 00000001 00000000 ${hex8(flags)}`;
      return `${plainHex(route.destination)} ${bits} ${none} ${gateway} ${numbers} ${route.interface!.name.padStart(8)}\n`;
    })
    .join('');
}

/** Scopes as Linux numbers those of IPv6 addresses (IPV6_ADDR_*). */
function scopeOf({ scope }: InterfaceAddress): string {
  if (scope === RT_SCOPE_HOST) return '10';
  return scope === RT_SCOPE_LINK ? '20' : '00';
}

export function ipv6AddressesText({ interfaces }: Stack): string {
  const byte = (value: number): string => value.toString(16).padStart(2, '0');
  return interfaces.list
    .flatMap((owner) => owner.addresses)
    .filter(({ address }) => !address.isIpv4)
    .map((one) => {
      const { interface: owner } = one;
      return `${plainHex(one.address)} ${byte(owner.index)} ${byte(one.prefixBits)} ${scopeOf(one)} ${byte(one.flags & 255)} ${owner.name.padStart(8)}\n`;
    })
    .join('');
}

const ATF_COMPLETE = 2;
const ATF_PERMANENT = 4;

export function arpText({ interfaces }: Stack): string {
  let text = 'IP address       HW type     Flags       HW address            Mask     Device\n';
  for (const owner of interfaces.list) text += arpLines(owner);
  return text;
}

function arpLines(owner: NetworkInterface): string {
  if (owner.neighbours === null || (owner.flags & IFF_LOOPBACK) !== 0) return '';
  return owner.neighbours
    .list()
    .filter(({ address }) => address.isIpv4)
    .map(({ address, hardware, state }) => {
      const isKnown = hardware.high !== 0 || hardware.low !== 0;
      const flags = (isKnown ? ATF_COMPLETE : 0) | ((state & NUD_PERMANENT) === 0 ? 0 : ATF_PERMANENT);
      return `${formatAddress(address).padEnd(16)} 0x${'1'.padEnd(10)}0x${flags.toString(16).padEnd(10)}${hardwareText(hardware)}     *        ${owner.name}\n`;
    })
    .join('');
}

function hardwareText({ high, low }: { readonly high: number; readonly low: number }): string {
  const bytes = [high >>> 8, high & 255, low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
