/**
 * Confining the sentry, in two steps, because guest processes are copies of it and share its fate:
 *
 *   isolateSentry()   before the platform makes its first process, when every file is open and every module is loaded.
 *                     As root: empty root directory, a user of its own without any capability, in all threads. As anyone else: Landlock
 *                     without a path. no_new_privs. Guest processes inherit all of it; made earlier they would have another user or no
 *                     Landlock domain, and the host would not let the sentry touch their memory.
 *   confineSentry()   before the first guest instruction: not traceable by others, seccomp filter in all threads.
 *
 * What the host would not allow is in the report.
 */
import { sentryFilter } from '#platform/bpf/sentry-filter.ts';
import { exitNow } from '#platform/host/setup-calls.ts';
import { becomeUser, keepCapabilities, noNewPrivileges, SENTRY_USERS, setDumpable } from './credentials.ts';
import { enterEmptyRoot } from './empty-root.ts';
import { enterContainerView, openNamespaces } from './container-view.ts';
import type { ContainerView } from './container-view.ts';
import { restrictFiles } from './landlock.ts';
import { ConfinementReport } from './report.ts';
import { installFilter } from './seccomp.ts';

let isolation: ConfinementReport | null = null;
let confined = false;

/** First step. From here on no file can be opened by name. `view`: what lies in the mount namespace of a container's host process. */
export function isolateSentry(view: ContainerView | null = null): ConfinementReport {
  const report = new ConfinementReport();
  isolation = report;
  if (process.geteuid!() === 0) isolateRoot(view, report);
  else isolateUser(report);
  return report;
}

function isolateRoot(view: ContainerView | null, report: ConfinementReport): void {
  const namespaces = view === null ? -1 : openNamespaces();
  enterEmptyRoot(report);
  if (view !== null) {
    enterContainerView(view, namespaces, report);
    // The main thread has a root directory of its own now, which the view became.
    enterEmptyRoot(report);
  }
  noNewPrivileges(report);
  if (becomeUser(SENTRY_USERS + process.pid, 0, report) < 0) report.step('no capabilities (main thread)', keepCapabilities(0));
  // Changing the user made us untraceable, and the first guest process, a copy of us, with us.
  setDumpable(1);
}

function isolateUser(report: ConfinementReport): void {
  report.lacks('empty root directory', 'needs CAP_SYS_CHROOT');
  report.step('no capabilities', keepCapabilities(0));
  noNewPrivileges(report);
  restrictFiles([], report);
}

/** Second step, for a sentry that runs guests on `platform`. Returns what both did. */
export function confineSentry(platform: string): ConfinementReport {
  const report = isolation;
  if (report === null) throw new Error('confineSentry before isolateSentry');
  report.step('not dumpable, not traceable by others', setDumpable(0));
  installFilter(sentryFilter(platform), report);
  confined = true;
  return report;
}

/** Ends the process if it is confined: Node's own clean-up makes calls (io_uring) that it may not make any more, and aborts. */
export function leaveIfConfined(status: number): void {
  if (!confined) return;
  process.emit('exit', status); // as Node does: bin/build.ts listens
  exitNow(status);
}
