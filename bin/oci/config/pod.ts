/**
 * Pods: implementations of Kubernetes' container runtime interface tell by annotations which container is the sandbox of a pod and which
 * ones join it. containerd and CRI-O each have their own names; podman uses CRI-O's, newer versions without the type. A sandbox that does not
 * exist is possible (a podman pod without an infra container names the pod): such a container is alone.
 */
import type { Place } from './reader.ts';
import type { PodConfig } from './types.ts';

const DIALECTS = [
  { type: 'io.kubernetes.cri.container-type', sandbox: 'io.kubernetes.cri.sandbox-id' },
  { type: 'io.kubernetes.cri-o.ContainerType', sandbox: 'io.kubernetes.cri-o.SandboxID' },
] as const;

const ALONE: PodConfig = { role: 'single', sandboxId: null };

export function readPod(annotations: Readonly<Record<string, string>>, place: Place): PodConfig {
  for (const { type, sandbox } of DIALECTS) {
    const role = own(annotations, type);
    const sandboxId = own(annotations, sandbox) ?? '';
    if (role === undefined && sandboxId === '') continue;
    if (role !== undefined && role !== 'sandbox' && role !== 'container') {
      place.at(type).fail(`must be sandbox or container, not ${JSON.stringify(role)}`);
    }
    if (sandboxId === '') return place.at(sandbox).fail(`is missing, but ${type} says ${role}`);
    return { role: role === 'sandbox' ? 'sandbox' : 'member', sandboxId };
  }
  return ALONE;
}

function own(record: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
