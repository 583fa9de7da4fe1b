/**
 * The System V IPC objects that tasks of a sandbox share (Linux ipc_namespace, ipc_namespaces(7)): one for each kernel. Containers of a pod
 * share it, as they do in Kubernetes.
 */
import { IpcLimits } from './ipc-limits.ts';
import { SharedMemorySegments } from './shared-memory.ts';
import type { RealTime } from './shared-memory.ts';

export class IpcNamespace {
  readonly limits = new IpcLimits();
  readonly shm: SharedMemorySegments;

  constructor(clock: RealTime) {
    this.shm = new SharedMemorySegments(this.limits, clock);
  }
}
