/**
 * The stub's code for a sentry that starts. In dist/ this module is replaced by the result for both kinds of hosts (bin/build.ts), because
 * assembling takes the interpreter 4 ms of every start.
 */
import { assembleGuestCode } from './guest-code.ts';
import type { GuestCode } from './guest-code.ts';

/** `hasSegmentInstructions`: the host lets user code use rdfsbase and its like. */
export function guestCode(hasSegmentInstructions: boolean): GuestCode {
  return assembleGuestCode(hasSegmentInstructions);
}
