/** Record locks against a model that keeps one owner and type per byte. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EAGAIN, EDEADLK } from '#sentry/abi/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '#sentry/abi/fcntl.ts';
import { FileLocks, startWaiting, stopWaiting } from './file-locks.ts';

const BYTES = 24;
const OWNERS = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];

describe('record locks', () => {
  it('agree with a lock for each byte', () => {
    const operation = fc.record({
      owner: fc.nat(2),
      type: fc.constantFrom(F_RDLCK, F_WRLCK, F_UNLCK),
      start: fc.nat(BYTES - 1),
      length: fc.integer({ min: 1, max: BYTES }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 50 }), (operations) => {
        const locks = new FileLocks();
        const model = OWNERS.map(() => Array.from({ length: BYTES }, () => F_UNLCK));
        for (const { owner, type, start, length } of operations) {
          const end = Math.min(start + length, BYTES) - 1;
          let conflict = false;
          for (let byte = start; byte <= end; byte++) {
            model.forEach((held, other) => {
              if (other === owner || type === F_UNLCK || held[byte] === F_UNLCK) return;
              if (type === F_WRLCK || held[byte] === F_WRLCK) conflict = true;
            });
          }
          const result = locks.setRecord({ owner: OWNERS[owner]!, type, start, end, pid: 1 });
          expect(result).toBe(conflict ? -EAGAIN : 0);
          if (!conflict) for (let byte = start; byte <= end; byte++) model[owner]![byte] = type;
          expectSame(locks, model);
        }
      }),
    );
  });

  function expectSame(locks: FileLocks, model: readonly number[][]): void {
    const { records } = locks.list();
    model.forEach((held, owner) => {
      held.forEach((type, byte) => {
        const found = records.filter((lock) => lock.owner === OWNERS[owner] && lock.start <= byte && byte <= lock.end);
        expect(found.map((lock) => lock.type)).toEqual(type === F_UNLCK ? [] : [type]);
      });
    });
    // What touches and is alike has melted together.
    for (const one of records) {
      for (const two of records) expect(one.owner === two.owner && one.type === two.type && one.end + 1 === two.start).toBe(false);
    }
  }

  it('reach to the end of the file', () => {
    const locks = new FileLocks();
    const [a, b] = OWNERS as [object, object];
    expect(locks.setRecord({ owner: a, type: F_WRLCK, start: 100, end: Infinity, pid: 1 })).toBe(0);
    expect(locks.setRecord({ owner: b, type: F_RDLCK, start: 1e12, end: 1e12, pid: 2 })).toBe(-EAGAIN);
    expect(locks.setRecord({ owner: b, type: F_RDLCK, start: 0, end: 99, pid: 2 })).toBe(0);
    expect(locks.setRecord({ owner: a, type: F_UNLCK, start: 200, end: Infinity, pid: 1 })).toBe(0);
    expect(locks.list().records.map(({ start, end }) => [start, end])).toEqual([
      [0, 99],
      [100, 199],
    ]);
  });

  it('notice a circle of waiters', () => {
    const [a, b, c] = OWNERS as [object, object, object];
    expect(startWaiting(a, b)).toBe(0);
    expect(startWaiting(b, c)).toBe(0);
    expect(startWaiting(c, a)).toBe(-EDEADLK);
    stopWaiting(b);
    expect(startWaiting(c, a)).toBe(0);
    for (const owner of [a, b, c]) stopWaiting(owner);
  });
});
