/**
 * Bounds of the protocol, known to both sides. A message that exceeds one of them is malformed.
 */

/** Longest message, header included. One datagram of a SOCK_SEQPACKET socket. */
export const MESSAGE_MAX = 61_440;
/** Names in one walk or open: as many components as a path of PATH_MAX bytes can have is 2,048; nobody needs more than this at once. */
export const NAMES_MAX = 128;
/** Attributes of that many components must fit a reply beside a link target. */
export const LINK_TARGET_MAX = 4_095;
/** Longest name of an extended attribute (XATTR_NAME_MAX). */
export const XATTR_NAME_MAX = 255;
/** Longest value of an extended attribute that is carried; Linux allows 65,536, which no message could hold. */
export const XATTR_VALUE_MAX = 57_344;
/** Fids let go in one message. */
export const RELEASES_MAX = 1_024;
/** Most fids a server ever offers; it says the actual number in its hello. */
export const FIDS_MAX = 4_096;
/** Ranges of a mapping of users or groups (Linux UID_GID_MAP_MAX_EXTENTS). */
export const ID_RANGES_MAX = 340;
/** Roots one gofer serves. */
export const MOUNTS_MAX = 256;
/** Lines in the hello that say how the gofer is confined, and their length. */
export const REPORT_LINES_MAX = 64;
export const REPORT_LINE_MAX = 400;
/** Bytes of the memory that sentry and gofer share, into which the gofer reads small files. */
export const WINDOW_SIZE: number = 8 * 1024 * 1024;
/** Files that one message may ask to read. */
export const FETCHED_MAX = 128;
/** Descriptors of larger files that come along with them (what the host's `receive` takes at once). */
export const FETCHED_DESCRIPTORS_MAX = 8;
/** `st_size` from which on a directory is not listed ahead of being asked for: it would not fit a message. */
export const TREE_DIRECTORY_SIZE_MAX = 32_768;
/** Directories whose subdirectories one message may ask to list. */
export const TREE_GROUPS_MAX = 32;
/** Longest target of a symbolic link that is told with a listing. */
export const LISTED_TARGET_MAX = 255;
