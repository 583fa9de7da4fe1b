/** Semaphore sets: what they cost, what is given back, and that calls are all or nothing. */
import { describe, expect, test } from 'vitest';
import { BUFFER, FileWorld } from '../../test/unit/file-world.ts';
import { EAGAIN, EINVAL, ENOMEM, ERANGE } from '#sentry/abi/errno.ts';
import { GETVAL, IPC_NOWAIT, IPC_PRIVATE, IPC_RMID, SEM_UNDO, Sembuf } from '#sentry/abi/ipc.ts';
import { leaveUndo, shareUndo } from '../kernel/ipc/undo-list.ts';
import type { Task } from '../kernel/task.ts';

type Operation = readonly [num: number, op: number, flags?: number];

class World extends FileWorld {
  operate(task: Task, id: number, ...operations: readonly Operation[]): ReturnType<FileWorld['call']> {
    const memory = this.host.allocate(4096);
    for (const [i, [num, op, flg = 0]] of operations.entries()) Sembuf.encode(memory.view, i * Sembuf.size, { num, op, flg });
    task.memory.copyOut(BUFFER, memory, 0, operations.length * Sembuf.size);
    return this.call(task, 'semop', id, BUFFER, operations.length);
  }

  values(task: Task, id: number, count: number): number[] {
    return Array.from({ length: count }, (_, num) => this.now(task, 'semctl', id, num, GETVAL, 0));
  }
}

describe('semaphores', () => {
  test('are charged, and given back with their adjustments', () => {
    const world = new World();
    const task = world.process();
    const before = world.kernel.memoryBudget.used;
    const id = world.now(task, 'semget', IPC_PRIVATE, 1000, 0o600);
    expect(world.operate(task, id, [7, 3, SEM_UNDO])).toBe(0);
    expect(world.kernel.memoryBudget.used).toBeGreaterThan(before + 8000);
    leaveUndo(task);
    expect(world.values(task, id, 8)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(world.now(task, 'semctl', id, 0, IPC_RMID, 0)).toBe(0);
    expect(world.kernel.memoryBudget.used).toBe(before);
    const gone = world.now(task, 'semget', IPC_PRIVATE, 1000, 0o600);
    expect(world.operate(task, gone, [7, 3, SEM_UNDO])).toBe(0);
    expect(world.now(task, 'semctl', gone, 0, IPC_RMID, 0)).toBe(0);
    leaveUndo(task);
    expect(world.kernel.memoryBudget.used).toBe(before);
    expect(world.kernel.ipc.sem.total).toBe(0);
  });

  test('are refused beyond what the sentry holds for them', () => {
    const world = new World();
    const task = world.process();
    let made = 0;
    let result = 0;
    while ((result = world.now(task, 'semget', IPC_PRIVATE, 32_000, 0o600)) >= 0) made++;
    expect(result).toBe(-ENOMEM);
    expect(made).toBeGreaterThan(100);
    expect(made).toBeLessThan(1000);
  });

  test('change together or not at all', () => {
    const world = new World();
    const task = world.process();
    const id = world.now(task, 'semget', IPC_PRIVATE, 3, 0o600);
    expect(world.operate(task, id, [0, 5], [1, 2, SEM_UNDO], [2, -1, IPC_NOWAIT])).toBe(-EAGAIN);
    expect(world.operate(task, id, [0, 5], [1, 32_767], [1, 1])).toBe(-ERANGE);
    expect(world.values(task, id, 3)).toEqual([0, 0, 0]);
    expect(world.operate(task, id, [0, 5, SEM_UNDO], [0, -2, SEM_UNDO], [0, 0, IPC_NOWAIT])).toBe(-EAGAIN);
    leaveUndo(task);
    expect(world.values(task, id, 3)).toEqual([0, 0, 0]);
    expect(world.now(task, 'semctl', id, 0, IPC_RMID, 0)).toBe(0);
    expect(world.operate(task, id, [0, 1])).toBe(-EINVAL);
  });

  test('are adjusted when the last task that shares the list ends', () => {
    const world = new World();
    const task = world.process();
    const other = world.process(task);
    const id = world.now(task, 'semget', IPC_PRIVATE, 2, 0o600);
    shareUndo(task, other);
    expect(world.operate(other, id, [0, 4, SEM_UNDO], [1, 1])).toBe(0);
    leaveUndo(other);
    expect(world.values(task, id, 2)).toEqual([4, 1]);
    leaveUndo(task);
    expect(world.values(task, id, 2)).toEqual([0, 1]);
  });
});
