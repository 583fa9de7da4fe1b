/**
 * `security.capability` between a container and the host (capabilities(7), "Namespaced file capabilities"; struct vfs_ns_cap_data). What the root of
 * a user namespace gives a file counts in that namespace only: the attribute then has revision 3 and names the namespace's root by the host's
 * number. A container without a user namespace, and the inside of one with, see and set revision 2.
 */
import type { IdMap } from './id-map.ts';

/** Bytes of revision 2, and of what both begin with. */
const LENGTH = 20;
const LENGTH_WITH_ROOT = 24;
const REVISION_AT = 3;

/** What a stored value means inside, or null: nothing. */
export function capabilityInside(value: string, users: IdMap | null): string | null {
  const names = value.charCodeAt(REVISION_AT) === 3;
  if (names && value.length !== LENGTH_WITH_ROOT) return null;
  const root = names ? rootOf(value) : 0;
  if ((users === null ? root : users.toContainer(root)) !== 0) return null;
  return names ? withRevision(value, 2) : value;
}

/** What to store for a value set inside, or null: it is none. */
export function capabilityOutside(value: string, users: IdMap | null): string | null {
  const names = value.charCodeAt(REVISION_AT) === 3;
  if (names ? value.length !== LENGTH_WITH_ROOT || rootOf(value) !== 0 : value.length > LENGTH) return null;
  if (users === null) return names ? withRevision(value, 2) : value;
  const root = users.toHost(0);
  if (root < 0 || value.length < LENGTH) return null;
  const word = String.fromCharCode(root & 0xff, (root >>> 8) & 0xff, (root >>> 16) & 0xff, root >>> 24);
  return withRevision(value, 3) + word;
}

function rootOf(value: string): number {
  let root = 0;
  for (let i = LENGTH_WITH_ROOT - 1; i >= LENGTH; i--) root = root * 0x100 + value.charCodeAt(i);
  return root;
}

function withRevision(value: string, revision: number): string {
  return value.slice(0, REVISION_AT) + String.fromCharCode(revision) + value.slice(REVISION_AT + 1, LENGTH);
}
