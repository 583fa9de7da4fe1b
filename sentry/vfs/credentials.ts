/**
 * Credentials of a task, as credentials(7) and capabilities(7) define them. Immutable: a change makes a new object, so that an
 * open file can keep those it was opened with.
 */

export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_KILL = 5;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_SETPCAP = 8;
export const CAP_LINUX_IMMUTABLE = 9;
export const CAP_NET_BIND_SERVICE = 10;
export const CAP_NET_ADMIN = 12;
export const CAP_NET_RAW = 13;
export const CAP_IPC_LOCK = 14;
export const CAP_IPC_OWNER = 15;
export const CAP_SYS_CHROOT = 18;
export const CAP_SYS_PTRACE = 19;
export const CAP_SYS_PACCT = 20;
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_BOOT = 22;
export const CAP_SYS_NICE = 23;
export const CAP_SYS_RESOURCE = 24;
export const CAP_SYS_TIME = 25;
export const CAP_SYS_TTY_CONFIG = 26;
export const CAP_MKNOD = 27;
export const CAP_SETFCAP = 31;
export const CAP_WAKE_ALARM = 35;
export const CAP_LAST_CAP = 40;

/** A set of capabilities as two 32-bit words. */
export interface CapabilitySet {
  readonly low: number;
  readonly high: number;
}
export const NO_CAPABILITIES: CapabilitySet = { low: 0, high: 0 };
export const ALL_CAPABILITIES: CapabilitySet = { low: 0xffff_ffff, high: (1 << (CAP_LAST_CAP - 31)) - 1 };

export interface Credentials {
  readonly uid: number;
  readonly euid: number;
  readonly suid: number;
  readonly fsuid: number;
  readonly gid: number;
  readonly egid: number;
  readonly sgid: number;
  readonly fsgid: number;
  readonly groups: readonly number[];
  readonly effective: CapabilitySet;
  readonly permitted: CapabilitySet;
  readonly inheritable: CapabilitySet;
  readonly bounding: CapabilitySet;
  readonly ambient: CapabilitySet;
  /** SECBIT_* of prctl(PR_SET_SECUREBITS), with SECBIT_KEEP_CAPS. */
  readonly securebits: number;
  readonly noNewPrivs: boolean;
}

/** Whether `capability` is effective. */
export function capable(credentials: Credentials, capability: number): boolean {
  const { low, high } = credentials.effective;
  return capability < 32 ? (low & (1 << capability)) !== 0 : (high & (1 << (capability - 32))) !== 0;
}

export function inGroup(credentials: Credentials, gid: number): boolean {
  return credentials.fsgid === gid || credentials.groups.includes(gid);
}

/** Credentials of a process that starts with the given ids; uid 0 holds `capabilities`, others none. */
export function initialCredentials(uid: number, gid: number, groups: readonly number[], capabilities: CapabilitySet): Credentials {
  const held = uid === 0 ? capabilities : NO_CAPABILITIES;
  return {
    uid,
    euid: uid,
    suid: uid,
    fsuid: uid,
    gid,
    egid: gid,
    sgid: gid,
    fsgid: gid,
    groups,
    effective: held,
    permitted: held,
    inheritable: NO_CAPABILITIES,
    bounding: capabilities,
    ambient: NO_CAPABILITIES,
    securebits: 0,
    noNewPrivs: false,
  };
}
