/**
 * /proc/PID/net (proc_pid_net(5)): tables of the network, made anew for each reader.
 */
import { AF_INET, AF_INET6 } from '#sentry/abi/socket.ts';
import type { Inode } from '../../../vfs/inode.ts';
import type { NetworkSettings } from '../../../netstack/settings.ts';
import type { Stack } from '../../../netstack/stack.ts';
import type { UnixSocket } from '../../unix/unix-socket.ts';
import { StaticDirectory, TextFile } from '../../synthetic/synthetic.ts';
import type { SyntheticFileSystem } from '../../synthetic/synthetic.ts';
import { netstatText, snmp6Text, snmpText } from './counters.ts';
import { arpText, devicesText, ipv6AddressesText, ipv6RoutesText, routesText } from './links.ts';
import { packetText } from './packets.ts';
import { pingText, rawText, sockstat6Text, sockstatText, tcpText, udpText, unixText } from './sockets.ts';

/** What the tables are about; the kernel has it. */
export interface NetworkView {
  readonly stack: Stack;
  readonly settings: NetworkSettings;
}

const TABLES: Readonly<Record<string, (stack: Stack) => string>> = {
  arp: arpText,
  dev: devicesText,
  if_inet6: ipv6AddressesText,
  icmp: (stack) => pingText(stack, AF_INET),
  icmp6: (stack) => pingText(stack, AF_INET6),
  ipv6_route: ipv6RoutesText,
  netlink: () => 'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n',
  netstat: netstatText,
  packet: packetText,
  raw: (stack) => rawText(stack, AF_INET),
  raw6: (stack) => rawText(stack, AF_INET6),
  route: routesText,
  snmp: snmpText,
  snmp6: snmp6Text,
  sockstat6: sockstat6Text,
  tcp: (stack) => tcpText(stack, AF_INET),
  tcp6: (stack) => tcpText(stack, AF_INET6),
  udp: (stack) => udpText(stack, AF_INET),
  udp6: (stack) => udpText(stack, AF_INET6),
};

export function networkDirectory(fs: SyntheticFileSystem, network: NetworkView, unixSockets: ReadonlySet<UnixSocket>): StaticDirectory {
  const files = Object.entries(TABLES).map(([name, text]): [string, Inode] => [name, new TextFile(fs, () => text(network.stack))]);
  return new StaticDirectory(fs, {
    ...Object.fromEntries(files),
    sockstat: new TextFile(fs, () => sockstatText(network.stack, unixSockets.size)),
    unix: new TextFile(fs, () => unixText(unixSockets)),
  });
}
