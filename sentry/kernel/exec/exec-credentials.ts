/**
 * What execve does to credentials: set-user-ID files, file capabilities, and the rules of capabilities(7), "Transformation of capabilities during
 * execve()". Linux: security/commoncap.c, cap_bprm_creds_from_file.
 */
import { EPERM } from '#sentry/abi/errno.ts';
import { NO_CAPABILITIES } from '../../vfs/credentials.ts';
import type { CapabilitySet, Credentials } from '../../vfs/credentials.ts';
import type { FileCapabilities } from './file-capabilities.ts';

const SECBIT_NOROOT = 1;
const SECBIT_KEEP_CAPS = 16;

/** What a file changes about whoever executes it. */
export interface FilePrivileges {
  /** Of a set-user-ID file, or null. */
  readonly uid: number | null;
  readonly gid: number | null;
  readonly capabilities: FileCapabilities | null;
}

export interface CredentialChange {
  readonly credentials: Credentials;
  /** The program runs in secure mode (AT_SECURE). */
  readonly secure: boolean;
}

/** The new credentials; -EPERM when the file is to have capabilities in effect that the bounding set withholds. */
export function credentialsAfterExec(old: Credentials, file: FilePrivileges): CredentialChange | number {
  const euid = file.uid === null || old.noNewPrivs ? old.euid : file.uid;
  const egid = file.gid === null || old.noNewPrivs ? old.egid : file.gid;
  const isSetId = euid !== old.uid || egid !== old.gid;
  const granted = grantedBy(old, euid, file.capabilities);
  if (granted === null) return -EPERM;
  const idsChange = euid !== old.euid || egid !== old.egid;
  const ambient = idsChange || file.capabilities !== null ? NO_CAPABILITIES : old.ambient;
  const all = union(granted.permitted, ambient);
  // With no_new_privs nobody gets more than he had.
  const permitted = old.noNewPrivs ? intersection(all, old.permitted) : all;
  const credentials: Credentials = {
    ...old,
    euid,
    suid: euid,
    fsuid: euid,
    egid,
    sgid: egid,
    fsgid: egid,
    permitted,
    effective: granted.effective ? permitted : intersection(ambient, permitted),
    ambient: intersection(ambient, permitted),
    securebits: old.securebits & ~SECBIT_KEEP_CAPS,
  };
  const gains = granted.effective || !isSubset(permitted, ambient);
  return { credentials, secure: isSetId || (old.uid !== 0 && gains) };
}

/** What comes of the file's capabilities, or of being root. null: the file insists on what may not be. */
function grantedBy(
  old: Credentials,
  euid: number,
  file: FileCapabilities | null,
): { readonly permitted: CapabilitySet; readonly effective: boolean } | null {
  const isPrivileged = (old.securebits & SECBIT_NOROOT) === 0 && (euid === 0 || old.uid === 0);
  // A set-user-ID-root file with capabilities of its own gives an ordinary user only these.
  const byFile = !isPrivileged || (file !== null && euid === 0 && old.uid !== 0);
  if (file !== null) {
    const permitted = union(intersection(old.bounding, file.permitted), intersection(old.inheritable, file.inheritable));
    if (file.effective && !isSubset(file.permitted, permitted)) return null;
    if (byFile) return { permitted, effective: file.effective };
  }
  if (!isPrivileged) return { permitted: NO_CAPABILITIES, effective: false };
  return { permitted: union(old.inheritable, old.bounding), effective: euid === 0 };
}

function union(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: (a.low | b.low) >>> 0, high: (a.high | b.high) >>> 0 };
}

function intersection(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: (a.low & b.low) >>> 0, high: (a.high & b.high) >>> 0 };
}

function isSubset(a: CapabilitySet, b: CapabilitySet): boolean {
  return (a.low & ~b.low) === 0 && (a.high & ~b.high) === 0;
}
