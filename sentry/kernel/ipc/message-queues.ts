/**
 * The message queues of an IPC namespace: making, finding, counting and removing them, and the memory of messages. message-queue.ts is one
 * queue, the calls are in syscalls/msg.ts.
 *
 * Spec: msgget(2), msgctl(2); Linux ipc/msg.c.
 */
import { EIDRM, ENOMEM, ENOSPC } from '#sentry/abi/errno.ts';
import type { Task } from '../task.ts';
import type { IpcClock } from './ipc-clock.ts';
import type { IpcLimits } from './ipc-limits.ts';
import type { IpcMemory } from './ipc-memory.ts';
import { IpcTable } from './ipc-table.ts';
import { MessageQueue } from './message-queue.ts';
import type { Message } from './message-queue.ts';

/** What a queue and a message take beside the text. */
const QUEUE_BYTES = 600;
const MESSAGE_BYTES = 250;

export class MessageQueues {
  readonly table = new IpcTable<MessageQueue>();
  private readonly limits: IpcLimits;
  private readonly clock: IpcClock;
  private readonly memory: IpcMemory;

  constructor(limits: IpcLimits, clock: IpcClock, memory: IpcMemory) {
    this.limits = limits;
    this.clock = clock;
    this.memory = memory;
  }

  /** msgget(2): an id or -errno. */
  get(task: Task, key: number, flags: number): number {
    return this.table.get(
      key,
      flags,
      task.credentials,
      () => 0,
      () => this.make(task, key, flags),
    );
  }

  private make({ credentials }: Task, key: number, flags: number): number {
    const { msgmnb, msgmni } = this.limits;
    if (!this.table.hasRoom(msgmni)) return -ENOSPC;
    if (!this.memory.take(QUEUE_BYTES)) return -ENOMEM;
    const queue = new MessageQueue(key, flags, msgmnb, this.clock, credentials);
    queue.changeTime = this.clock.now;
    return this.table.add(queue, msgmni);
  }

  /** IPC_RMID: everybody who waits for it hears EIDRM. */
  remove(queue: MessageQueue): void {
    for (const message of queue.dismiss(-EIDRM)) this.freeMessage(message);
    this.table.remove(queue);
    this.memory.give(QUEUE_BYTES);
  }

  /** Memory for a message of `bytes`. */
  takeMessage(bytes: number): boolean {
    return this.memory.take(MESSAGE_BYTES + bytes);
  }

  /** The message was received, or never sent. */
  freeMessage({ text }: Message): void {
    this.memory.give(MESSAGE_BYTES + text.length);
  }

  touch(queue: MessageQueue): void {
    queue.changeTime = this.clock.now;
  }
}
