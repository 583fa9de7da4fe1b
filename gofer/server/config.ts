/**
 * What a gofer is told when it is started: the roots it serves. It travels as JSON; paths are byte strings (one character per byte), so that
 * any host name survives the trip.
 */
import type { IdRange } from '#sentry/abi/id-range.ts';
import { ID_RANGES_MAX, MOUNTS_MAX } from '#gofer/protocol/limits.ts';

export interface MountConfig {
  /** Absolute path on the host; links in it are followed once, at the start. */
  readonly path: string;
  readonly readOnly: boolean;
  /** It is writable until the sentry has prepared it and asks for it to be read-only, once and for all (MakeReadOnly). `readOnly` is false. */
  readonly readOnlyLater?: boolean;
  /** Whether what is mounted below it on the host is shown too (by default it is). Needs the right to mount. */
  readonly recursive?: boolean;
}

export interface GoferConfig {
  readonly mounts: readonly MountConfig[];
  /** The socket to the sentry. */
  readonly socket: number;
  /** The user and group the gofer becomes when it was started as root; absent: one of its own. */
  readonly uid?: number;
  /** Users and groups of the container and of the host; absent or empty: they are the same. */
  readonly uidMappings?: readonly IdRange[];
  readonly gidMappings?: readonly IdRange[];
}

/** The configuration in `text`, or a sentence that says what is wrong with it. */
export function parseConfig(text: string): GoferConfig | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'the gofer configuration is not JSON';
  }
  if (typeof value !== 'object' || value === null) return 'the gofer configuration is not an object';
  const { mounts, socket, uid, uidMappings = [], gidMappings = [] } = value as Record<string, unknown>;
  if (!isId(socket)) return 'the gofer configuration names no socket';
  if (!Array.isArray(mounts) || mounts.length === 0 || mounts.length > MOUNTS_MAX) return `a gofer serves 1 to ${MOUNTS_MAX} roots`;
  if (!mounts.every(isMount)) return 'a root of the gofer configuration is not { path, readOnly } with an absolute path';
  if (uid !== undefined && !isId(uid)) return 'the user of the gofer configuration is not a number';
  if (!areRanges(uidMappings) || !areRanges(gidMappings)) return 'an id mapping of the gofer configuration is not a list of ranges';
  return { mounts, socket, uidMappings, gidMappings, ...(uid === undefined ? {} : { uid }) };
}

/** Stands for no user or group. */
const NO_ID = 0xffff_ffff;

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < NO_ID;
}

function areRanges(value: unknown): value is IdRange[] {
  return Array.isArray(value) && value.length <= ID_RANGES_MAX && value.every(isRange);
}

function isRange(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { containerID, hostID, size } = value as Record<string, unknown>;
  return isId(containerID) && isId(hostID) && isId(size) && containerID + size <= NO_ID && hostID + size <= NO_ID;
}

function isFlag(value: unknown): boolean {
  return value === undefined || typeof value === 'boolean';
}

function isMount(value: unknown): value is MountConfig {
  if (typeof value !== 'object' || value === null) return false;
  const { path, readOnly, readOnlyLater, recursive } = value as Record<string, unknown>;
  if (!isFlag(readOnlyLater) || !isFlag(recursive) || (readOnlyLater === true && readOnly === true)) return false;
  return typeof path === 'string' && path.startsWith('/') && !path.includes('\0') && path.length < 4096 && typeof readOnly === 'boolean';
}
