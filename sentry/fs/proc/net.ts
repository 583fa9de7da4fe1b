/**
 * /proc/PID/net (proc_pid_net(5)): tables of the network. Until there is a network stack they are the header lines alone, which is what a
 * process in an empty network namespace without devices sees.
 */
import type { Inode } from '../../vfs/inode.ts';
import { StaticDirectory, TextFile } from '../synthetic/synthetic.ts';
import type { SyntheticFileSystem } from '../synthetic/synthetic.ts';

const DEVICES =
  'Inter-|   Receive                                                |  Transmit\n' +
  ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n';
/** Linux pads the lines of some tables to a fixed width. */
const LINE_WIDTH = 127;
const TCP_LINE_WIDTH = 149;
const SOCKETS = 'st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const IPV6_ADDRESSES = 'sl  local_address                         remote_address                        ';

const TABLES: Readonly<Record<string, string>> = {
  arp: 'IP address       HW type     Flags       HW address            Mask     Device\n',
  dev: DEVICES,
  if_inet6: '',
  netlink: 'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n',
  packet: 'sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n',
  raw: `  sl  local_address rem_address   ${SOCKETS} ref pointer drops\n`,
  raw6: `  ${IPV6_ADDRESSES}${SOCKETS} ref pointer drops\n`,
  route: `${'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'.padEnd(LINE_WIDTH)}\n`,
  tcp: `${`  sl  local_address rem_address   ${SOCKETS}`.padEnd(TCP_LINE_WIDTH)}\n`,
  tcp6: `  ${IPV6_ADDRESSES}${SOCKETS}\n`,
  udp: `${`   sl  local_address rem_address   ${SOCKETS} ref pointer drops`.padEnd(LINE_WIDTH)}\n`,
  udp6: `  ${IPV6_ADDRESSES}${SOCKETS} ref pointer drops\n`,
  unix: 'Num       RefCount Protocol Flags    Type St Inode Path\n',
};

export function networkDirectory(fileSystem: SyntheticFileSystem): StaticDirectory {
  const files = Object.entries(TABLES).map(([name, text]) => [name, new TextFile(fileSystem, () => text)]);
  return new StaticDirectory(fileSystem, Object.fromEntries(files) as Record<string, Inode>);
}
