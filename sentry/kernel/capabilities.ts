/**
 * Arithmetic on capability sets, and what a change of user ids does to them (capabilities(7), "Effect of user ID changes on capabilities";
 * Linux security/commoncap.c).
 */
import { SECBIT_KEEP_CAPS, SECBIT_NO_SETUID_FIXUP } from '#sentry/abi/prctl.ts';
import {
  ALL_CAPABILITIES,
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_FSETID,
  CAP_LINUX_IMMUTABLE,
  CAP_MKNOD,
  NO_CAPABILITIES,
} from '../vfs/credentials.ts';
import type { CapabilitySet, Credentials } from '../vfs/credentials.ts';

export function union(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: (a.low | b.low) >>> 0, high: (a.high | b.high) >>> 0 };
}

export function intersection(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: (a.low & b.low) >>> 0, high: (a.high & b.high) >>> 0 };
}

export function without(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: (a.low & ~b.low) >>> 0, high: (a.high & ~b.high) >>> 0 };
}

export function isSubset(a: CapabilitySet, of: CapabilitySet): boolean {
  return (a.low & ~of.low) === 0 && (a.high & ~of.high) === 0;
}

export function only(capability: number): CapabilitySet {
  return capability < 32 ? { low: (1 << capability) >>> 0, high: 0 } : { low: 0, high: (1 << (capability - 32)) >>> 0 };
}

export function has(set: CapabilitySet, capability: number): boolean {
  return isSubset(only(capability), set);
}

/** The words a guest gave, without bits that mean nothing. */
export function validSet(low: number, high: number): CapabilitySet {
  return intersection({ low: low >>> 0, high: high >>> 0 }, ALL_CAPABILITIES);
}

const CAP_MAC_OVERRIDE = 32;
/** What a file system user id of 0 brings. */
const FILE_SYSTEM_SET: CapabilitySet = [
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_FSETID,
  CAP_LINUX_IMMUTABLE,
  CAP_MKNOD,
  CAP_MAC_OVERRIDE,
]
  .map(only)
  .reduce(union);

/** `changed` has the new user ids and the capabilities of `old`; the result has the right capabilities. */
export function afterUserIdChange(old: Credentials, changed: Credentials): Credentials {
  if ((old.securebits & SECBIT_NO_SETUID_FIXUP) !== 0) return changed;
  let { effective, permitted, ambient } = changed;
  const hadRoot = old.uid === 0 || old.euid === 0 || old.suid === 0;
  if (hadRoot && changed.uid !== 0 && changed.euid !== 0 && changed.suid !== 0) {
    if ((old.securebits & SECBIT_KEEP_CAPS) === 0) {
      permitted = NO_CAPABILITIES;
      effective = NO_CAPABILITIES;
    }
    ambient = NO_CAPABILITIES;
  }
  if (old.euid === 0 && changed.euid !== 0) effective = NO_CAPABILITIES;
  if (old.euid !== 0 && changed.euid === 0) effective = permitted;
  return { ...changed, effective, permitted, ambient };
}

/** The same for setfsuid(2). */
export function afterFileSystemIdChange(old: Credentials, changed: Credentials): Credentials {
  if ((old.securebits & SECBIT_NO_SETUID_FIXUP) !== 0) return changed;
  let { effective } = changed;
  if (old.fsuid === 0 && changed.fsuid !== 0) effective = without(effective, FILE_SYSTEM_SET);
  if (old.fsuid !== 0 && changed.fsuid === 0) effective = union(effective, intersection(changed.permitted, FILE_SYSTEM_SET));
  return { ...changed, effective };
}
