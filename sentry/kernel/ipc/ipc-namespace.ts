/**
 * The System V IPC objects and POSIX message queues that tasks of a sandbox share (Linux ipc_namespace, ipc_namespaces(7)): one for each kernel. Containers of a pod
 * share it, as they do in Kubernetes.
 */
import type { Host } from '#platform/contract/host.ts';
import { MqueueFileSystem } from '../../fs/mqueue/mqueue-file-system.ts';
import { MqueueLimits } from '../../fs/mqueue/mqueue-limits.ts';
import type { MemoryBudget } from '../../mm/memory-budget.ts';
import type { Vfs } from '../../vfs/vfs.ts';
import { IpcClock } from './ipc-clock.ts';
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
  readonly mqueueLimits = new MqueueLimits();
  private readonly host: Host;
  private readonly memory: IpcMemory;
  private mqueue: MqueueFileSystem | null = null;

  constructor(host: Host, budget: MemoryBudget) {
    const clock = new IpcClock(host);
    const memory = new IpcMemory(budget);
    this.host = host;
    this.memory = memory;
    this.shm = new SharedMemorySegments(this.limits, clock);
    this.sem = new Semaphores(this.limits, clock, memory);
    this.msg = new MessageQueues(this.limits, clock, memory);
  }

  /** The POSIX message queues, as the file system they are. It gets its device number where it is asked for first. */
  messageQueues(vfs: Pick<Vfs, 'allocateDevice'>): MqueueFileSystem {
    this.mqueue ??= new MqueueFileSystem(vfs.allocateDevice(), this.host, this.mqueueLimits, this.memory);
    return this.mqueue;
  }
}
