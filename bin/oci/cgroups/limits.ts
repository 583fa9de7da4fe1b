/**
 * What a sandbox needs of the host besides what its guests use, and how patient its removal is. The host cannot tell guests' memory from
 * the sentry's, so the sandbox's own part is added to the limit that the host enforces.
 */

/**
 * Bytes on top of the memory limit, for the sentry, the gofer and the host's page tables. An idle sandbox was charged 15 to 43 MB (what its
 * processes took before they joined is charged elsewhere); a walk through 100,000 files or 300 guest processes add 30 to 90.
 */
export const SANDBOX_MEMORY_BYTES = 64 * 1024 * 1024;

/** Host threads of an idle sandbox: two Node.js processes (about 11 each), the bell, the zygote, spare processes. */
export const SANDBOX_TASKS = 64;

/**
 * Host threads for each guest task allowed. The sentry itself counts guests exactly; the host's limit stands behind it. A guest process keeps
 * the host threads of ended guest threads, and its first one, for later.
 */
export const HOST_TASKS_FOR_GUEST_TASK = 6;

/** Attempts to remove a cgroup whose processes are still ending; the pause doubles from the first to the last. */
export const REMOVE_ATTEMPTS = 12;
export const REMOVE_FIRST_PAUSE_MS = 1;
export const REMOVE_LONGEST_PAUSE_MS = 250;

/** Longest path below a hierarchy, as the host's PATH_MAX. */
export const CGROUP_PATH_MAX = 4096;
