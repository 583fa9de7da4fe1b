/** Bounds of the runtime's verbs. */

/** Bytes of a hook's output that a message quotes. */
export const HOOK_OUTPUT_MAX = 4096;
