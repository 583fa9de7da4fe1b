/**
 * What `tsvisor spec` writes: a configuration to start from, with a shell on a terminal, few capabilities and a read-only root. Any runtime of the
 * specification takes it.
 */
/** Nothing here needs a later one, and old runtimes refuse those. */
const VERSION = '1.0.2';
const CAPABILITIES = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];
const OPEN_FILES = 1024;

/** Files that tell about the machine or act on it, where a runtime shows those of the host. */
const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/firmware',
];
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

const QUIET = ['nosuid', 'noexec', 'nodev'];

function mounts(isRootless: boolean): object[] {
  // A mapping with one group has no place for the group of terminals.
  const terminals = ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...(isRootless ? [] : ['gid=5'])];
  return [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: terminals },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...QUIET, 'mode=1777', 'size=65536k'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: QUIET },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...QUIET, 'ro'] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...QUIET, 'relatime', 'ro'] },
  ];
}

export interface RootlessUser {
  readonly uid: number;
  readonly gid: number;
}

/** @param rootless the user who is root inside; null for a configuration that root of the host runs */
export function defaultConfig(rootless: RootlessUser | null): object {
  const namespaces = ['pid', 'ipc', 'uts', 'mount', 'cgroup', ...(rootless === null ? ['network'] : ['user'])];
  const mappings = rootless !== null && {
    uidMappings: [{ containerID: 0, hostID: rootless.uid, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: rootless.gid, size: 1 }],
  };
  return {
    ociVersion: VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: OPEN_FILES, soft: OPEN_FILES }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'tsvisor',
    mounts: mounts(rootless !== null),
    linux: {
      ...mappings,
      resources: rootless === null ? { devices: [{ allow: false, access: 'rwm' }] } : undefined,
      namespaces: namespaces.map((type) => ({ type })),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
    },
  };
}
