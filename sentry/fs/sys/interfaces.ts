/**
 * /sys/devices/virtual/net and /sys/class/net: the interfaces of the sandbox's network, as they are at each look, with the attributes that programs
 * read (Linux Documentation/ABI/testing/sysfs-class-net; net/core/net-sysfs.c). What the host calls them and where they lead is not told.
 */
import { EINVAL, ENOENT } from '#sentry/abi/errno.ts';
import type { InterfaceCounters, NetworkInterface } from '../../netstack/link/interface.ts';
import type { InterfaceTable } from '../../netstack/link/interface-table.ts';
import { LinkFile, StaticDirectory, SyntheticDirectory } from '../synthetic/synthetic.ts';
import type { Entry, SyntheticFileSystem } from '../synthetic/synthetic.ts';
import type { Inode } from '../../vfs/inode.ts';
import { SysFile } from './sys-file.ts';

const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const ARPHRD_NONE = 65_534;

/** Names of the files in `statistics` and what they show; the others of Linux count what does not happen here. */
const STATISTICS: Readonly<Record<string, keyof InterfaceCounters | null>> = {
  collisions: null,
  multicast: 'multicast',
  rx_bytes: 'rxBytes',
  rx_compressed: null,
  rx_crc_errors: null,
  rx_dropped: 'rxDropped',
  rx_errors: 'rxErrors',
  rx_fifo_errors: null,
  rx_frame_errors: null,
  rx_length_errors: null,
  rx_missed_errors: null,
  rx_nohandler: null,
  rx_over_errors: null,
  rx_packets: 'rxPackets',
  tx_aborted_errors: null,
  tx_bytes: 'txBytes',
  tx_carrier_errors: null,
  tx_compressed: null,
  tx_dropped: 'txDropped',
  tx_errors: 'txErrors',
  tx_fifo_errors: null,
  tx_heartbeat_errors: null,
  tx_packets: 'txPackets',
  tx_window_errors: null,
};

/** A directory with something for each interface. */
export class InterfacesDirectory extends SyntheticDirectory {
  private readonly interfaces: InterfaceTable;
  private readonly make: (of: NetworkInterface) => Inode;
  private readonly made = new WeakMap<NetworkInterface, Inode>();

  private constructor(fileSystem: SyntheticFileSystem, interfaces: InterfaceTable, make: (of: NetworkInterface) => Inode) {
    super(fileSystem, 0o755);
    this.interfaces = interfaces;
    this.make = make;
  }

  /** /sys/devices/virtual/net */
  static ofDevices(fileSystem: SyntheticFileSystem, interfaces: InterfaceTable): InterfacesDirectory {
    return new InterfacesDirectory(fileSystem, interfaces, (of) => deviceDirectory(fileSystem, of));
  }

  /** /sys/class/net */
  static ofLinks(fileSystem: SyntheticFileSystem, interfaces: InterfaceTable): InterfacesDirectory {
    return new InterfacesDirectory(fileSystem, interfaces, (of) => new LinkFile(fileSystem, () => `../../devices/virtual/net/${of.name}`));
  }

  override lookup(name: string): Inode | number {
    const found = this.interfaces.byName(name);
    return found === null ? -ENOENT : this.inodeOf(found);
  }

  entries(): Entry[] {
    return this.interfaces.list.map((each) => {
      const { ino, mode } = this.inodeOf(each);
      return { name: each.name, ino, mode };
    });
  }

  private inodeOf(of: NetworkInterface): Inode {
    let inode = this.made.get(of);
    if (inode === undefined) {
      inode = this.make(of);
      this.made.set(of, inode);
    }
    return inode;
  }
}

function deviceDirectory(fileSystem: SyntheticFileSystem, of: NetworkInterface): StaticDirectory {
  const file = (read: () => string | number): SysFile => new SysFile(fileSystem, read);
  const statistics = Object.entries(STATISTICS).map(([name, counter]) => [
    name,
    file(() => `${counter === null ? 0 : of.counters[counter]}\n`),
  ]);
  const files: Record<string, Inode> = {
    addr_len: file(() => '6\n'),
    address: file(() => `${hardwareText(of)}\n`),
    broadcast: file(() => `${of.isLoopback ? '00:00:00:00:00:00' : 'ff:ff:ff:ff:ff:ff'}\n`),
    carrier: file(() => (of.isUp ? '1\n' : -EINVAL)),
    dev_id: file(() => '0x0\n'),
    dev_port: file(() => '0\n'),
    dormant: file(() => (of.isUp ? '0\n' : -EINVAL)),
    flags: file(() => `0x${of.flags.toString(16)}\n`),
    ifindex: file(() => `${of.index}\n`),
    iflink: file(() => `${of.index}\n`),
    link_mode: file(() => '0\n'),
    mtu: file(() => `${of.mtu}\n`),
    netdev_group: file(() => '0\n'),
    operstate: file(() => `${of.isLoopback ? 'unknown' : of.isUp ? 'up' : 'down'}\n`),
    // Linux: what has no speed says EINVAL.
    speed: file(() => -EINVAL),
    statistics: new StaticDirectory(fileSystem, Object.fromEntries(statistics) as Record<string, Inode>, 0o755),
    subsystem: new LinkFile(fileSystem, () => '../../../../class/net'),
    tx_queue_len: file(() => `${of.txQueueLength}\n`),
    type: file(() => `${typeOf(of)}\n`),
    uevent: file(() => `INTERFACE=${of.name}\nIFINDEX=${of.index}\n`),
  };
  return new StaticDirectory(fileSystem, files, 0o755);
}

function typeOf(of: NetworkInterface): number {
  if (of.isLoopback) return ARPHRD_LOOPBACK;
  return of.isEthernet ? ARPHRD_ETHER : ARPHRD_NONE;
}

function hardwareText({ hardware: { high, low } }: NetworkInterface): string {
  const hex = high.toString(16).padStart(4, '0') + (low >>> 0).toString(16).padStart(8, '0');
  return hex.match(/../g)!.join(':');
}
