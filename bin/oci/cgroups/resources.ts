/**
 * `linux.resources` where nothing is said, as a base for configurations made of flags; and what a configuration becomes on the host.
 * Spec: OCI runtime specification, config-linux.md, "Control groups".
 */
import type { ResourcesConfig } from '../config/types.ts';

export const NO_RESOURCES: ResourcesConfig = {
  devices: [],
  memory: { limit: null, reservation: null, swap: null, swappiness: null, disableOOMKiller: false, checkBeforeUpdate: false },
  cpu: {
    shares: null,
    quota: null,
    burst: null,
    period: null,
    realtimeRuntime: null,
    realtimePeriod: null,
    cpus: null,
    mems: null,
    idle: null,
  },
  pidsLimit: null,
  blockIO: {
    weight: null,
    leafWeight: null,
    weightDevice: [],
    throttleReadBpsDevice: [],
    throttleWriteBpsDevice: [],
    throttleReadIOPSDevice: [],
    throttleWriteIOPSDevice: [],
  },
  hugepageLimits: [],
  unified: {},
};

/** One file of a cgroup and what it is to hold. */
export interface Setting {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  /** The field of config.json it comes from, for messages. */
  readonly field: string;
}
