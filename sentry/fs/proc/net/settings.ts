/**
 * /proc/sys/net: figures of the network (Linux Documentation/networking/ip-sysctl.rst, net/core/sysctl_net_core.c). What the stack lets be chosen
 * (netstack/settings.ts) can be written by the superuser; the rest says how the stack is.
 */
import { EINVAL } from '#sentry/abi/errno.ts';
import type { Inode } from '../../../vfs/inode.ts';
import { BACKLOG_MAX } from '../../../netstack/tcp/limits.ts';
import type { NetworkSettings } from '../../../netstack/settings.ts';
import { StaticDirectory, TextFile } from '../../synthetic/synthetic.ts';
import type { SyntheticFileSystem } from '../../synthetic/synthetic.ts';

const PORT_MAX = 65_535;
const GROUP_MAX = 0x7fff_ffff;
const SECOND_MS = 1000;
/** Linux: MAX_TCP_KEEPIDLE, _KEEPINTVL, _KEEPCNT, _SYNCNT; a day for the end of a connection. */
const KEEP_SECONDS_MAX = 32_767;
const COUNT_MAX = 127;
const FIN_SECONDS_MAX = 86_400;

/** Names of `NetworkSettings`. */
type Name = keyof { [K in keyof NetworkSettings as NetworkSettings[K] extends number ? K : never]: true };

export function networkSettings(fs: SyntheticFileSystem, settings: NetworkSettings): StaticDirectory {
  const directory = (children: Record<string, Inode>): StaticDirectory => new StaticDirectory(fs, children);
  const constant = (value: string | number): TextFile => new TextFile(fs, () => `${value}\n`);
  const constants = (values: Record<string, string | number>): Record<string, Inode> =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, constant(value)]));
  /** One number from `least` to `most`, of which the setting is a multiple. */
  const number = (name: Name, least: number, most: number, unit = 1): TextFile =>
    new TextFile(
      fs,
      () => `${settings[name] / unit}\n`,
      (text) => {
        const value = numbers(text, 1)?.[0] ?? -1;
        if (value < least || value > most) return -EINVAL;
        settings[name] = value * unit;
        return 0;
      },
    );
  const perInterface = (): StaticDirectory => directory(constants({ disable_ipv6: 0, forwarding: 0 }));
  return directory({
    core: directory({
      somaxconn: number('backlogMax', 0, BACKLOG_MAX),
      ...constants({
        rmem_default: 212992,
        rmem_max: 212992,
        wmem_default: 212992,
        wmem_max: 212992,
        optmem_max: 131072,
        netdev_max_backlog: 4096,
      }),
    }),
    ipv4: directory({
      ip_local_port_range: portRange(fs, settings),
      ip_unprivileged_port_start: unprivilegedPorts(fs, settings),
      ping_group_range: pingGroups(fs, settings),
      tcp_fin_timeout: number('finTimeoutMs', 0, FIN_SECONDS_MAX, SECOND_MS),
      tcp_keepalive_intvl: number('keepIntervalMs', 1, KEEP_SECONDS_MAX, SECOND_MS),
      tcp_keepalive_probes: number('keepCount', 1, COUNT_MAX),
      tcp_keepalive_time: number('keepIdleMs', 1, KEEP_SECONDS_MAX, SECOND_MS),
      tcp_syn_retries: number('synRetries', 1, COUNT_MAX),
      ...constants(IPV4),
    }),
    ipv6: directory({
      ...constants({ bindv6only: 0 }),
      conf: directory({ all: perInterface(), default: perInterface(), lo: perInterface() }),
    }),
    unix: directory(constants({ max_dgram_qlen: 512 })),
  });
}

const IPV4: Readonly<Record<string, string | number>> = {
  ip_forward: 0,
  ip_default_ttl: 64,
  ip_local_reserved_ports: '',
  ip_nonlocal_bind: 0,
  tcp_allowed_congestion_control: 'reno cubic',
  tcp_available_congestion_control: 'reno cubic',
  tcp_congestion_control: 'cubic',
  tcp_ecn: 0,
  tcp_fastopen: 0,
  tcp_max_syn_backlog: 4096,
  tcp_mem: '190959\t254612\t381918',
  tcp_retries2: 15,
  tcp_rmem: '4096\t131072\t6291456',
  tcp_sack: 1,
  tcp_synack_retries: 5,
  tcp_syncookies: 1,
  tcp_timestamps: 1,
  tcp_tw_reuse: 2,
  tcp_window_scaling: 1,
  tcp_wmem: '4096\t16384\t4194304',
};

/** Up to `most` numbers without a sign; null for anything else. */
function numbers(text: string, most: number): number[] | null {
  const words = text.trim().split(/\s+/);
  return words.length > most || words.some((word) => !/^\d{1,10}$/.test(word)) ? null : words.map(Number);
}

function portRange(fs: SyntheticFileSystem, settings: NetworkSettings): TextFile {
  return new TextFile(
    fs,
    () => `${settings.localPortFirst}\t${settings.localPortLast}\n`,
    (text) => {
      const [first = 0, last = settings.localPortLast] = numbers(text, 2) ?? [];
      if (first < 1 || last > PORT_MAX || first > last || first < settings.unprivilegedPortFirst) return -EINVAL;
      settings.localPortFirst = first;
      settings.localPortLast = last;
      return 0;
    },
  );
}

function unprivilegedPorts(fs: SyntheticFileSystem, settings: NetworkSettings): TextFile {
  return new TextFile(
    fs,
    () => `${settings.unprivilegedPortFirst}\n`,
    (text) => {
      const first = numbers(text, 1)?.[0] ?? -1;
      // Linux: the ports that are given to anybody must not be among the privileged ones.
      if (first < 0 || first > PORT_MAX || first > settings.localPortFirst) return -EINVAL;
      settings.unprivilegedPortFirst = first;
      return 0;
    },
  );
}

function pingGroups(fs: SyntheticFileSystem, settings: NetworkSettings): TextFile {
  return new TextFile(
    fs,
    () => `${settings.pingGroupFirst}\t${settings.pingGroupLast}\n`,
    (text) => {
      const [first = -1, last = settings.pingGroupLast] = numbers(text, 2) ?? [];
      if (first < 0 || first > GROUP_MAX || last > GROUP_MAX) return -EINVAL;
      // Linux: no range means nobody, and is shown so.
      settings.pingGroupFirst = first <= last ? first : 1;
      settings.pingGroupLast = first <= last ? last : 0;
      return 0;
    },
  );
}
