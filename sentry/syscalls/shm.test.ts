/** Shared memory segments: what they cost, when they go, and what the areas of several processes count. */
import { describe, expect, test } from 'vitest';
import { BUFFER, FileWorld } from '../../test/unit/file-world.ts';
import { EINVAL, ENOMEM, ENOSPC } from '#sentry/abi/errno.ts';
import { IPC_PRIVATE, IPC_RMID, IPC_STAT, SHM_REMAP, ShmidDs } from '#sentry/abi/ipc.ts';
import { ShmAttachment } from '../kernel/ipc/shm-segment.ts';
import type { ShmSegment } from '../kernel/ipc/shm-segment.ts';
import type { Task } from '../kernel/task.ts';

const PAGE = 4096;
/** Nothing else lies there. */
const PLACE = 0x2000_0000_0000;

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

/** What areas of all living processes show of `segment`. */
function areasOf(world: FileWorld, segment: ShmSegment): number {
  let count = 0;
  for (const { mm, hasExited } of world.container.pids.tasks.values()) {
    if (hasExited) continue;
    for (const { file } of mm.areas.all) if (file instanceof ShmAttachment && file.segment === segment) count++;
  }
  return count;
}

describe('attachments', () => {
  test.each([1, 2, 3, 4, 5])('are as many as areas whatever processes do, seed %i', (start) => {
    const world = new FileWorld();
    const init = world.process();
    const before = world.kernel.memoryBudget.used;
    const { shm } = world.kernel.ipc;
    let seed = start;
    const random = (below: number): number => ((seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff) >>> 8) % below;
    const tasks = [world.process(init)];
    let attached = 0;
    const pick = (): number => random(4) * PAGE + PLACE;
    for (let step = 0; step < 1000; step++) {
      const task = tasks[random(tasks.length)]!;
      const all = shm.table.all();
      const id = all[random(Math.max(all.length, 1))]?.id ?? -1;
      const call = (name: string, ...args: number[]): number => world.call(task, name, ...args) as number;
      switch (random(10)) {
        case 0:
          if (shm.table.inUse < 4) call('shmget', IPC_PRIVATE, (1 + random(3)) * PAGE, 0o600);
          break;
        case 1:
        case 2:
          if (call('shmat', id, random(3) === 0 ? 0 : pick(), random(2) * SHM_REMAP) > 0) attached++;
          break;
        case 3:
          call('shmdt', pick());
          break;
        case 4:
          call('munmap', pick(), (1 + random(3)) * PAGE);
          break;
        case 5:
          call('mprotect', pick(), PAGE, random(2) * 2 + 1);
          break;
        case 6:
          call('mremap', pick(), random(3) * PAGE, (1 + random(3)) * PAGE, 3, pick());
          break;
        case 7:
          call('shmctl', id, IPC_RMID, 0);
          break;
        case 8: {
          const pid = tasks.length < 4 ? call('clone', 17, 0, 0, 0, 0) : -1;
          if (pid > 0) tasks.push(world.container.pids.tasks.get(pid)!);
          break;
        }
        default:
          if (tasks.length > 1) {
            call('exit_group', 0);
            tasks.splice(tasks.indexOf(task), 1);
          }
      }
      const wrong = shm.table
        .all()
        .filter((segment) => segment.attached !== areasOf(world, segment) || (segment.isCondemned && segment.attached === 0));
      expect(wrong.map((segment) => segment.id)).toEqual([]);
      expect(shm.totalPages).toBe(shm.table.all().reduce((sum, { pages }) => sum + pages, 0));
    }
    expect(attached).toBeGreaterThan(50);
    for (const task of tasks) world.call(task, 'exit_group', 0);
    for (const segment of shm.table.all()) shm.remove(segment);
    expect([shm.table.inUse, shm.totalPages, world.kernel.memoryBudget.used]).toEqual([0, 0, before]);
  });
});
