/**
 * From a place back to its name, for getcwd(2), /proc/PID/{cwd,exe,fd,maps,mountinfo}: "/usr/bin/env", "/tmp/x (deleted)", and "(unreachable)"
 * in front of what does not lie below the reader's root. Linux: d_path, prepend_path.
 */
import { ENOENT } from '#sentry/abi/errno.ts';
import type { FsContext } from './fs-context.ts';
import type { Path, Target } from './mount.ts';
import type { Dentry } from './dentry.ts';

/** Name of `at` as seen from `root`. */
export function pathName(at: Target, root: Path): string {
  if (at.mount === null || (at.dentry.parent === null && at.mount.root !== at.dentry)) return at.dentry.name;
  const name = climb(at, root);
  return at.dentry.unlinked ? `${name} (deleted)` : name;
}

/** The working directory for getcwd(2), or -ENOENT when it was removed. */
export function getcwd(fs: FsContext): string | number {
  return fs.cwd.dentry.unlinked ? -ENOENT : climb(fs.cwd, fs.root);
}

function climb(at: Target, root: Path): string {
  let { dentry } = at;
  let mount = at.mount!;
  let name = '';
  while (dentry !== root.dentry || mount !== root.mount) {
    if (dentry === mount.root) {
      if (mount.parent === null || mount.mountpoint === null) {
        // The top of a tree that is not the reader's: the namespace's own root when he is in a chroot, or an unmounted file system.
        return `(unreachable)${name === '' ? '/' : name}`;
      }
      dentry = mount.mountpoint;
      mount = mount.parent;
    } else {
      name = `/${dentry.name}${name}`;
      if (dentry.parent === null) return `(unreachable)${name}`;
      dentry = dentry.parent;
    }
  }
  return name === '' ? '/' : name;
}

/** Name of `dentry` from the root of its own file system: the fourth field of mountinfo. */
export function nameInFileSystem(dentry: Dentry): string {
  let name = '';
  for (let at = dentry; at.parent !== null; at = at.parent) name = `/${at.name}${name}`;
  return name === '' ? '/' : name;
}
