/** Shared memory segments: what they cost, when they go, and what the areas of several processes count. */
import { describe, expect, test } from 'vitest';
import { BUFFER, FileWorld } from '../../test/unit/file-world.ts';
import { EINVAL, ENOMEM, ENOSPC } from '#sentry/abi/errno.ts';
import { IPC_PRIVATE, IPC_RMID, IPC_STAT, SHM_REMAP, ShmidDs } from '#sentry/abi/ipc.ts';
import type { Task } from '../kernel/task.ts';

const PAGE = 4096;

function attachments(world: FileWorld, task: Task, id: number): number {
  if (world.now(task, 'shmctl', id, IPC_STAT, BUFFER) < 0) return -1;
  const memory = world.host.allocate(PAGE);
  task.memory.copyIn(BUFFER, memory, 0, ShmidDs.size);
  return ShmidDs.decode(memory.view, 0).nattch;
}

describe('a segment', () => {
  test('is charged when it is made and given back when it goes', () => {
    const world = new FileWorld();
    const task = world.process();
    const before = world.kernel.memoryBudget.used;
    const id = world.now(task, 'shmget', IPC_PRIVATE, 10 * PAGE - 1, 0o600);
    expect(world.kernel.memoryBudget.used - before).toBe(10 * PAGE);
    const address = world.now(task, 'shmat', id, 0, 0);
    expect(world.kernel.memoryBudget.used - before).toBe(10 * PAGE);
    expect(world.now(task, 'shmctl', id, IPC_RMID, 0)).toBe(0);
    expect(world.kernel.memoryBudget.used - before).toBe(10 * PAGE);
    expect(world.now(task, 'shmdt', address)).toBe(0);
    expect(world.kernel.memoryBudget.used).toBe(before);
    expect(world.now(task, 'shmat', id, 0, 0)).toBe(-EINVAL);
    expect(world.kernel.ipc.shm.totalPages).toBe(0);
  });

  test('is refused beyond the memory there is and the limits there are', () => {
    const world = new FileWorld();
    const task = world.process();
    const get = (bytes: number): number => world.now(task, 'shmget', IPC_PRIVATE, bytes, 0o600);
    expect(get(2 ** 50)).toBe(-ENOMEM);
    expect(get(2 ** 64)).toBe(-EINVAL);
    expect(get(0)).toBe(-EINVAL);
    world.kernel.ipc.limits.shmall = 4;
    expect(get(5 * PAGE)).toBe(-ENOSPC);
    const id = get(4 * PAGE);
    expect(id).toBeGreaterThanOrEqual(0);
    expect(get(1)).toBe(-ENOSPC);
    expect(world.now(task, 'shmctl', id, IPC_RMID, 0)).toBe(0);
    world.kernel.ipc.limits.shmmni = 0;
    expect(get(1)).toBe(-ENOSPC);
    world.kernel.ipc.limits.shmmax = 10;
    expect(get(11)).toBe(-EINVAL);
  });

  test('counts every area, also after a cut, and survives being replaced by itself', () => {
    const world = new FileWorld();
    const task = world.process();
    const id = world.now(task, 'shmget', IPC_PRIVATE, 3 * PAGE, 0o600);
    const address = world.now(task, 'shmat', id, 0, 0);
    expect(attachments(world, task, id)).toBe(1);
    expect(world.now(task, 'mprotect', address + PAGE, PAGE, 1)).toBe(0);
    expect(attachments(world, task, id)).toBe(3);
    expect(world.now(task, 'mprotect', address, 3 * PAGE, 3)).toBe(0);
    expect(attachments(world, task, id)).toBe(3);
    expect(world.now(task, 'shmctl', id, IPC_RMID, 0)).toBe(0);
    expect(world.now(task, 'shmat', id, address, SHM_REMAP)).toBe(address);
    expect(attachments(world, task, id)).toBe(1);
    expect(world.now(task, 'shmdt', address)).toBe(0);
    expect(attachments(world, task, id)).toBe(-1);
    expect(world.kernel.ipc.shm.table.inUse).toBe(0);
  });

  test('does not outlive who made it and who shows it with shm_rmid_forced', () => {
    const world = new FileWorld();
    const [maker, other] = [world.process(), world.process()];
    const { shm } = world.kernel.ipc;
    const get = (task: Task): number => world.now(task, 'shmget', IPC_PRIVATE, PAGE, 0o600);
    const left = get(maker);
    shm.leave(maker);
    shm.forceRemoval(1);
    expect(shm.table.find(left)).toBe(undefined);
    const attached = get(maker);
    const unused = get(maker);
    const address = world.now(other, 'shmat', attached, 0, 0);
    shm.leave(maker);
    expect([attachments(world, other, attached), attachments(world, other, unused)]).toEqual([1, -1]);
    expect(world.now(other, 'shmdt', address)).toBe(0);
    expect(attachments(world, other, attached)).toBe(-1);
    expect(world.kernel.ipc.shm.totalPages).toBe(0);
    shm.forceRemoval(0);
    const kept = get(other);
    world.now(other, 'shmdt', world.now(other, 'shmat', kept, 0, 0));
    shm.leave(other);
    expect(attachments(world, maker, kept)).toBe(0);
  });
});
