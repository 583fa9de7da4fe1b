/** Message queues: what messages cost and when that is given back; what is told of a type that no double holds. */
import { describe, expect, test } from 'vitest';
import { BUFFER, FileWorld } from '../../test/unit/file-world.ts';
import { ENOMEM, ENOMSG } from '#sentry/abi/errno.ts';
import { IPC_NOWAIT, IPC_PRIVATE, IPC_RMID } from '#sentry/abi/ipc.ts';
import { IPC_MEMORY_MAX } from '../limits.ts';
import type { Task } from '../kernel/task.ts';

function send(world: FileWorld, task: Task, id: number, low: number, high: number, length: number): number {
  world.kernel.cell.view.setUint32(0, low, true);
  world.kernel.cell.view.setUint32(4, high, true);
  task.memory.copyOut(BUFFER, world.kernel.cell, 0, 8);
  return world.now(task, 'msgsnd', id, BUFFER, length, IPC_NOWAIT);
}

describe('messages', () => {
  test('are charged while they wait', () => {
    const world = new FileWorld();
    const task = world.process();
    const before = world.kernel.memoryBudget.used;
    const id = world.now(task, 'msgget', IPC_PRIVATE, 0o600);
    const empty = world.kernel.memoryBudget.used;
    expect(send(world, task, id, 1, 0, 5000)).toBe(0);
    expect(send(world, task, id, 2, 0, 0)).toBe(0);
    expect(world.kernel.memoryBudget.used).toBeGreaterThan(empty + 5000);
    expect(world.now(task, 'msgrcv', id, BUFFER, 5000, 0, IPC_NOWAIT)).toBe(5000);
    expect(world.now(task, 'msgrcv', id, BUFFER, 5000, 0, IPC_NOWAIT)).toBe(0);
    expect(world.now(task, 'msgrcv', id, BUFFER, 5000, 0, IPC_NOWAIT)).toBe(-ENOMSG);
    expect(world.kernel.memoryBudget.used).toBe(empty);
    expect(send(world, task, id, 1, 0, 5000)).toBe(0);
    expect(world.now(task, 'msgctl', id, IPC_RMID, 0)).toBe(0);
    expect(world.kernel.memoryBudget.used).toBe(before);
  });

  test('are refused beyond what the sentry holds', () => {
    const world = new FileWorld();
    const task = world.process();
    let sent = 0;
    let result = 0;
    while (result === 0) {
      const id = world.now(task, 'msgget', IPC_PRIVATE, 0o600);
      for (let i = 0; i < 2 && result === 0; i++, sent++) result = id < 0 ? id : send(world, task, id, 1, 0, 8192);
    }
    expect(result).toBe(-ENOMEM);
    expect(sent * 8192).toBeLessThan(IPC_MEMORY_MAX);
    expect(sent * 8192).toBeGreaterThan(IPC_MEMORY_MAX * 0.9);
  });

  test('keep all bits of their type', () => {
    const world = new FileWorld();
    const task = world.process();
    const id = world.now(task, 'msgget', IPC_PRIVATE, 0o600);
    expect(send(world, task, id, 0xffff_fffd, 0x7fff_ffff, 1)).toBe(0);
    expect(world.now(task, 'msgrcv', id, BUFFER, 1, 0, IPC_NOWAIT)).toBe(1);
    expect([task.memory.loadU32(BUFFER), task.memory.loadU32(BUFFER + 4)]).toEqual([0xffff_fffd, 0x7fff_ffff]);
  });
});
