/**
 * What the runtime supports, as the specification wants it told (features.md, features-linux.md). Clients ask before they use an option: containerd
 * for recursive read-only mounts and id-mapped mounts, for example. Names come from the tables that the configuration is read with.
 */
import { CAPABILITY_NAMES } from './config/capability-names.ts';
import { knownMountOptions } from './config/mount-flags.ts';
import { KNOWN_SECCOMP_FLAGS } from './config/seccomp.ts';
import { HOOK_KINDS, NAMESPACE_TYPES, SECCOMP_ACTIONS, SECCOMP_OPERATORS } from './config/types.ts';
import { OCI_VERSION, OCI_VERSION_MIN } from './spec-version.ts';

const NOT_SUPPORTED = { enabled: false };

export function ociFeatures(version: string): object {
  return {
    ociVersionMin: OCI_VERSION_MIN,
    ociVersionMax: OCI_VERSION,
    hooks: HOOK_KINDS,
    mountOptions: knownMountOptions(),
    linux: {
      namespaces: NAMESPACE_TYPES.toSorted(),
      capabilities: CAPABILITY_NAMES,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: false },
      seccomp: {
        enabled: true,
        // Nobody outside can answer a guest's system calls.
        actions: SECCOMP_ACTIONS.filter((action) => action !== 'SCMP_ACT_NOTIFY'),
        operators: SECCOMP_OPERATORS,
        archs: ['SCMP_ARCH_X86_64'],
        knownFlags: KNOWN_SECCOMP_FLAGS,
        supportedFlags: KNOWN_SECCOMP_FLAGS,
      },
      apparmor: NOT_SUPPORTED,
      selinux: NOT_SUPPORTED,
      intelRdt: NOT_SUPPORTED,
      mountExtensions: { idmap: NOT_SUPPORTED },
      netDevices: NOT_SUPPORTED,
    },
    annotations: { 'dev.tsvisor.version': version },
    potentiallyUnsafeConfigAnnotations: ['dev.tsvisor.'],
  };
}
