/**
 * Every bound on what a guest can make the sentry hold. A queue, cache or table without an entry here does not pass review.
 *
 * Figures are chosen so that the sentry stays far below 1 GiB whatever the guest does; what Linux limits by sysctl has Linux's default.
 */

/** Dentries kept, positive and negative, before unreferenced ones are dropped (about 300 bytes each with their inode). */
export const DENTRIES_MAX = 24_576;
/** Of these, of file systems like proc: each may hold all that is known of a process that has ended (30 KiB). */
export const PASSING_DENTRIES_MAX = 128;
/** Dentries looked at in one trimming; bounds the pause it makes. */
export const DENTRIES_TRIMMED_AT_ONCE = 512;

/** Components of a path that a file system is asked for at once. */
export const LOOK_AHEAD_NAMES_MAX = 32;

/** Mounts in one mount namespace (Linux sysctl fs.mount-max is 100,000). */
export const MOUNTS_MAX = 4096;

/** Bytes of small tmpfs files that live in slab memory, over all tmpfs instances; what exceeds it moves to memfds. */
export const TMPFS_SLAB_BYTES_MAX = 1024 * 1024 * 1024;
/** Largest tmpfs file kept in slab memory while there are plenty of descriptors, and when more than half of them are gone. */
export const TMPFS_SMALL_FILE_MAX = 16 * 1024;
export const TMPFS_SMALL_FILE_MAX_WHEN_SCARCE = 64 * 1024;
/** Descriptors of the sentry that tmpfs files may use: the host's RLIMIT_NOFILE may be as low as 20,000. */
export const TMPFS_MEMFDS_MAX = 12_000;
/** Pieces of tmpfs files that the sentry has mapped to read and write them without a host call, and the size of one: address space only. */
export const TMPFS_WINDOWS_MAX = 32;
export const TMPFS_WINDOW_BYTES = 1024 * 1024;
/** Default size of a tmpfs without `size=`. */
export const TMPFS_BYTES_DEFAULT = 4 * 1024 * 1024 * 1024;
/** Default number of inodes of a tmpfs without `nr_inodes=`. */
export const TMPFS_INODES_DEFAULT = 400_000;
/** Bytes of extended attributes (names and values) one inode may hold, as ext4 with large values roughly allows. */
export const XATTR_BYTES_PER_INODE_MAX = 128 * 1024;

/** Bytes copied at once when an overlay copies a lower file up. */
export const COPY_UP_CHUNK = 256 * 1024;
/** Directories below a renamed or listed overlay directory that one call may visit. */
export const OVERLAY_LAYERS_MAX = 64;

/** Tasks of a sandbox, zombies included: each is a host thread. clone fails with EAGAIN beyond. */
export const TASKS_MAX = 4096;
/** Bytes of link texts and extended attributes in one tmpfs; these are strings in the V8 heap. */
export const TMPFS_METADATA_BYTES_MAX = 32 * 1024 * 1024;

/** Descriptors donated by a gofer that stay open after the last guest descriptor of their file was closed. */
export const GOFER_IDLE_DESCRIPTORS_MAX = 512;
/** Entries of directories that are known completely, over all of them, so that names in them need no question to the gofer (about 300 bytes each). */
export const GOFER_LISTED_ENTRIES_MAX = 32_768;
/** Directories that one message asks to list ahead of time, and files to read. */
export const GOFER_AHEAD_DIRECTORIES_MAX = 64;
export const GOFER_AHEAD_FILES_MAX = 128;
/** Bytes of contents one message may bring; less than half of the window (gofer/protocol/limits.ts). */
export const GOFER_AHEAD_BYTES_MAX = 1024 * 1024;
/** Largest file whose contents are kept in the window. */
export const GOFER_CONTENT_MAX = 64 * 1024;
/** Directories that a gofer watches at once. */
export const GOFER_WATCHES_MAX = 4_096;
/** How long the sentry waits for a gofer's reply (a host file system may hang) before it gives the sandbox up. */
export const GOFER_TIMEOUT_MS = 120_000;

/** Pseudo-terminals of one devpts (Linux kernel.pty.max is 4096): each may hold a page of input, four of output and some objects. */
export const PSEUDO_TERMINALS_MAX = 1024;

/** Entries of all signal queues together (RLIMIT_SIGPENDING, by default 4096, bounds those of one process). */
export const QUEUED_SIGNALS_MAX = 131_072;

/** Inodes of all tmpfs instances together: a guest may mount many, each with `nr_inodes=0`. About 800 bytes of V8 heap each. */
export const TMPFS_INODES_ALL_MAX = 800_000;
/** Link texts and extended attributes of all of them. */
export const TMPFS_METADATA_ALL_MAX = 128 * 1024 * 1024;

/** Executable files whose headers are remembered, and how many segments (about 100 bytes each) such a one has at most. */
export const EXECUTABLES_REMEMBERED_MAX = 256;
export const SEGMENTS_REMEMBERED_MAX = 32;

/** Open file descriptions of the sandbox (Linux fs.file-max): ENFILE beyond. */
export const OPEN_FILES_MAX = 262_144;
/** Slots of all descriptor tables: a table with a high descriptor is as long as that, and fork copies it. */
export const DESCRIPTOR_SLOTS_MAX = 16_777_216;
/** Memory areas of all address spaces (Linux bounds those of one, vm.max_map_count): fork copies them. */
export const MEMORY_AREAS_MAX = 1_000_000;

/** Bytes of text that open files of proc and sys hold for their readers. Beyond it a text is made anew for each read. */
export const SYNTHETIC_TEXT_MAX = 32 << 20;

/** Inodes that one fd or fdinfo directory of /proc keeps at a time. */
export const DESCRIPTOR_INODES_MAX = 4096;

/** Instructions of the seccomp filters one task may have on top of each other (Linux MAX_INSNS_PER_PATH), each filter counting four more. */
export const SECCOMP_INSTRUCTIONS_PER_TASK = 32_768;
/** Bytes of all seccomp filters of the sandbox with their tables, which lie outside the V8 heap. */
export const SECCOMP_FILTERS_BYTES_MAX = 128 * 1024 * 1024;

/** System V IPC objects of one kind (the 15 bits an id has for the index): the sysctls can ask for no more. */
export const IPC_OBJECTS_MAX = 32_768;
/** Bytes of the sentry's own memory that semaphores, their adjustments at exit and waiting messages may take. */
export const IPC_MEMORY_MAX = 128 * 1024 * 1024;
/** Bytes of one System V message, whatever the sysctl says: it has to fit the memory in which calls are served. */
export const SYSV_MESSAGE_BYTES_MAX = 512 * 1024;
/** POSIX message queues, whatever the sysctl says. */
export const MQUEUE_QUEUES_MAX = 16_384;
/** Operations of one semop, whatever the sysctl says. */
export const SEMAPHORE_OPERATIONS_MAX = 1024;

/** cgroups that guests of a container may make, and how deep (Linux: cgroup.max.descendants and cgroup.max.depth, without a bound by default). */
export const CONTROL_GROUPS_MAX = 4096;
export const CONTROL_GROUP_DEPTH_MAX = 64;
