/**
 * Confining a gofer, after its roots are open and before it takes its first message.
 *
 *   as root           every root a detached mount (gofer/server/roots.ts) → empty root directory → a user of its own in all threads, the
 *                     main thread keeping the file capabilities its mounts need → no_new_privs → Landlock → seccomp
 *   as anyone else    no_new_privs → Landlock → seccomp
 *
 * User namespaces are not used: unshare(CLONE_NEWUSER) wants a process of one thread, and Node has several before its first line runs.
 * What did not work is reported, and serving goes on: the server's own rules hold without any of this.
 */
import { GOFER_FILTER } from '#platform/bpf/gofer-filter.ts';
import { setUmask, systemCall } from '#platform/host/setup-calls.ts';
import type { GoferConfig } from '#gofer/server/config.ts';
import { openWatches } from '#gofer/server/watch.ts';
import type { OpenedRoots } from '#gofer/server/roots.ts';
import type { Root } from '#gofer/server/server.ts';
import {
  becomeUser,
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_FSETID,
  CAP_SETFCAP,
  capabilityMask,
  GOFER_USERS,
  keepCapabilities,
  noNewPrivileges,
  permittedCapabilities,
  setDumpable,
} from './credentials.ts';
import { enterEmptyRoot } from './empty-root.ts';
import { restrictFiles } from './landlock.ts';
import { dieWithParent } from './parent.ts';
import { ConfinementReport } from './report.ts';
import { installFilter } from './seccomp.ts';

const SYS_FCHDIR = 81;

export interface GoferIdentity {
  readonly report: ConfinementReport;
  readonly uid: number;
  readonly mayChown: boolean;
  /** An inotify instance, or -1. */
  readonly watches: number;
}

/** Confines this process to the roots opened. */
export function confineGofer(config: GoferConfig, opened: OpenedRoots): GoferIdentity {
  const report = new ConfinementReport();
  if (opened.detached) report.done('every root is a detached mount, nodev, nosuid, read-only where it is to be');
  else report.lacks('roots as detached mounts', 'needs CAP_SYS_ADMIN');
  setUmask(0);
  const wasRoot = process.geteuid!() === 0;
  if (wasRoot) enterEmptyRoot(report);
  else report.lacks('empty root directory', 'needs CAP_SYS_CHROOT');
  const mask = wasRoot ? neededCapabilities(opened.roots) & permittedCapabilities() : 0;
  const uid = dropPrivileges(config, mask, wasRoot, report);
  dieWithParent(report);
  // What is to be watched is named from there, for inotify_add_watch takes no directory. Its own user, so that no other's limit is used up.
  const watches = systemCall(SYS_FCHDIR, opened.selfFd) < 0 ? -1 : openWatches();
  noNewPrivileges(report);
  report.step('not dumpable, not traceable', setDumpable(0));
  restrictFiles(opened.roots, report);
  installFilter(GOFER_FILTER, report);
  return { report, uid, watches, mayChown: (mask & capabilityMask(CAP_CHOWN)) !== 0 };
}

/** What serving these roots to whoever is inside takes: reading everything, and for a writable root the rights of a file server. */
function neededCapabilities(roots: readonly Root[]): number {
  const reading = capabilityMask(CAP_DAC_READ_SEARCH);
  // Some containers withhold CAP_DAC_READ_SEARCH and grant CAP_DAC_OVERRIDE, which includes it.
  if (roots.every((root) => root.readOnly)) return (permittedCapabilities() & reading) !== 0 ? reading : capabilityMask(CAP_DAC_OVERRIDE);
  return reading | capabilityMask(CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP);
}

function dropPrivileges(config: GoferConfig, mask: number, wasRoot: boolean, report: ConfinementReport): number {
  const own = process.geteuid!();
  if (!wasRoot) {
    report.step('no capabilities', keepCapabilities(0));
    return own;
  }
  const became = becomeUser(config.uid ?? GOFER_USERS + process.pid, mask, report);
  if (became >= 0) return became;
  report.step('capabilities reduced in the main thread only', keepCapabilities(mask));
  return own;
}
