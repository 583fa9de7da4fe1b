/**
 * Landlock (landlock(7)): the calling thread can from now on reach only the files beneath the given descriptors, however it names them.
 * No privilege is needed. The rule set binds this thread and what it starts, not the other threads of the process: those are held by the
 * seccomp filter, which has no call that takes a path for them to make use of.
 */
import { close } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import type { ConfinementReport } from './report.ts';

const SYS_CREATE_RULESET = 444;
const SYS_ADD_RULE = 445;
const SYS_RESTRICT_SELF = 446;
const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;

const WRITE_FILE = 1 << 1;
const READ_FILE = 1 << 2;
const READ_DIR = 1 << 3;
const REMOVE_DIR = 1 << 4;
const REMOVE_FILE = 1 << 5;
const MAKE_DIR = 1 << 7;
const MAKE_REG = 1 << 8;
const MAKE_SOCK = 1 << 9;
const MAKE_FIFO = 1 << 10;
const MAKE_SYM = 1 << 12;
const REFER = 1 << 13;
const TRUNCATE = 1 << 14;

/** Rights of a read-only and of a writable root. Never executing, and never making devices. A socket made by name answers nobody. */
const READ = READ_FILE | READ_DIR;
const WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE;
/** Those of them that make sense for a single file. */
const OF_FILES = WRITE_FILE | READ_FILE | TRUNCATE;

/** Number of file rights each version of the interface knows, by version; the last for all later ones. */
const RIGHTS_BY_VERSION = [0, 13, 14, 15, 15, 16];
/** Also forbidden, where known: TCP connect and bind (4), abstract Unix sockets and signals to outside (6). */
const NET_SINCE = 4;
const NO_TCP = 3;
const SCOPE_SINCE = 6;

export interface LandlockRoot {
  readonly fd: number;
  readonly readOnly: boolean;
  readonly directory: boolean;
}

const memory = allocateMemory(4096);
const ATTRIBUTES_SIZE = 24;

/** Restricts the calling thread to `roots`, without TCP. Needs no_new_privs. */
export function restrictFiles(roots: readonly LandlockRoot[], report: ConfinementReport): void {
  restrict(roots, NO_TCP, report);
}

/** The calling thread reaches no file at all; what it does with sockets is left to others to restrict. */
export function restrictFilesOnly(report: ConfinementReport): void {
  restrict([], 0, report);
}

function restrict(roots: readonly LandlockRoot[], network: number, report: ConfinementReport): void {
  const what = roots.length === 0 ? 'Landlock without a path' : `Landlock with ${roots.length} root(s)`;
  const version = systemCall(SYS_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION);
  if (version < 0) {
    report.lacks(what, 'this kernel has no Landlock');
    return;
  }
  const handled = 2 ** RIGHTS_BY_VERSION[Math.min(version, RIGHTS_BY_VERSION.length - 1)]! - 1;
  memory.bytes.fill(0, 0, 64);
  memory.view.setUint32(0, handled, true);
  if (version >= NET_SINCE) memory.view.setUint32(8, network, true);
  if (version >= SCOPE_SINCE) memory.view.setUint32(16, 3, true);
  const size = version >= SCOPE_SINCE ? ATTRIBUTES_SIZE : version >= NET_SINCE ? 16 : 8;
  const ruleset = systemCall(SYS_CREATE_RULESET, memory.address, size, 0);
  if (ruleset < 0) {
    report.step(what, ruleset);
    return;
  }
  let result = 0;
  for (const root of roots) if (result >= 0) result = addRule(ruleset, root, handled);
  if (result >= 0) result = systemCall(SYS_RESTRICT_SELF, ruleset, 0);
  close(ruleset);
  report.step(`${what}, version ${version} (main thread)`, result);
}

function addRule(ruleset: number, { fd, readOnly, directory }: LandlockRoot, handled: number): number {
  const wanted = (readOnly ? READ : WRITE) & handled & (directory ? ~0 : OF_FILES);
  // struct landlock_path_beneath_attr, packed.
  memory.bytes.fill(0, 0, 16);
  memory.view.setUint32(0, wanted, true);
  memory.view.setInt32(8, fd, true);
  return systemCall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, memory.address, 0);
}
