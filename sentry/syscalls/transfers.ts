/**
 * Which guest memory each call reads before it does anything, and which it fills, by number: the rows' pointer arguments as plain data.
 *
 * For a platform whose code inside the guest process copies for the sentry: what a call reads (`in`) can travel with the call, what it fills
 * (`out`) with its reply, and the sentry need not reach into the guest at all. Both are hints. A copy may be shorter than what is there
 * or missing altogether, and a handler may touch more than its row says; for such bytes the sentry reaches for guest memory as ever.
 *
 *     const table = transferTable(ALL_ROWS, 'x64');
 *     table[4]        // stat: { in: [{ argument: 0, kind: Path, … }], out: [{ argument: 1, kind: Fixed, bytes: 144 }] }
 *
 * Left out: memory whose contents count at the moment the call is served, not when it was made. FUTEX_WAIT must compare the word as it is
 * when the waiter enters its queue; with an older copy, a wake-up that came in between would be lost.
 */
import type { Architecture } from './dispatch.ts';
import type { Arg, Row } from './row.ts';

export const TransferKind = {
  /** A string that ends with NUL. */
  Path: 0,
  /** `bytes` bytes. */
  Fixed: 1,
  /** The value of argument `extent`, a 64-bit word from the guest, times `bytes`. For `out`: at most that much. */
  Counted: 2,
} as const;
export type TransferKind = (typeof TransferKind)[keyof typeof TransferKind];

export interface Transfer {
  /** Which argument holds the address, 0 to 5. The address may be null or wild. */
  readonly argument: number;
  readonly kind: TransferKind;
  readonly bytes: number;
  /** Which argument holds the count; -1 for other kinds. */
  readonly extent: number;
}

export interface CallTransfers {
  readonly name: string;
  readonly in: readonly Transfer[];
  readonly out: readonly Transfer[];
}

/** Indexed by the number of the call; undefined for numbers without a row. */
export function transferTable(rows: readonly Row[], architecture: Architecture): readonly (CallTransfers | undefined)[] {
  const table: (CallTransfers | undefined)[] = [];
  for (const row of rows) {
    const nr = row.nr[architecture];
    if (nr === undefined) continue;
    while (table.length <= nr) table.push(undefined);
    table[nr] = { name: row.name, in: transfers(row, 'in'), out: transfers(row, 'out') };
  }
  return table;
}

function transfers(row: Row, direction: 'in' | 'out'): readonly Transfer[] {
  const names = Object.keys(row.args);
  const found: Transfer[] = [];
  for (const [argument, arg] of Object.values(row.args).entries()) {
    const { pointer } = arg;
    if (pointer === undefined || pointer.live === true) continue;
    if (pointer.direction !== 'inout' && pointer.direction !== direction) continue;
    found.push({ argument, ...shape(row, arg, names) });
  }
  return found;
}

function shape(row: Row, { display, pointer }: Arg, names: readonly string[]): Omit<Transfer, 'argument'> {
  if (display.kind === 'path') return { kind: TransferKind.Path, bytes: 1, extent: -1 };
  const { extent, size } = pointer!;
  if (extent === undefined) return { kind: TransferKind.Fixed, bytes: size, extent: -1 };
  const index = names.indexOf(extent.argument);
  if (index < 0) throw new Error(`${row.name}: no argument is called ${extent.argument}`);
  return { kind: TransferKind.Counted, bytes: extent.unit, extent: index };
}
