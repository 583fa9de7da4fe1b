/** Bounds on what a configuration may hold. It comes from the client that starts the runtime, which may pass on what an image or a user wrote. */

/** Entries of a list or of an object with free names. The longest seen, the system calls of a seccomp rule, has some 400. */
export const FIELD_LIST_MAX = 16_384;
/** Characters of a configuration: clients' have some 20,000. */
export const CONFIG_CHARACTERS_MAX = 8 * 1024 * 1024;
/** Extents of a user namespace's mapping (user_namespaces(7)). */
export const ID_MAPPINGS_MAX = 340;
