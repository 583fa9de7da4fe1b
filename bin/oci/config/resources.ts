/**
 * Control group limits: config-linux.md "Control groups", also what `update --resources FILE` holds. Values are kept as they are; what a
 * hierarchy makes of them is the business of bin/oci/cgroups.
 */
import {
  defaulted,
  dictionary,
  flag,
  ignored,
  int64,
  integer,
  list,
  named,
  object,
  optional,
  required,
  shown,
  text,
  uint64,
} from './reader.ts';
import type { Place, Reader } from './reader.ts';
import type { DeviceRule, ResourcesConfig } from './types.ts';

const SWAPPINESS_MAX = 100;
const WEIGHT_MAX = 0xffff;

/** Linux writes -1 for "any"; so do clients. */
const anyNumber: Reader<number | null> = (value, place) => (value === -1 ? null : integer(0, 0xffff_ffff)(value, place));

const access: Reader<string> = (value, place) => {
  const read = text(value, place);
  if (!/^[rwm]+$/.test(read)) place.fail(`must be some of the letters r, w and m, not ${shown(value)}`);
  return read;
};

const deviceRule: Reader<DeviceRule> = object({
  allow: optional(flag, false),
  type: optional(named<DeviceRule['type']>({ '': 'a', a: 'a', c: 'c', u: 'c', b: 'b' }), 'a'),
  major: optional(anyNumber, null),
  minor: optional(anyNumber, null),
  access: required(access),
});

const memory = object({
  limit: optional(int64, null),
  reservation: optional(int64, null),
  swap: optional(int64, null),
  kernel: ignored('is ignored: Linux has no limit for kernel memory any more'),
  kernelTCP: ignored('is ignored: the sandbox has a network stack of its own'),
  swappiness: optional(integer(0, SWAPPINESS_MAX), null),
  disableOOMKiller: optional(flag, false),
  useHierarchy: optional(flag, false),
  checkBeforeUpdate: optional(flag, false),
});

const cpuList: Reader<string | null> = (value, place) => {
  const read = text(value, place).trim();
  if (!/^(\d+(-\d+)?(,\d+(-\d+)?)*)?$/.test(read)) place.fail(`must be a list such as 0-3,5, not ${shown(value)}`);
  return read === '' ? null : read;
};

const cpu = object({
  shares: optional(uint64, null),
  quota: optional(int64, null),
  burst: optional(uint64, null),
  period: optional(uint64, null),
  realtimeRuntime: optional(int64, null),
  realtimePeriod: optional(uint64, null),
  cpus: optional(cpuList, null),
  mems: optional(cpuList, null),
  idle: optional(integer(0, 1), null),
});

const number = { major: required(integer(0, 0xffff_ffff)), minor: required(integer(0, 0xffff_ffff)) };
const weight = optional(integer(0, WEIGHT_MAX), null);
const throttles = optional(list(object({ ...number, rate: required(uint64) })), []);

const blockIO = object({
  weight,
  leafWeight: weight,
  weightDevice: optional(list(object({ ...number, weight, leafWeight: weight })), []),
  throttleReadBpsDevice: throttles,
  throttleWriteBpsDevice: throttles,
  throttleReadIOPSDevice: throttles,
  throttleWriteIOPSDevice: throttles,
});

const pageSize: Reader<string> = (value, place) => {
  const read = text(value, place);
  if (!/^[1-9]\d*[KMG]B$/.test(read)) place.fail(`must be a size such as 2MB, not ${shown(value)}`);
  return read;
};

/** Names of files of cgroup v2: nothing that leads out of the group. */
function unifiedNames(entries: readonly [string, string][], place: Place): Record<string, string> {
  for (const [name] of entries)
    if (!/^[a-z0-9_]+(\.[\w-]+)+$/i.test(name)) place.at(name).fail('is not the name of a control group file, such as memory.high');
  return Object.fromEntries(entries);
}

const unified: Reader<Record<string, string>> = (value, place) => unifiedNames(dictionary(text)(value, place), place);

const fields = object({
  devices: optional(list(deviceRule), []),
  memory: defaulted(memory),
  cpu: defaulted(cpu),
  pids: defaulted(object({ limit: optional(int64, null) })),
  blockIO: defaulted(blockIO),
  hugepageLimits: optional(list(object({ pageSize: required(pageSize), limit: required(uint64) })), []),
  network: ignored('is not applied: packets of the sandbox carry no class or priority of the host'),
  rdma: ignored('is not applied: the sandbox has no RDMA devices'),
  unified: optional(unified, {}),
});

export const resources: Reader<ResourcesConfig> = (value, place) => {
  const { pids, ...rest } = fields(value, place);
  return { ...rest, pidsLimit: pids.limit };
};
