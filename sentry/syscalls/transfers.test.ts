/** The table of transfers follows from the rows. */
import { describe, expect, it } from 'vitest';
import { ALL_ROWS } from './table.ts';
import { TransferKind, transferTable } from './transfers.ts';

const table = transferTable(ALL_ROWS, 'x64');

function nr(name: string): number {
  return ALL_ROWS.find((row) => row.name === name)!.nr.x64!;
}

describe('transferTable', () => {
  it('has paths, structs and buffers', () => {
    expect(table[nr('stat')]).toEqual({
      name: 'stat',
      in: [{ argument: 0, kind: TransferKind.Path, bytes: 1, extent: -1 }],
      out: [{ argument: 1, kind: TransferKind.Fixed, bytes: 144, extent: -1 }],
    });
    expect(table[nr('write')]!.in).toEqual([{ argument: 1, kind: TransferKind.Counted, bytes: 1, extent: 2 }]);
    expect(table[nr('write')]!.out).toEqual([]);
    expect(table[nr('pread64')]!.out).toEqual([{ argument: 1, kind: TransferKind.Counted, bytes: 1, extent: 2 }]);
    expect(table[nr('epoll_wait')]!.out).toEqual([{ argument: 1, kind: TransferKind.Counted, bytes: 12, extent: 2 }]);
  });

  it('has what goes both ways in both lists', () => {
    const poll = [{ argument: 0, kind: TransferKind.Counted, bytes: 8, extent: 1 }];
    expect(table[nr('poll')]).toEqual({ name: 'poll', in: poll, out: poll });
  });

  it('leaves futex words where they are', () => {
    expect(table[nr('futex')]).toEqual({ name: 'futex', in: [], out: [] });
  });

  it('names no argument that does not exist', () => {
    for (const call of table) {
      for (const { argument, extent } of [...(call?.in ?? []), ...(call?.out ?? [])]) {
        expect(argument).toBeLessThan(6);
        expect(extent).toBeLessThan(6);
      }
    }
    expect(table[nr('getppid')]).toEqual({ name: 'getppid', in: [], out: [] });
  });
});
