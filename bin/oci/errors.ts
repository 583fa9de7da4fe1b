/**
 * Errors of the runtime's verbs. Clients tell one failure from another by a few words in the text, for the exit status of a runtime says little, so
 * the words are part of the interface: each is here once, with who looks for it.
 *
 *     throw ociError('doesNotExist', id);                  // container does not exist: web
 *     throw programError('/bin/nosuch', -errno);           // exec: "/bin/nosuch": no such file or directory
 *
 * Exit status: 1, and 255 for `exec` (runc's); podman and Docker make 126 and 127 of the text.
 */
import { EACCES, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOEXEC, ENOMEM, ENOTDIR, EPERM, errnoName } from '#sentry/abi/errno.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';

/** Of every verb that fails, wrong usage included. */
export const EXIT_OCI_FAILURE = 1;
/** `exec` that could not start the process: 1 could be the process's own status. */
export const EXIT_EXEC_FAILURE = 255;

const TEXTS = {
  /** containerd's shim: "does not exist" makes `kill` NotFound and `delete` a success; Kubernetes and podman remove what is left by it. */
  doesNotExist: 'container does not exist',
  /** Nobody parses it; the same words as runc's, for people who search for them. */
  alreadyExists: 'container with given ID already exists',
  invalidId: 'invalid container ID format',
  /** containerd's shim and CRI-O: "container not running" after `kill` means that the process has ended already. */
  notRunning: 'container not running',
  eventsStopped: 'container is not running',
  notPaused: 'container not paused',
  alreadyStarted: 'cannot start an already running container',
  startPaused: 'cannot start a container in the paused state',
  startStopped: 'cannot start a container that has stopped',
  execStopped: 'cannot exec in a stopped container',
  execPaused: 'cannot exec in a paused container (use --ignore-paused to override)',
  /** containerd's shim and CRI-O: "no such process" from `kill`. */
  noSuchProcess: 'no such process',
  /** Not runc's: `checkpoint` and `restore`. */
  notSupported: 'not supported yet',
} as const;
export type OciErrorKind = keyof typeof TEXTS;

export class OciError extends UserError {
  readonly kind: OciErrorKind;

  constructor(kind: OciErrorKind, message: string, exitCode: number) {
    super(message, exitCode);
    this.kind = kind;
  }
}

/** @param about the container, or what else the sentence is about */
export function ociError(kind: OciErrorKind, about: string, exitCode = EXIT_OCI_FAILURE): OciError {
  return new OciError(kind, `${TEXTS[kind]}: ${about}`, exitCode);
}

/** `delete` without --force, in runc's words. */
export function notStopped(id: string, status: string): UserError {
  return new UserError(`cannot delete container ${id} that is not stopped: ${status}`, EXIT_OCI_FAILURE);
}

/**
 * What Go's and the C library's programs call these errors. podman matches "permission denied", "operation not permitted" (126), "executable
 * file not found in" and "no such file or directory" (127); Docker "permission denied" and "is a directory" (126), "executable file not found",
 * "no such file or directory" and "not a directory" (127).
 */
const REASONS: Readonly<Record<number, string>> = {
  [EPERM]: 'operation not permitted',
  [ENOENT]: 'no such file or directory',
  [ENOEXEC]: 'exec format error',
  [ENOMEM]: 'cannot allocate memory',
  [EACCES]: 'permission denied',
  [ENOTDIR]: 'not a directory',
  [EISDIR]: 'is a directory',
  [ENAMETOOLONG]: 'file name too long',
  [ELOOP]: 'too many levels of symbolic links',
};

/** @param errno positive */
export function reasonOf(errno: number): string {
  return REASONS[errno] ?? errnoName(errno);
}

/**
 * The program of a container, or of `exec`, that cannot be executed.
 * @param name byte string, `process.args[0]`
 * @param errno positive, of execve(2) or of the search in PATH
 */
export function programError(name: string, errno: number, exitCode = EXIT_OCI_FAILURE): UserError {
  const wanted = JSON.stringify(toText(name));
  const isSearched = !name.includes('/');
  // A directory cannot be executed, which execve(2) calls EACCES.
  const reason = isSearched && errno === ENOENT ? 'executable file not found in $PATH' : reasonOf(errno === EISDIR ? EACCES : errno);
  return new UserError(`unable to start container process: exec: ${wanted}: ${reason}`, exitCode);
}
