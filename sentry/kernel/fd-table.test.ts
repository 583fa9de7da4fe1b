/** Descriptor tables: lowest free number, sharing, copies, close-on-exec; checked against a plain map with random operations. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EBADF, EMFILE } from '#sentry/abi/errno.ts';
import { ANONYMOUS_MOUNT } from '../vfs/anonymous-mount.ts';
import { Dentry } from '../vfs/dentry.ts';
import { FileDescription } from '../vfs/file-description.ts';
import { FdTable } from './fd-table.ts';

type Operation =
  | { readonly kind: 'install'; readonly from: number; readonly cloexec: boolean }
  | { readonly kind: 'close'; readonly fd: number }
  | { readonly kind: 'replace'; readonly fd: number; readonly cloexec: boolean }
  | { readonly kind: 'range'; readonly first: number; readonly last: number };

/** Does it to both; returns the table's answer and the model's. */
function apply(table: FdTable, model: Map<number, boolean>, op: Operation): readonly [got: number, expected: number] {
  switch (op.kind) {
    case 'install': {
      let fd = op.from;
      while (model.has(fd)) fd++;
      model.set(fd, op.cloexec);
      return [table.install(new TestFile(), op.cloexec, op.from), fd];
    }
    case 'close':
      return [table.close(op.fd), model.delete(op.fd) ? 0 : -EBADF];
    case 'replace':
      table.replace(op.fd, new TestFile(), op.cloexec);
      model.set(op.fd, op.cloexec);
      return [0, 0];
    case 'range':
      table.closeRange(op.first, op.last);
      for (const fd of model.keys()) if (fd >= op.first && fd <= op.last) model.delete(fd);
      return [0, 0];
    default:
      return op satisfies never;
  }
}

class TestFile extends FileDescription {
  destroyed = false;
  flushed = 0;
  constructor() {
    super(new Dentry('test', null, ANONYMOUS_MOUNT.root.inode), null, 2);
  }
  override flush(): number {
    this.flushed++;
    return 0;
  }
  protected override destroy(): void {
    this.destroyed = true;
  }
}

describe('FdTable', () => {
  it('hands out the lowest free number', () => {
    const table = new FdTable();
    expect([0, 1, 2].map(() => table.install(new TestFile(), false))).toEqual([0, 1, 2]);
    expect(table.close(1)).toBe(0);
    expect(table.install(new TestFile(), false, 2)).toBe(3);
    expect(table.install(new TestFile(), false)).toBe(1);
    expect(table.install(new TestFile(), false)).toBe(4);
    expect(table.close(9)).toBe(-EBADF);
  });

  it('flushes at each close and destroys at the last', () => {
    const table = new FdTable();
    const file = new TestFile();
    table.install(file, false);
    table.install(file.acquire(), false);
    table.close(0);
    expect([file.flushed, file.destroyed]).toEqual([1, false]);
    table.close(1);
    expect([file.flushed, file.destroyed]).toEqual([2, true]);
  });

  it('stops at its limit and leaves the file with the caller', () => {
    const table = new FdTable(2);
    table.install(new TestFile(), false);
    table.install(new TestFile(), false);
    const file = new TestFile();
    expect(table.install(file, false)).toBe(-EMFILE);
    expect(file.destroyed).toBe(false);
  });

  it('copies for fork and closes what is marked at exec', () => {
    const table = new FdTable();
    const kept = new TestFile();
    const closed = new TestFile();
    table.install(kept, false);
    table.install(closed, true);
    const copy = table.fork();
    copy.closeOnExec();
    expect([copy.get(0), copy.get(1)]).toEqual([kept, undefined]);
    expect(table.get(1)).toBe(closed);
    table.release();
    expect([kept.destroyed, closed.destroyed]).toEqual([false, true]);
    copy.release();
    expect(kept.destroyed).toBe(true);
  });

  it('closes everything only when the last sharer goes', () => {
    const table = new FdTable();
    const file = new TestFile();
    table.install(file, false);
    table.acquire().release();
    expect(file.destroyed).toBe(false);
    table.release();
    expect(file.destroyed).toBe(true);
  });

  it('behaves as a map with lowest-free allocation', () => {
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('install' as const), from: fc.nat(12), cloexec: fc.boolean() }),
      fc.record({ kind: fc.constant('close' as const), fd: fc.nat(12) }),
      fc.record({ kind: fc.constant('replace' as const), fd: fc.nat(12), cloexec: fc.boolean() }),
      fc.record({ kind: fc.constant('range' as const), first: fc.nat(12), last: fc.nat(12) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const table = new FdTable();
        const model = new Map<number, boolean>();
        for (const op of operations) {
          const [got, expected] = apply(table, model, op);
          expect(got).toBe(expected);
          for (let fd = 0; fd < 30; fd++) {
            expect(table.get(fd) !== undefined).toBe(model.has(fd));
            expect(table.isCloexec(fd)).toBe(model.get(fd) ?? false);
          }
        }
      }),
    );
  });
});
