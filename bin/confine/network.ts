/**
 * Confining the network helper, in two steps:
 *
 *   isolateNetwork()   when the host's resolver configuration was read. As root: empty root directory → a user of its own in all threads, the main
 *                      thread keeping the right to bind to ports below 1024. As anyone else: no capabilities.
 *   confineNetwork(…)  when it listens where it has to (as that user: the host lets only sockets of one user share a port), before it takes its first
 *                      message: no capabilities → no_new_privs → Landlock without a path → seccomp. For guests whose sockets are the host's, one
 *                      capability stays where the caller has it: ports below 1024 (NET_BIND_SERVICE)
 *
 * It keeps its network namespace: reaching the network is its job.
 */
import type { Filter } from '#platform/bpf/assembler.ts';
import { HOST_NETWORK_FILTER } from '#platform/bpf/host-network-filter.ts';
import { NETWORK_FILTER } from '#platform/bpf/network-filter.ts';
import {
  becomeUser,
  CAP_NET_BIND_SERVICE,
  capabilityMask,
  keepCapabilities,
  NETWORK_USERS,
  noNewPrivileges,
  permittedCapabilities,
  setDumpable,
} from './credentials.ts';
import { enterEmptyRoot } from './empty-root.ts';
import { restrictFilesOnly } from './landlock.ts';
import { dieWithParent } from './parent.ts';
import { ConfinementReport } from './report.ts';
import { installFilter } from './seccomp.ts';

export function isolateNetwork(): ConfinementReport {
  const report = new ConfinementReport();
  if (process.geteuid!() !== 0) {
    report.lacks('empty root directory', 'needs CAP_SYS_CHROOT');
    return report;
  }
  enterEmptyRoot(report);
  becomeUser(NETWORK_USERS + process.pid, capabilityMask(CAP_NET_BIND_SERVICE) & permittedCapabilities(), report);
  return report;
}

export function confineNetwork(report: ConfinementReport): void {
  report.step('no capabilities', keepCapabilities(0));
  finish(report, NETWORK_FILTER);
}

/** The same for a helper that binds whenever a guest does. */
export function confineHostNetwork(report: ConfinementReport): void {
  const kept = capabilityMask(CAP_NET_BIND_SERVICE) & permittedCapabilities();
  report.step('no capabilities but binding to any port', keepCapabilities(kept));
  finish(report, HOST_NETWORK_FILTER);
}

function finish(report: ConfinementReport, filter: Filter): void {
  dieWithParent(report);
  noNewPrivileges(report);
  report.step('not dumpable, not traceable', setDumpable(0));
  restrictFilesOnly(report);
  installFilter(filter, report);
}
