/** What looking for a claim in the first bytes of a flow can come to (claim.ts). */
export type ClaimFinding = 0 | 1 | 2 | 3;
/** Cannot be said before more bytes have come. */
export const CLAIM_MORE = 0;
/** Everything that is claimed was found: perhaps nothing. */
export const CLAIM_DONE = 1;
/** It began like such a protocol and is none: nobody can say what the other side would make of it. */
export const CLAIM_BROKEN = 2;
/** It is another protocol. */
export const CLAIM_OTHER = 3;
