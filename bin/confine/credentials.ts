/**
 * Giving up ids and capabilities, for processes started as root.
 *
 * The ids change through the C library, which changes them in every thread of the process, and a thread whose last root id goes loses all
 * its capabilities. capset(2) is per thread. So the way to leave no helper thread of Node with capabilities is to change the user; the
 * calling thread alone keeps what it still needs, by PR_SET_KEEPCAPS. See capabilities(7).
 */
import { allocateMemory } from '#platform/host/memory.ts';
import { dropGroups, prctl, setresgid, setresuid, systemCall } from '#platform/host/setup-calls.ts';
import type { ConfinementReport } from './report.ts';

export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_NET_BIND_SERVICE = 10;
export const CAP_SETFCAP = 31;

/**
 * User ids for sandboxes: base plus process id, so that no two sandboxes share one. The range lies above what distributions and container
 * managers hand out (systemd's table of uids leaves it unused). Where it is not mapped, as in a user namespace, `nobody` has to do.
 */
export const SENTRY_USERS = 0x7000_0000;
export const GOFER_USERS = 0x7040_0000;
export const NETWORK_USERS = 0x7080_0000;
const NOBODY = 65_534;

const SYS_CAPGET = 125;
const SYS_CAPSET = 126;
const LINUX_CAPABILITY_VERSION_3 = 0x2008_0522;
const PR_SET_KEEPCAPS = 8;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

// struct __user_cap_header_struct, then two struct __user_cap_data_struct.
const memory = allocateMemory(4096);
const HEADER = 0;
const DATA = 8;
const DATA_SIZE = 12;

function prepareHeader(): void {
  memory.view.setUint32(HEADER, LINUX_CAPABILITY_VERSION_3, true);
  memory.view.setInt32(HEADER + 4, 0, true);
}

/** The capabilities below 32 this thread may use: a bit mask. */
export function permittedCapabilities(): number {
  prepareHeader();
  const result = systemCall(SYS_CAPGET, memory.address + HEADER, memory.address + DATA);
  return result < 0 ? 0 : memory.view.getUint32(DATA + 4, true);
}

/** Leaves the calling thread exactly these capabilities (a bit mask, all below 32). */
export function keepCapabilities(mask: number): number {
  prepareHeader();
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  memory.bytes.fill(0, DATA, DATA + 2 * DATA_SIZE);
  memory.view.setUint32(DATA, mask, true); // effective
  memory.view.setUint32(DATA + 4, mask, true); // permitted
  return systemCall(SYS_CAPSET, memory.address + HEADER, memory.address + DATA);
}

/** Runs `action` while the calling thread has `capability` (below 32) permitted but not in effect. */
export function withoutCapability(capability: number, action: () => void): void {
  prepareHeader();
  if (systemCall(SYS_CAPGET, memory.address + HEADER, memory.address + DATA) < 0) return action();
  const effective = memory.view.getUint32(DATA, true);
  const change = (mask: number): number => {
    memory.view.setUint32(DATA, mask, true);
    return systemCall(SYS_CAPSET, memory.address + HEADER, memory.address + DATA);
  };
  change(effective & ~(1 << capability));
  try {
    action();
  } finally {
    change(effective);
  }
}

/** Bit mask of capabilities. */
export function capabilityMask(...capabilities: readonly number[]): number {
  return capabilities.reduce((mask, capability) => mask | (1 << capability), 0);
}

/**
 * Becomes user and group `id` in every thread, and keeps the capabilities of `mask` in the calling one. Returns the id it became, or -errno
 * with the ids as they were.
 */
export function becomeUser(id: number, mask: number, report: ConfinementReport): number {
  prctl(PR_SET_KEEPCAPS, 1);
  report.step('no supplementary groups', dropGroups());
  let became = id;
  let result = changeIds(id);
  if (result < 0) {
    became = NOBODY;
    result = changeIds(NOBODY);
  }
  if (!report.step(`user and group ${became} in every thread`, result)) return result;
  report.step(
    mask === 0 ? 'no capabilities' : `capabilities 0x${(mask >>> 0).toString(16)} in the main thread, none in the others`,
    keepCapabilities(mask),
  );
  return became;
}

function changeIds(id: number): number {
  const group = setresgid(id);
  return group < 0 ? group : setresuid(id);
}

export function noNewPrivileges(report: ConfinementReport): void {
  report.step('no_new_privs', prctl(PR_SET_NO_NEW_PRIVS, 1));
}

/** Whether processes of the same user may trace this one, and whether it leaves core dumps. */
export function setDumpable(dumpable: 0 | 1): number {
  return prctl(PR_SET_DUMPABLE, dumpable);
}
