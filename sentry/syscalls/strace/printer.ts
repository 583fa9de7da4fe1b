/** What prints an argument that points to something. */
import type { GuestView } from './guest-view.ts';

/** What a printer may look at besides the address. */
export interface CallContext {
  readonly view: GuestView;
  /** Decoded arguments. */
  readonly values: readonly number[];
  /** Index of the argument being printed. */
  readonly index: number;
  /** null before the call has run. */
  readonly result: number | null;
}

export type Printer = (address: number, context: CallContext) => string | null;
