/**
 * The flags of every clone that happens in guest processes. The filters allow exactly these words.
 *
 * CLONE_FILES keeps the sentry's descriptor table, so that a donated descriptor can be mapped by its number. CLONE_PTRACE attaches
 * the child to the sentry without a stop of the parent. CLONE_PARENT makes the sentry the parent of every process: a tracer only
 * borrows its tracees, and a zombie whose parent is another stub would never be reaped. The exit signal is 0 (it is inherited
 * from the first stub): no SIGCHLD, and Node's own children stay apart.
 */
const CLONE_VM = 0x100;
const CLONE_FS = 0x200;
const CLONE_FILES = 0x400;
const CLONE_SIGHAND = 0x800;
const CLONE_PTRACE = 0x2000;
const CLONE_PARENT = 0x8000;
const CLONE_THREAD = 0x1_0000;
const CLONE_SYSVSEM = 0x4_0000;

/** The first stub, cloned from the sentry by a routine that is not traced yet. */
export const ZYGOTE_FLAGS = CLONE_FILES;
/** A process with a copy of the address space. */
export const FORK_FLAGS = CLONE_FILES | CLONE_FS | CLONE_PARENT | CLONE_PTRACE;
/** A thread. */
export const SPAWN_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PTRACE;

/**
 * The same without ptrace. The sentry learns of the end of a process by this signal: not SIGCHLD, so that Node's own children stay
 * apart, and SIGSTKFLT because nobody uses it. A clone with CLONE_PARENT inherits it.
 */
export const EXIT_SIGNAL = 16;
export const UNTRACED_ZYGOTE_FLAGS = CLONE_FILES | EXIT_SIGNAL;
export const UNTRACED_FORK_FLAGS = CLONE_FILES | CLONE_FS | CLONE_PARENT;
export const UNTRACED_SPAWN_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
