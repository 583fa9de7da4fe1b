/**
 * Extended attributes (xattr(7)): which names there are, who sees and changes them. Inodes only store them.
 *
 * user.* lies on regular files and directories and goes by the file's permissions; trusted.* is visible to CAP_SYS_ADMIN alone; security.* is
 * readable by all. POSIX ACLs (system.*) are not kept: EOPNOTSUPP, as on a file system mounted without them.
 * Linux: fs/xattr.c xattr_permission, security/commoncap.c.
 */
import { E2BIG, EINVAL, ENODATA, EOPNOTSUPP, EPERM, ERANGE } from '#sentry/abi/errno.ts';
import { R_OK, S_ISVTX, W_OK, XATTR_CREATE, XATTR_REPLACE } from '#sentry/abi/fs.ts';
import { IN_ATTRIB } from '#sentry/abi/event-files.ts';
import { happenedIf } from './watchers.ts';
import { capable, CAP_SETFCAP, CAP_SYS_ADMIN } from './credentials.ts';
import type { Caller, Inode } from './inode.ts';
import type { Target } from './mount.ts';
import { ownerOrCapable, permission, writable } from './permission.ts';

export const XATTR_NAME_MAX = 255;
export const XATTR_SIZE_MAX = 65_536;
export const XATTR_LIST_MAX = 65_536;

const USER = 'user.';
const TRUSTED = 'trusted.';
const SECURITY = 'security.';
const SYSTEM = 'system.';

export function getxattr(caller: Caller, target: Target, name: string): string | number {
  const inode = target.dentry.inode!;
  const error = checkName(name) || mayAccess(caller, inode, name, R_OK) || checkNamespace(name);
  return error < 0 ? error : inode.getxattr(name);
}

export function setxattr(caller: Caller, target: Target, name: string, value: string, flags: number): number {
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) return -EINVAL;
  if (value.length > XATTR_SIZE_MAX) return -E2BIG;
  const inode = target.dentry.inode!;
  const error =
    checkName(name) ||
    writable(target.mount) ||
    mayAccess(caller, inode, name, W_OK) ||
    maySetSecurity(caller, name) ||
    checkNamespace(name);
  return error < 0 ? error : happenedIf(target.dentry, IN_ATTRIB, inode.setxattr(name, value, flags));
}

export function listxattr(caller: Caller, target: Target): readonly string[] | number {
  const names = target.dentry.inode!.listxattr();
  if (typeof names === 'number' || names.length === 0 || capable(caller.credentials, CAP_SYS_ADMIN)) return names;
  return names.filter((name) => !name.startsWith(TRUSTED));
}

export function removexattr(caller: Caller, target: Target, name: string): number {
  const inode = target.dentry.inode!;
  const error =
    checkName(name) ||
    writable(target.mount) ||
    mayAccess(caller, inode, name, W_OK) ||
    maySetSecurity(caller, name) ||
    checkNamespace(name);
  return error < 0 ? error : happenedIf(target.dentry, IN_ATTRIB, inode.removexattr(name));
}

function checkName(name: string): number {
  return name === '' || name.length > XATTR_NAME_MAX ? -ERANGE : 0;
}

/** There is a handler for the name's namespace, and something after the prefix. */
function checkNamespace(name: string): number {
  if (!name.startsWith(USER) && !name.startsWith(TRUSTED) && !name.startsWith(SECURITY)) return -EOPNOTSUPP;
  return name.length === name.indexOf('.') + 1 ? -EINVAL : 0;
}

function mayAccess(caller: Caller, inode: Inode, name: string, mask: number): number {
  const { credentials } = caller;
  if (name.startsWith(SECURITY) || name.startsWith(SYSTEM)) return 0;
  const writing = mask === W_OK;
  if (name.startsWith(TRUSTED)) {
    if (!capable(credentials, CAP_SYS_ADMIN)) return writing ? -EPERM : -ENODATA;
  } else if (name.startsWith(USER)) {
    const { mode } = inode;
    if (!inode.isRegular && !inode.isDirectory) return writing ? -EPERM : -ENODATA;
    if (writing && inode.isDirectory && (mode & S_ISVTX) !== 0 && !ownerOrCapable(credentials, inode)) return -EPERM;
  }
  return permission(credentials, inode, mask);
}

/** security.* is set by the administrator, file capabilities by whoever has CAP_SETFCAP. */
function maySetSecurity(caller: Caller, name: string): number {
  if (!name.startsWith(SECURITY)) return 0;
  return capable(caller.credentials, name === 'security.capability' ? CAP_SETFCAP : CAP_SYS_ADMIN) ? 0 : -EPERM;
}
