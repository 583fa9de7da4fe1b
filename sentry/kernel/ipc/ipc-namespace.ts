/**
 * The System V IPC objects that tasks of a sandbox share (Linux ipc_namespace, ipc_namespaces(7)): one for each kernel. Containers of a pod
 * share it, as they do in Kubernetes.
 */
import type { MemoryBudget } from '../../mm/memory-budget.ts';
import { IpcClock } from './ipc-clock.ts';
import type { RealTime } from './ipc-clock.ts';
import { IpcLimits } from './ipc-limits.ts';
import { IpcMemory } from './ipc-memory.ts';
import { MessageQueues } from './message-queues.ts';
import { Semaphores } from './semaphores.ts';
import { SharedMemorySegments } from './shared-memory.ts';

export class IpcNamespace {
  readonly limits = new IpcLimits();
  readonly shm: SharedMemorySegments;
  readonly sem: Semaphores;
  readonly msg: MessageQueues;

  constructor(realTime: RealTime, budget: MemoryBudget) {
    const clock = new IpcClock(realTime);
    const memory = new IpcMemory(budget);
    this.shm = new SharedMemorySegments(this.limits, clock);
    this.sem = new Semaphores(this.limits, clock, memory);
    this.msg = new MessageQueues(this.limits, clock, memory);
  }
}
