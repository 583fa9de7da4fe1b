/**
 * Finds whom a flow means to talk to, from its first bytes: the server name of TLS or the host of a plain HTTP request.
 *
 *     const finding = findClaims(bytes, length, names);
 *
 * Host names go to `names` as they were written (bytes, a port taken off). Addresses are no names and are left out: a flow already has one.
 */
import { CLAIM_BROKEN, CLAIM_DONE, CLAIM_OTHER } from './claim-finding.ts';
import type { ClaimFinding } from './claim-finding.ts';
import { findServerName } from './client-hello.ts';
import { findHost } from './http-host.ts';
import { CLAIMS_MAX } from './limits.ts';

/** Never CLAIM_OTHER: another protocol claims nothing. */
export function findClaims(bytes: Uint8Array, length: number, names: string[]): ClaimFinding {
  names.length = 0;
  let finding = findServerName(bytes, length, names);
  if (finding === CLAIM_OTHER) finding = findHost(bytes, length, names);
  if (finding === CLAIM_DONE && names.length > CLAIMS_MAX) return CLAIM_BROKEN;
  return finding === CLAIM_OTHER ? CLAIM_DONE : finding;
}
