/**
 * Guest memory for printing: reads into a cell of its own, so that tracing never disturbs a handler's scratch memory.
 */
import { getU64 } from '#sentry/abi/layout.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Task } from '../../kernel/task.ts';

const CELL_SIZE = 4096;
const cells = new WeakMap<Kernel, HostMemory>();

export class GuestView {
  private readonly task: Task;
  private readonly cell: HostMemory;

  constructor(task: Task) {
    this.task = task;
    let cell = cells.get(task.kernel);
    if (cell === undefined) {
      cell = task.kernel.host.allocate(CELL_SIZE);
      cells.set(task.kernel, cell);
    }
    this.cell = cell;
  }

  /** The first `length` bytes at `address`, decoded at once by `decode`; null when they are not accessible. */
  read<T>(address: number, length: number, decode: (view: DataView) => T): T | null {
    if (address === 0 || length > CELL_SIZE || this.task.memory.copyIn(address, this.cell, 0, length) < 0) return null;
    return decode(this.cell.view);
  }

  /** Up to `length` bytes as a byte string; null when not even the first is accessible. */
  bytes(address: number, length: number): string | null {
    if (!(length > 0)) return '';
    const got = this.task.memory.copyInPartial(address, this.cell, 0, Math.min(length, CELL_SIZE));
    return got === 0 ? null : this.cell.latin1(0, got);
  }

  string(address: number): string | null {
    const text = this.task.memory.readString(address);
    return typeof text === 'string' ? text : null;
  }

  u64(address: number): number | null {
    return this.read(address, 8, (view) => getU64(view, 0));
  }
}
