/**
 * Capabilities that a file gives whoever executes it: the attribute `security.capability` (capabilities(7), "File capabilities"; Linux
 * uapi/linux/capability.h, struct vfs_ns_cap_data).
 *
 *     u32 revision and flags, then permitted and inheritable for each 32 capabilities; revision 3 ends with the user id of its name space's root
 *
 * Anybody who could write the file system may have made it: what is not one of the three revisions is as if it were not there.
 */
import type { CapabilitySet } from '../../vfs/credentials.ts';
import type { Inode } from '../../vfs/inode.ts';

export const CAPABILITY_ATTRIBUTE = 'security.capability';

export interface FileCapabilities {
  readonly permitted: CapabilitySet;
  readonly inheritable: CapabilitySet;
  /** The program starts with them in effect. */
  readonly effective: boolean;
}

const FLAG_EFFECTIVE = 1;
/** Bytes by revision. */
const LENGTHS = [0, 12, 20, 24];
const ROOT_ID = 20;

/** Those of a file, or null. */
export function fileCapabilities(inode: Inode): FileCapabilities | null {
  const value = inode.getxattr(CAPABILITY_ATTRIBUTE);
  return typeof value === 'number' ? null : parseCapabilities(value);
}

/** The value of the attribute as a byte string; null if it is none, or is for another user namespace than that of user 0. */
export function parseCapabilities(value: string): FileCapabilities | null {
  const revision = value.charCodeAt(3);
  if (value.length !== LENGTHS[revision] || revision === 0) return null;
  if (revision === 3 && word(value, ROOT_ID) !== 0) return null;
  const high = revision === 1 ? 0 : 1;
  return {
    permitted: { low: word(value, 4), high: high * word(value, 12) },
    inheritable: { low: word(value, 8), high: high * word(value, 16) },
    effective: (value.charCodeAt(0) & FLAG_EFFECTIVE) !== 0,
  };
}

/** A little-endian word; 0 behind the end. */
function word(text: string, at: number): number {
  if (at + 4 > text.length) return 0;
  return (text.charCodeAt(at) | (text.charCodeAt(at + 1) << 8) | (text.charCodeAt(at + 2) << 16) | (text.charCodeAt(at + 3) << 24)) >>> 0;
}
