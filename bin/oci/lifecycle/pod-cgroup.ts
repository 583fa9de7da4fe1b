/** The host's limits of a pod's sandbox, after a container has joined it or was updated. */
import { UserError } from '../../errors.ts';
import { HostCgroup } from '../cgroups/host-cgroup.ts';
import type { PodReply } from '../control/protocol.ts';
import type { KnownContainer } from './known-container.ts';

/** `reply`: what the sentry says that the pod may use. A sandbox that cannot have it goes on as it is, and `warn` is told. */
export function applyPodLimits({ record }: KnownContainer, { pod }: PodReply, warn: (sentence: string) => void): void {
  if (pod === null || record.cgroup === null) return;
  try {
    HostCgroup.fromState(record.cgroup).update(pod, warn);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    warn(`the pod's sandbox ${record.id} keeps its limits: ${error.message}`);
  }
}
