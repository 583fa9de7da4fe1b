/**
 * The `linux` part: namespaces, mappings, devices, sysctls, paths to hide (config-linux.md). What concerns several fields at once is in
 * consistency.ts.
 */
import { MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE } from '#sentry/abi/mount.ts';
import { toBytes } from '../../byte-text.ts';
import { ID_MAPPINGS_MAX } from './limits.ts';
import { cleanPath } from './mounts.ts';
import {
  absolutePath,
  bytes,
  defaulted,
  dictionary,
  ignored,
  integer,
  list,
  named,
  object,
  oneOf,
  optional,
  refused,
  required,
  text,
  uint32,
} from './reader.ts';
import type { Reader } from './reader.ts';
import { resources } from './resources.ts';
import { seccomp } from './seccomp.ts';
import { NAMESPACE_TYPES } from './types.ts';
import type { DeviceConfig, IdMapping, LinuxConfig, NamespaceConfig, NamespaceType, SysctlConfig } from './types.ts';

const MODE_BITS = 0o7777;
/** Beyond these a device number does not fit Linux's 12 and 20 bits. */
const MAJOR_MAX = 0xfff;
const MINOR_MAX = 0xf_ffff;
const DEVICE_MODE = 0o666;
const PER_LINUX = 0;
const PER_LINUX32 = 8;
const MAPPED_IDS_MAX = 2 ** 32 - 1;

// --- namespaces

const namespace = object({ type: required(oneOf(NAMESPACE_TYPES)), path: optional(bytes, '') });

const namespaces: Reader<LinuxConfig['namespaces']> = (value, place) => {
  const listed: Record<NamespaceType, NamespaceConfig | null> = {
    pid: null,
    network: null,
    mount: null,
    ipc: null,
    uts: null,
    user: null,
    cgroup: null,
    time: null,
  };
  list(namespace)(value, place).forEach(({ type, path }, index) => {
    if (listed[type] !== null) place.at(index).at('type').fail(`must not be listed twice: ${type}`);
    if (path !== '' && !path.startsWith('/')) place.at(index).at('path').fail('must be an absolute path');
    listed[type] = { path: path || null };
  });
  return listed;
};

// --- identifiers

const mapping = object({ containerID: required(uint32), hostID: required(uint32), size: required(integer(1, MAPPED_IDS_MAX)) });

const mappings: Reader<IdMapping[]> = (value, place) => {
  const extents = list(mapping)(value, place);
  if (extents.length > ID_MAPPINGS_MAX) place.fail(`has ${extents.length} entries; Linux takes ${ID_MAPPINGS_MAX}`);
  extents.forEach((extent, index) => {
    for (const side of ['containerID', 'hostID'] as const) {
      if (extent[side] + extent.size > MAPPED_IDS_MAX + 1) place.at(index).fail('reaches beyond the largest identifier');
      const other = extents.findIndex((earlier, i) => i < index && overlap(earlier, extent, side));
      if (other >= 0) place.at(index).at(side).fail(`overlaps with [${other}]`);
    }
  });
  return extents;
};

function overlap(a: IdMapping, b: IdMapping, side: 'containerID' | 'hostID'): boolean {
  return a[side] < b[side] + b.size && b[side] < a[side] + a.size;
}

// --- devices

const mode: Reader<number> = (value, place) => uint32(value, place) & MODE_BITS;

const deviceFields = object({
  path: required(absolutePath),
  type: required(named<DeviceConfig['type']>({ c: 'c', u: 'c', b: 'b', p: 'p' })),
  major: optional(integer(0, MAJOR_MAX), 0),
  minor: optional(integer(0, MINOR_MAX), 0),
  fileMode: optional(mode, DEVICE_MODE),
  uid: optional(uint32, 0),
  gid: optional(uint32, 0),
});

const device: Reader<DeviceConfig> = (value, place) => {
  const read = deviceFields(value, place);
  return { ...read, path: cleanPath(read.path) };
};

// --- the rest

/** `net/ipv4/conf/eth0.1/mtu` is `net.ipv4.conf.eth0/1.mtu`: sysctl(8). */
function dotted(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first !== '/') return name;
  return name.replaceAll(/[./]/g, (separator) => (separator === '.' ? '/' : '.'));
}

const sysctl: Reader<SysctlConfig[]> = (value, place) =>
  dictionary(text)(value, place).map(([given, setting]) => {
    const name = dotted(given);
    if (!/^\w[\w/:@-]*(\.[\w/:@-]+)+$/.test(name) || name.split(/[./]/).includes('')) place.at(given).fail('is not the name of a sysctl');
    return { name: toBytes(name), value: toBytes(setting) };
  });

/** Go's decoder accepts these as absent too, and several clients write them so. */
const propagation: Reader<number | null> = named({
  '': null,
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  rshared: MS_SHARED | MS_REC,
  rslave: MS_SLAVE | MS_REC,
  runbindable: MS_UNBINDABLE | MS_REC,
  shared: MS_SHARED,
  slave: MS_SLAVE,
  unbindable: MS_UNBINDABLE,
});

const personality = object({
  domain: required(named({ LINUX: PER_LINUX, LINUX32: PER_LINUX32 })),
  flags: ignored('is ignored: the specification defines no flag'),
});

const paths = optional(list(absolutePath), []);

const LABEL = 'is not applied: the files of the sandbox have no labels of the host';

const fields = object({
  namespaces: optional(namespaces, null),
  uidMappings: optional(mappings, []),
  gidMappings: optional(mappings, []),
  timeOffsets: refused('is not supported: the clocks of a sandbox are those of the host'),
  devices: optional(list(device), []),
  netDevices: refused('is not supported: network devices are not moved; give a network namespace that has them'),
  cgroupsPath: optional(bytes, ''),
  resources: defaulted(resources),
  rootfsPropagation: optional(propagation, null),
  seccomp: optional(seccomp, null),
  sysctl: optional(sysctl, []),
  maskedPaths: paths,
  readonlyPaths: paths,
  mountLabel: ignored(LABEL),
  intelRdt: refused('is not supported: the sandbox cannot reserve cache or memory bandwidth'),
  memoryPolicy: ignored('has no effect: the sandbox places the memory of its guests itself'),
  personality: optional(personality, null),
});

export const linux: Reader<LinuxConfig> = (value, place) => {
  const read = fields(value, place);
  return {
    ...read,
    namespaces: read.namespaces ?? namespaces([], place),
    cgroupsPath: read.cgroupsPath || null,
    personality: read.personality?.domain ?? null,
  };
};
