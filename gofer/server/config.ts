/**
 * What a gofer is told when it is started: the roots it serves. It travels as JSON; paths are byte strings (one character per byte), so that
 * any host name survives the trip.
 */
import { MOUNTS_MAX } from '#gofer/protocol/limits.ts';

export interface MountConfig {
  /** Absolute path on the host; links in it are followed once, at the start. */
  readonly path: string;
  readonly readOnly: boolean;
  /** Whether what is mounted below it on the host is shown too (by default it is). Needs the right to mount. */
  readonly recursive?: boolean;
}

export interface GoferConfig {
  readonly mounts: readonly MountConfig[];
  /** The socket to the sentry. */
  readonly socket: number;
  /** The user and group the gofer becomes when it was started as root; absent: one of its own. */
  readonly uid?: number;
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
  const { mounts, socket, uid } = value as Record<string, unknown>;
  if (!isId(socket)) return 'the gofer configuration names no socket';
  if (!Array.isArray(mounts) || mounts.length === 0 || mounts.length > MOUNTS_MAX) return `a gofer serves 1 to ${MOUNTS_MAX} roots`;
  if (!mounts.every(isMount)) return 'a root of the gofer configuration is not { path, readOnly } with an absolute path';
  if (uid !== undefined && !isId(uid)) return 'the user of the gofer configuration is not a number';
  return { mounts, socket, ...(uid === undefined ? {} : { uid }) };
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 0xffff_ffff;
}

function isMount(value: unknown): value is MountConfig {
  if (typeof value !== 'object' || value === null) return false;
  const { path, readOnly, recursive } = value as Record<string, unknown>;
  if (recursive !== undefined && typeof recursive !== 'boolean') return false;
  return typeof path === 'string' && path.startsWith('/') && !path.includes('\0') && path.length < 4096 && typeof readOnly === 'boolean';
}
