/** POSIX message queues: order, what is charged and given back, limits, and the mounted file system. */
import { describe, expect, test } from 'vitest';
import { BUFFER, FileWorld, PATH2 } from '../../test/unit/file-world.ts';
import { EAGAIN, EINVAL, EMFILE, ENOENT, ENOSPC } from '#sentry/abi/errno.ts';
import { O_CREAT, O_NONBLOCK, O_RDWR } from '#sentry/abi/fs.ts';
import { MqAttr } from '#sentry/abi/mqueue.ts';
import { RLIMIT_MSGQUEUE } from '#sentry/abi/resource.ts';
import { MessageList } from '../fs/mqueue/message-list.ts';
import type { Task } from '../kernel/task.ts';

class World extends FileWorld {
  queue(task: Task, name: string, flags = O_RDWR | O_CREAT | O_NONBLOCK, mode = 0o600): number {
    return this.now(task, 'mq_open', this.path(task, name), flags, mode, 0);
  }

  sized(task: Task, name: string, maxmsg: number, msgsize: number): number {
    const { cell } = this.kernel;
    MqAttr.encode(cell.view, 0, { flags: 0, maxmsg, msgsize, curmsgs: 0, reserved1: 0, reserved2: 0, reserved3: 0, reserved4: 0 });
    task.memory.copyOut(PATH2, cell, 0, MqAttr.size);
    return this.now(task, 'mq_open', this.path(task, name), O_RDWR | O_CREAT | O_NONBLOCK, 0o600, PATH2);
  }

  send(task: Task, queue: number, length: number, priority: number): number {
    return this.now(task, 'mq_timedsend', queue, BUFFER, length, priority, 0);
  }
}

describe('a list of messages', () => {
  test('gives the highest priority first, and equals in their order', () => {
    const list = new MessageList();
    const model: { priority: number; text: Uint8Array }[] = [];
    let seed = 7;
    const random = (below: number): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff) % below;
    const add = (): null => {
      const message = { priority: random(40), text: new Uint8Array(random(9)) };
      list.add(message);
      const behind = model.findIndex(({ priority }) => priority < message.priority);
      model.splice(behind < 0 ? model.length : behind, 0, message);
      return null;
    };
    for (let step = 0; step < 5000; step++) {
      const adds = random(5) < 3;
      expect(adds ? add() : list.take()).toBe(adds ? null : (model.shift() ?? null));
      expect(list.length).toBe(model.length);
      expect(list.bytes).toBe(model.reduce((sum, { text }) => sum + text.length, 0));
    }
  });
});

describe('queues', () => {
  test('are charged by what waits in them, and freed with the last descriptor', () => {
    const world = new World();
    const task = world.process();
    const before = world.kernel.memoryBudget.used;
    const queue = world.queue(task, 'a');
    for (let i = 0; i < 10; i++) expect(world.send(task, queue, 8000, i)).toBe(0);
    expect(world.send(task, queue, 1, 0)).toBe(-EAGAIN);
    expect(world.kernel.memoryBudget.used).toBeGreaterThan(before + 80_000);
    expect(world.now(task, 'mq_timedreceive', queue, BUFFER, 8192, 0, 0)).toBe(8000);
    expect(world.now(task, 'mq_unlink', world.path(task, 'a'))).toBe(0);
    expect(world.kernel.memoryBudget.used).toBeGreaterThan(before + 70_000);
    world.now(task, 'close', queue);
    expect(world.kernel.memoryBudget.used).toBe(before);
    expect(world.now(task, 'mq_unlink', world.path(task, 'a'))).toBe(-ENOENT);
  });

  test('count against the limits of their maker', () => {
    const world = new World();
    const task = world.process(null, 1000);
    expect(world.sized(task, 'a', 11, 100)).toBe(-EINVAL);
    expect(world.sized(task, 'a', 2 ** 50, 2 ** 50)).toBe(-EINVAL);
    task.group.limits.set(RLIMIT_MSGQUEUE, 1960, 1960);
    const queue = world.sized(task, 'a', 10, 100);
    expect(queue).toBeGreaterThanOrEqual(0);
    expect(world.sized(task, 'b', 1, 1)).toBe(-EMFILE);
    world.now(task, 'close', queue);
    expect(world.sized(task, 'b', 1, 1)).toBe(-EMFILE);
    expect(world.now(task, 'mq_unlink', world.path(task, 'a'))).toBe(0);
    expect(world.sized(task, 'b', 1, 1)).toBe(queue);
    world.kernel.ipc.mqueueLimits.queues_max = 1;
    expect(world.sized(task, 'c', 1, 1)).toBe(-ENOSPC);
  });
});
