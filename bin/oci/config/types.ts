/**
 * A container's configuration after validation: what every later step builds on, and nothing else reads config.json. Names are those of the
 * OCI runtime specification (config.md, config-linux.md); values are resolved: defaults filled in, names turned into Linux numbers, relative
 * host paths made absolute.
 *
 * Strings that reach the guest, and host paths, are byte strings. Identifiers and annotations stay text. `null` means that the
 * configuration says nothing and the specification has no default.
 */
import type { CapabilitySet } from '#sentry/vfs/credentials.ts';

export interface ContainerConfig {
  /** The version the file claims, for the state. */
  readonly ociVersion: string;
  readonly root: RootConfig;
  /** `start` needs one, `create` does not. */
  readonly process: ProcessConfig | null;
  readonly hostname: string | null;
  readonly domainname: string | null;
  /** In the order in which they are mounted. */
  readonly mounts: readonly MountConfig[];
  readonly hooks: HooksConfig;
  /** Text, for the state and for clients. */
  readonly annotations: Readonly<Record<string, string>>;
  /** What the annotations of CRI implementations say. */
  readonly pod: PodConfig;
  readonly linux: LinuxConfig;
}

export interface RootConfig {
  /** Absolute host path. */
  readonly path: string;
  readonly readonly: boolean;
}

/** `single`: a container alone in its sandbox. `sandbox`: the first of a pod. `member`: joins the sandbox of container `sandboxId`. */
export interface PodConfig {
  readonly role: 'single' | 'sandbox' | 'member';
  /** Text; null exactly for `single`. */
  readonly sandboxId: string | null;
}

// --- process

export interface ProcessConfig {
  readonly terminal: boolean;
  readonly consoleSize: ConsoleSize | null;
  readonly user: UserConfig;
  /** At least one. */
  readonly args: readonly string[];
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** Absolute, inside. */
  readonly cwd: string;
  /** null: none for the container's own process, those of the container for a further one. */
  readonly capabilities: CapabilitiesConfig | null;
  /** Each resource at most once; empty for a further process: those of the container. */
  readonly rlimits: readonly RlimitConfig[];
  readonly noNewPrivileges: boolean;
  /** -1000 to 1000. */
  readonly oomScoreAdj: number | null;
}

/** In characters. */
export interface ConsoleSize {
  readonly width: number;
  readonly height: number;
}

export interface UserConfig {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits. */
  readonly umask: number | null;
  readonly additionalGids: readonly number[];
}

export interface CapabilitiesConfig {
  readonly bounding: CapabilitySet;
  readonly effective: CapabilitySet;
  readonly inheritable: CapabilitySet;
  readonly permitted: CapabilitySet;
  readonly ambient: CapabilitySet;
}

/** `resource` is an RLIMIT_* number; RLIM_INFINITY is `Infinity`, as in ResourceLimits. */
export interface RlimitConfig {
  readonly resource: number;
  readonly soft: number;
  readonly hard: number;
}

// --- mounts

export type MountType = 'bind' | 'tmpfs' | 'proc' | 'sysfs' | 'devpts' | 'mqueue' | 'cgroup';

export interface MountConfig {
  /** Absolute, inside, without `.`, `..` and double slashes; symbolic links in it are still to be resolved beneath the root. */
  readonly destination: string;
  /** `cgroup` also for `cgroup2`. */
  readonly type: MountType;
  /** bind: absolute host path. Others: the name that /proc/PID/mounts shows. */
  readonly source: string;
  /** MS_* bits to set, with MS_BIND and MS_REC for `bind` and `rbind`. */
  readonly flags: number;
  /** MS_* bits that an option takes back (`rw`, `suid`, …): a bind mount loses them if its source has them. No bit is in both. */
  readonly clearedFlags: number;
  /** The same for everything below a recursive bind mount (`rro`, `rnosuid`, …). */
  readonly recursiveFlags: number;
  readonly recursiveClearedFlags: number;
  /** Each is MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, with MS_REC where asked for; in order. */
  readonly propagation: readonly number[];
  /** What is left for the file system: comma-separated, such as `mode=755,size=64k`. */
  readonly data: string;
  /** `tmpcopyup`: a tmpfs starts with a copy of what the root has at the destination. */
  readonly copyUp: boolean;
}

// --- hooks

export const HOOK_KINDS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const;
export type HookKind = (typeof HOOK_KINDS)[number];
export type HooksConfig = Readonly<Record<HookKind, readonly HookConfig[]>>;

export interface HookConfig {
  /** Absolute: on the host, for startContainer inside. */
  readonly path: string;
  /** With the name of the program as the first; never empty. */
  readonly args: readonly string[];
  /** null: the configuration has no `env`. */
  readonly env: readonly string[] | null;
  readonly timeoutMs: number | null;
}

// --- linux

export const NAMESPACE_TYPES = ['pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup', 'time'] as const;
export type NamespaceType = (typeof NAMESPACE_TYPES)[number];

/** `path`: absolute host path of an existing one to join; null: a new one. */
export interface NamespaceConfig {
  readonly path: string | null;
}

