/**
 * What is known of a container on the host: `state.json` in its directory. It holds what does not change; whether the container was started, or is
 * paused, only its sentry knows (bin/oci/control), and it has stopped when its process is gone. So a crash of any process leaves nothing untrue.
 */
import type { CgroupState } from '../cgroups/host-cgroup.ts';
import type { HooksConfig } from '../config/types.ts';
import type { ProcessIdentity } from './process-identity.ts';

export const RECORD_VERSION = 1;

export interface ContainerRecord {
  readonly version: typeof RECORD_VERSION;
  readonly ociVersion: string;
  readonly id: string;
  /** The container's process, as the host sees it: the sentry, or the stand-in of a later container of a pod. */
  readonly process: ProcessIdentity;
  /** The container whose sentry runs this one: its own id, or that of its pod's first. */
  readonly sandbox: string;
  /** The starter's process: who tidies up when this one fails. */
  readonly starter: number;
  /** Absolute host paths, text. */
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
  /** Name or number of the user. */
  readonly owner: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** null where there is none. */
  readonly cgroup: CgroupState | null;
  readonly hooks: HooksConfig;
  /** What the container does not get, or gets otherwise than asked for, as far as it was known when this was written. */
  readonly warnings?: readonly string[];
  /** `run` without --detach: nobody will delete it but its starter. */
  readonly attended: boolean;
}
