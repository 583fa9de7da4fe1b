/** Ids and keys of IPC objects: reuse, limits, who may have them. */
import { describe, expect, test } from 'vitest';
import { EACCES, EEXIST, EINVAL, ENOENT, ENOSPC } from '#sentry/abi/errno.ts';
import { IPC_CREAT, IPC_EXCL, IPC_PRIVATE } from '#sentry/abi/ipc.ts';
import { ALL_CAPABILITIES, initialCredentials } from '../../vfs/credentials.ts';
import { IpcObject } from './ipc-object.ts';
import { IpcTable } from './ipc-table.ts';

class Thing extends IpcObject {}

const root = initialCredentials(0, 0, [0], ALL_CAPABILITIES);
const user = initialCredentials(1000, 1000, [], ALL_CAPABILITIES);
const member = initialCredentials(1001, 1001, [1000], ALL_CAPABILITIES);

function tableOf(limit = 100): { table: IpcTable<Thing>; get: (key: number, flags: number, who?: typeof root) => number } {
  const table = new IpcTable<Thing>();
  const get = (key: number, flags: number, who = root): number =>
    table.get(
      key,
      flags,
      who,
      () => 0,
      () => table.add(new Thing(key, flags, who), limit),
    );
  return { table, get };
}

describe('ids', () => {
  test('lead to nothing once the object is gone, whoever has its index then', () => {
    const { table, get } = tableOf();
    const seen = new Set<number>();
    for (let round = 0; round < 1000; round++) {
      const id = get(IPC_PRIVATE, 0o600);
      expect(seen.has(id)).toBe(false);
      seen.add(id);
      expect(table.find(id)?.id).toBe(id);
      expect(table.at(id)?.seq).toBe(id >> 15);
      table.remove(table.find(id)!);
      expect(table.find(id)).toBe(undefined);
    }
    expect(table.inUse).toBe(0);
    expect(Math.max(...[...seen].map((id) => id & 0x7fff))).toBe(63);
    for (const wild of [-1, 0x7fff_ffff, 0x8000, 1 << 30]) expect(table.find(wild)).toBe(undefined);
  });

  test('are bounded by the limit and by the bits of the index', () => {
    const { table, get } = tableOf(3);
    expect([get(0, 0), get(0, 0), get(0, 0), get(0, 0)]).toEqual([0, 1, 2, -ENOSPC]);
    expect(table.highestIndex).toBe(2);
    const all = tableOf(1_000_000);
    let made = 0;
    while (all.get(0, 0) >= 0) made++;
    expect(made).toBe(32_768);
    all.table.remove(all.table.at(500)!);
    expect(all.get(0, 0) & 0x7fff).toBe(500);
  });
});

describe('keys', () => {
  test('lead to one object, until it is made private', () => {
    const { table, get } = tableOf();
    expect(get(5, 0)).toBe(-ENOENT);
    const id = get(5, IPC_CREAT | 0o600);
    expect(get(5, 0)).toBe(id);
    expect(get(5, IPC_CREAT)).toBe(id);
    expect(get(5, IPC_CREAT | IPC_EXCL)).toBe(-EEXIST);
    expect(
      table.get(
        5,
        0,
        root,
        () => -EINVAL,
        () => 0,
      ),
    ).toBe(-EINVAL);
    table.makePrivate(table.find(id)!);
    expect(get(5, 0)).toBe(-ENOENT);
    expect(table.find(id)?.key).toBe(IPC_PRIVATE);
    expect(get(5, IPC_CREAT)).not.toBe(id);
  });
});

describe('permissions', () => {
  test('go by owner, group, others, and the capability', () => {
    const { get } = tableOf();
    const id = get(7, IPC_CREAT | 0o640, user);
    expect(get(7, 0o600, user)).toBe(id);
    expect(get(7, 0o040, member)).toBe(id);
    expect(get(7, 0o020, member)).toBe(-EACCES);
    expect(get(7, 0o666, root)).toBe(id);
    expect(get(7, 0, initialCredentials(2000, 2000, [], ALL_CAPABILITIES))).toBe(id);
    expect(get(7, 0o4, initialCredentials(2000, 2000, [], ALL_CAPABILITIES))).toBe(-EACCES);
  });

  test('a new owner may control it, and so may its creator', () => {
    const { table, get } = tableOf();
    const thing = table.find(get(7, IPC_CREAT | 0o600, user))!;
    expect(thing.isControlledBy(member)).toBe(false);
    expect(thing.updatePermissions({ ...thing.permissions, uid: 1001, mode: 0o177_777 })).toBe(0);
    expect([thing.isControlledBy(member), thing.isControlledBy(user), thing.isControlledBy(root)]).toEqual([true, true, true]);
    expect(thing.mode).toBe(0o777);
    expect(thing.updatePermissions({ ...thing.permissions, uid: 0xffff_ffff })).toBe(-EINVAL);
  });
});
