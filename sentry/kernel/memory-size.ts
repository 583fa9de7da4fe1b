/**
 * What sysinfo(2) and /proc/meminfo say about memory: the sandbox's, not the host's. Nothing is enforced by these figures.
 */
export const MEMORY_TOTAL = 4 * 2 ** 30;
/** Guests' memory is the host's to count; all but a fixed share counts as free. */
export const MEMORY_FREE = 3 * 2 ** 30;
