/** Where a connection's urgent octet is (tcp(7), urgent.ts). */
export const URGENT_NONE = 0;
/** Announced, the octet has not come yet. */
export const URGENT_AWAITED = 1;
/** In `urgentByte`, to be read. */
export const URGENT_HERE = 2;
/** Read with MSG_OOB; the mark stands until the stream passes it. */
export const URGENT_READ = 3;
