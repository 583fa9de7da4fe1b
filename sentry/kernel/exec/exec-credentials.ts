/**
 * What execve does to credentials: set-user-ID files and the capability rules of capabilities(7), "Transformation of capabilities during
 * execve()". File capabilities (security.capability) are not supported: such a file is executed without them.
 */
import { NO_CAPABILITIES } from '../../vfs/credentials.ts';
import type { CapabilitySet, Credentials } from '../../vfs/credentials.ts';

const SECBIT_NOROOT = 1;
const SECBIT_KEEP_CAPS = 16;

/** The new credentials, and whether the program runs in secure mode (AT_SECURE). */
export function credentialsAfterExec(
  old: Credentials,
  file: { uid: number | null; gid: number | null },
): { credentials: Credentials; secure: boolean } {
  const euid = file.uid === null || old.noNewPrivs ? old.euid : file.uid;
  const egid = file.gid === null || old.noNewPrivs ? old.egid : file.gid;
  const idsChange = euid !== old.euid || egid !== old.egid;
  const ambient = idsChange ? NO_CAPABILITIES : old.ambient;
  const isRoot = (old.securebits & SECBIT_NOROOT) === 0 && (euid === 0 || old.uid === 0);
  const permitted = isRoot ? union(old.inheritable, old.bounding) : ambient;
  const effective = isRoot && euid === 0 ? permitted : ambient;
  const credentials: Credentials = {
    ...old,
    euid,
    suid: euid,
    fsuid: euid,
    egid,
    sgid: egid,
    fsgid: egid,
    permitted,
    effective,
    ambient,
    securebits: old.securebits & ~SECBIT_KEEP_CAPS,
  };
  const secure = euid !== old.uid || egid !== old.gid;
  return { credentials, secure };
}

function union(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: (a.low | b.low) >>> 0, high: (a.high | b.high) >>> 0 };
}
