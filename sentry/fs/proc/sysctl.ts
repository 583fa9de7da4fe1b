/** /proc/sys: figures that programs read. Only the names of the machine can be changed, by who may (CAP_SYS_ADMIN). */
import { EACCES, EINVAL } from '#sentry/abi/errno.ts';
import { KERNEL_RELEASE, KERNEL_VERSION } from '../../abi/version.ts';
import { CAP_LAST_CAP, CAP_SYS_ADMIN, capable } from '../../vfs/credentials.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { StaticDirectory, TextFile } from '../synthetic/synthetic.ts';
import { readerOf } from './access.ts';
import { ipcFiles } from './ipc.ts';
import type { ProcFileSystem } from './proc-file-system.ts';

const HOST_NAME_MAX = 64;

export function sysctlDirectory(fs: ProcFileSystem): StaticDirectory {
  const directory = (children: Record<string, Inode>): StaticDirectory => new StaticDirectory(fs, children);
  const constant = (value: string | number): TextFile => new TextFile(fs, () => `${value}\n`);
  const constants = (values: Record<string, string | number>): Record<string, Inode> =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, constant(value)]));
  return directory({
    fs: directory({
      ...constants({
        'aio-max-nr': 65536,
        'aio-nr': 0,
        'file-max': 1048576,
        'file-nr': '0\t0\t1048576',
        'lease-break-time': 45,
        nr_open: 1048576,
        'pipe-max-size': 1048576,
        'pipe-user-pages-soft': 16384,
        'pipe-user-pages-hard': 0,
        protected_fifos: 0,
        protected_hardlinks: 1,
        protected_regular: 0,
        protected_symlinks: 1,
        suid_dumpable: 0,
        'mount-max': 4096,
      }),
      inotify: directory(constants({ max_queued_events: 16384, max_user_instances: 128, max_user_watches: 65536 })),
      epoll: directory(constants({ max_user_watches: 1048576 })),
      mqueue: directory({}),
    }),
    kernel: directory({
      ...constants({
        ostype: 'Linux',
        osrelease: KERNEL_RELEASE,
        version: KERNEL_VERSION,
        cap_last_cap: CAP_LAST_CAP,
        core_pattern: 'core',
        core_uses_pid: 0,
        dmesg_restrict: 1,
        kptr_restrict: 1,
        ngroups_max: 65536,
        overflowgid: 65534,
        overflowuid: 65534,
        perf_event_paranoid: 4,
        pid_max: 32768,
        printk: '4\t4\t1\t7',
        randomize_va_space: 2,
        'threads-max': 4096,
        tainted: 0,
        panic: 0,
        sched_rt_period_us: 1000000,
        sched_rt_runtime_us: 950000,
        unprivileged_bpf_disabled: 2,
        unprivileged_userns_clone: 0,
      }),
      ...ipcFiles(fs),
      hostname: nameFile(fs, 'nodename'),
      domainname: nameFile(fs, 'domainname'),
      random: directory({
        ...constants({ entropy_avail: 256, poolsize: 256, urandom_min_reseed_secs: 60, write_wakeup_threshold: 256, boot_id: uuid(fs) }),
        uuid: new TextFile(fs, () => `${uuid(fs)}\n`),
      }),
      yama: directory(constants({ ptrace_scope: 1 })),
    }),
    net: directory({
      core: directory(
        constants({
          somaxconn: 4096,
          rmem_default: 212992,
          rmem_max: 212992,
          wmem_default: 212992,
          wmem_max: 212992,
          optmem_max: 131072,
          netdev_max_backlog: 4096,
        }),
      ),
      ipv4: directory(
        constants({
          ip_forward: 0,
          ip_default_ttl: 64,
          ip_local_port_range: '32768\t60999',
          ip_local_reserved_ports: '',
          ip_nonlocal_bind: 0,
          ip_unprivileged_port_start: 1024,
          ping_group_range: '0\t2147483647',
          tcp_allowed_congestion_control: 'reno cubic',
          tcp_available_congestion_control: 'reno cubic',
          tcp_congestion_control: 'cubic',
          tcp_ecn: 0,
          tcp_fastopen: 0,
          tcp_fin_timeout: 60,
          tcp_keepalive_intvl: 75,
          tcp_keepalive_probes: 9,
          tcp_keepalive_time: 7200,
          tcp_max_syn_backlog: 4096,
          tcp_mem: '190959\t254612\t381918',
          tcp_retries2: 15,
          tcp_rmem: '4096\t131072\t6291456',
          tcp_sack: 1,
          tcp_syn_retries: 6,
          tcp_synack_retries: 5,
          tcp_syncookies: 1,
          tcp_timestamps: 1,
          tcp_tw_reuse: 2,
          tcp_window_scaling: 1,
          tcp_wmem: '4096\t16384\t4194304',
        }),
      ),
      ipv6: directory({
        ...constants({ bindv6only: 0 }),
        conf: directory({
          all: directory(constants({ disable_ipv6: 0, forwarding: 0 })),
          default: directory(constants({ disable_ipv6: 0, forwarding: 0 })),
          lo: directory(constants({ disable_ipv6: 0, forwarding: 0 })),
        }),
      }),
      unix: directory(constants({ max_dgram_qlen: 512 })),
    }),
    user: directory(constants({ max_user_namespaces: 0 })),
    vm: directory(
      constants({
        dirty_background_ratio: 10,
        dirty_ratio: 20,
        drop_caches: 0,
        max_map_count: 65530,
        mmap_min_addr: 65536,
        min_free_kbytes: 67584,
        nr_hugepages: 0,
        overcommit_memory: 0,
        overcommit_ratio: 50,
        panic_on_oom: 0,
        swappiness: 60,
        vfs_cache_pressure: 100,
      }),
    ),
  });
}

/** The reader's own UTS namespace. */
function nameFile(fs: ProcFileSystem, key: 'nodename' | 'domainname'): TextFile {
  const write = (text: string, caller: Caller): number => {
    const name = text.replace(/\n$/, '');
    if (!capable(caller.credentials, CAP_SYS_ADMIN)) return -EACCES;
    if (name.length > HOST_NAME_MAX) return -EINVAL;
    readerOf(caller).uts[key] = name;
    return 0;
  };
  return new TextFile(fs, (caller) => `${readerOf(caller).uts[key]}\n`, write);
}

/** A random UUID (version 4). Of the sandbox: the host's boot id stays unknown. */
function uuid({ host, staging }: ProcFileSystem): string {
  host.random(staging, 0, 16);
  const { bytes } = staging;
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