export interface LinuxConfig {
  /** null: not listed, which means that of the runtime's caller. */
  readonly namespaces: Readonly<Record<NamespaceType, NamespaceConfig | null>>;
  /** Empty where there is no user namespace. */
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
  readonly devices: readonly DeviceConfig[];
  /** As given: absolute, relative or `slice:prefix:name` (--systemd-cgroup); null: the runtime's choice. */
  readonly cgroupsPath: string | null;
  readonly resources: ResourcesConfig;
  /** Names with dots; values as given. In the order of the file. */
  readonly sysctl: readonly SysctlConfig[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, perhaps with MS_REC. */
  readonly rootfsPropagation: number | null;
  readonly seccomp: SeccompConfig | null;
  /** Domain for personality(2): PER_LINUX (0) or PER_LINUX32 (8). */
  readonly personality: number | null;
}

/** `size` ids from `containerID` inside are those from `hostID` on the host. */
export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface SysctlConfig {
  readonly name: string;
  readonly value: string;
}

export interface DeviceConfig {
  /** Absolute, inside. */
  readonly path: string;
  readonly type: 'c' | 'b' | 'p';
  readonly major: number;
  readonly minor: number;
  /** Permission bits; 0o666 by default. */
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

// --- resources (also the form of `update --resources`)

export interface ResourcesConfig {
  readonly devices: readonly DeviceRule[];
  readonly memory: MemoryConfig;
  readonly cpu: CpuConfig;
  /** Tasks; -1: no limit. */
  readonly pidsLimit: number | null;
  readonly blockIO: BlockIoConfig;
  readonly hugepageLimits: readonly HugepageLimit[];
  /** Files of cgroup v2 and what is written to them. */
  readonly unified: Readonly<Record<string, string>>;
}

/** A rule of the device controller: null is any number; `a` any type. */
export interface DeviceRule {
  readonly allow: boolean;
  readonly type: 'a' | 'c' | 'b';
  readonly major: number | null;
  readonly minor: number | null;
  /** Some of `rwm`. */
  readonly access: string;
}

/** Bytes; -1: no limit. */
export interface MemoryConfig {
  readonly limit: number | null;
  readonly reservation: number | null;
  /** Memory and swap together. */
  readonly swap: number | null;
  /** 0 to 100. */
  readonly swappiness: number | null;
  readonly disableOOMKiller: boolean;
  readonly checkBeforeUpdate: boolean;
}

/** Times in microseconds; -1: no limit. */
export interface CpuConfig {
  /** Relative weight of cgroup v1, 1024 is the usual one. */
  readonly shares: number | null;
  readonly quota: number | null;
  readonly burst: number | null;
  readonly period: number | null;
  readonly realtimeRuntime: number | null;
  readonly realtimePeriod: number | null;
  /** Lists such as `0-3,5`. */
  readonly cpus: string | null;
  readonly mems: string | null;
  /** 0 or 1 (SCHED_IDLE). */
  readonly idle: number | null;
}

export interface BlockIoConfig {
  readonly weight: number | null;
  readonly leafWeight: number | null;
  readonly weightDevice: readonly WeightDevice[];
  readonly throttleReadBpsDevice: readonly ThrottleDevice[];
  readonly throttleWriteBpsDevice: readonly ThrottleDevice[];
  readonly throttleReadIOPSDevice: readonly ThrottleDevice[];
  readonly throttleWriteIOPSDevice: readonly ThrottleDevice[];
}

export interface WeightDevice {
  readonly major: number;
  readonly minor: number;
  readonly weight: number | null;
  readonly leafWeight: number | null;
}

/** `rate`: bytes or operations per second. */
export interface ThrottleDevice {
  readonly major: number;
  readonly minor: number;
  readonly rate: number;
}

export interface HugepageLimit {
  /** Such as `2MB`. */
  readonly pageSize: string;
  readonly limit: number;
}

// --- seccomp

export const SECCOMP_ACTIONS = [
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_LOG',
  'SCMP_ACT_NOTIFY',
] as const;
export type SeccompAction = (typeof SECCOMP_ACTIONS)[number];

export const SECCOMP_OPERATORS = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
] as const;
export type SeccompOperator = (typeof SECCOMP_OPERATORS)[number];

export interface SeccompConfig {
  readonly defaultAction: SeccompAction;
  readonly defaultErrnoRet: number | null;
  /** SCMP_ARCH_*; those other than the guest's concern nobody. */
  readonly architectures: readonly string[];
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: readonly string[];
  /** Host path of the socket to which SCMP_ACT_NOTIFY's descriptor would go. */
  readonly listenerPath: string | null;
  readonly listenerMetadata: string | null;
  readonly syscalls: readonly SeccompRule[];
}

export interface SeccompRule {
  /** Names of system calls; unknown ones are skipped by the compiler. */
  readonly names: readonly string[];
  readonly action: SeccompAction;
  readonly errnoRet: number | null;
  /** All must hold. */
  readonly args: readonly SeccompArgument[];
}

export interface SeccompArgument {
  /** 0 to 5. */
  readonly index: number;
  readonly value: Wide;
  /** For SCMP_CMP_MASKED_EQ: `value` is the mask and this what remains. */
  readonly valueTwo: Wide;
  readonly op: SeccompOperator;
}

/** 64 bits as two unsigned words. */
export interface Wide {
  readonly low: number;
  readonly high: number;
}
