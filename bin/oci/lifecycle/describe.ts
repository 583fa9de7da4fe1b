/** A container as `state` and `list` show it: the fields of the specification's state, and those that runc adds. */
import type { KnownContainer } from './known-container.ts';
import type { Status } from './state-machine.ts';

export interface ContainerDescription {
  readonly ociVersion: string;
  readonly id: string;
  /** 0 when it has stopped. */
  readonly pid: number;
  readonly status: Status;
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner: string;
  /** Where there are any: what clients that give no --log would not hear of. */
  readonly warnings?: readonly string[];
}

export function describeContainer(container: KnownContainer): ContainerDescription {
  const { status } = container;
  const { ociVersion, id, process, bundle, rootfs, created, annotations, owner, warnings = [] } = container.record;
  return {
    ociVersion,
    id,
    pid: status === 'stopped' ? 0 : process.pid,
    status,
    bundle,
    rootfs,
    created,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    owner,
    ...(warnings.length === 0 ? {} : { warnings }),
  };
}
