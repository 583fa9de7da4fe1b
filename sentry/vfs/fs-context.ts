/**
 * A process's view of the tree: root, working directory and umask (Linux fs_struct), shared by threads and by clone(CLONE_FS).
 */
import type { Path } from './mount.ts';
import type { MountNamespace } from './mount-namespace.ts';

export class FsContext {
  root: Path;
  cwd: Path;
  umask: number;
  namespace: MountNamespace;
  private references = 1;

  constructor(namespace: MountNamespace, root: Path, cwd: Path, umask: number) {
    this.namespace = namespace;
    this.root = hold(root);
    this.cwd = hold(cwd);
    this.umask = umask;
  }

  setCwd(path: Path): void {
    const old = this.cwd;
    this.cwd = hold(path);
    drop(old);
  }

  setRoot(path: Path): void {
    const old = this.root;
    this.root = hold(path);
    drop(old);
  }

  fork(): FsContext {
    return new FsContext(this.namespace, this.root, this.cwd, this.umask);
  }

  acquire(): this {
    this.references++;
    return this;
  }

  release(): void {
    if (--this.references > 0) return;
    drop(this.root);
    drop(this.cwd);
  }

  get isShared(): boolean {
    return this.references > 1;
  }
}

function hold(path: Path): Path {
  path.mount.acquire();
  path.dentry.acquire();
  return path;
}

function drop(path: Path): void {
  path.dentry.release();
  path.mount.release();
}
