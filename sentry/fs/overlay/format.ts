/**
 * How overlayfs writes down in a layer what a directory tree cannot say (Linux Documentation/filesystems/overlayfs.rst): a removed name is a
 * character device 0/0, a directory that hides those below it carries an extended attribute.
 */
import { S_IFCHR, S_IFMT } from '#sentry/abi/fs.ts';
import type { Inode } from '../../vfs/inode.ts';

export const WHITEOUT_MODE: number = S_IFCHR;
export const OVERLAY_XATTR_PREFIX = 'trusted.overlay.';
export const OPAQUE_XATTR = 'trusted.overlay.opaque';
export const OPAQUE_VALUE = 'y';

export function isWhiteout(inode: Inode): boolean {
  return (inode.mode & S_IFMT) === S_IFCHR && inode.rdev === 0;
}

export function isOpaque(directory: Inode): boolean {
  return directory.getxattr(OPAQUE_XATTR) === OPAQUE_VALUE;
}
