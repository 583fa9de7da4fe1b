/**
 * /proc/sys: figures that programs read. The names of the machine can be changed by who may (CAP_SYS_ADMIN), limits of IPC (ipc.ts) and settings of
 * the network (net/settings.ts) by the superuser.
 */
import { EACCES, EINVAL } from '#sentry/abi/errno.ts';
import { KERNEL_RELEASE, KERNEL_VERSION } from '../../abi/version.ts';
import { CAP_LAST_CAP, CAP_SYS_ADMIN, capable } from '../../vfs/credentials.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { StaticDirectory, TextFile } from '../synthetic/synthetic.ts';
import { readerOf } from './access.ts';
import { ipcFiles, mqueueFiles } from './ipc.ts';
import { networkSettings } from './net/settings.ts';
import type { ProcFileSystem } from './proc-file-system.ts';

const HOST_NAME_MAX = 64;
/** What a seccomp filter may decide and the log may tell (kernel/seccomp). */
const SECCOMP_ACTIONS = 'kill_process kill_thread trap errno user_notif trace log';

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
      mqueue: directory(mqueueFiles(fs)),
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
      seccomp: directory(constants({ actions_avail: `${SECCOMP_ACTIONS} allow`, actions_logged: SECCOMP_ACTIONS })),
      yama: directory(constants({ ptrace_scope: 1 })),
    }),
    net: networkSettings(fs, fs.kernel.network.settings),
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
