/**
 * Builds a tree of mounts as the superuser would, before there is any process.
 *
 *     const builder = new TreeBuilder(host, namespace);
 *     builder.mount('/etc/hosts', fileSystem, MS_RDONLY, 'gofer');      // the place is made if it is missing
 *     const at = builder.find('/proc/kcore');                           // or -errno
 *     builder.release();
 *
 * The root may be anybody's: places are walked to one name at a time, symbolic links and `..` stay below the root, what is missing behind a
 * dangling link is made where the link points. A link of proc is not followed: there is no process yet for which it would lead anywhere.
 * Nothing that lies there is opened, so a FIFO or a device in the way does no harm.
 */
import { EEXIST, ELOOP, ENOENT, errnoName } from '#sentry/abi/errno.ts';
import { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFREG, SYMLINKS_MAX } from '#sentry/abi/fs.ts';
import type { Host } from '#platform/contract/host.ts';
import { KernelIo } from '#sentry/mm/io.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import { FsContext } from '#sentry/vfs/fs-context.ts';
import type { FileSystem } from '#sentry/vfs/inode.ts';
import type { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import type { Mount, Path } from '#sentry/vfs/mount.ts';
import type { FileDescription } from '#sentry/vfs/file-description.ts';
import { open } from '#sentry/vfs/open.ts';
import { mkdir, mknod, unlink } from '#sentry/vfs/operations.ts';
import { resolve } from '#sentry/vfs/walk.ts';
import type { VfsCaller } from '#sentry/vfs/walk.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import type { WrittenFile } from './network-files.ts';

/** What is made where nothing is: the directories on the way and, last, a directory or an empty file. */
type Missing = 'nothing' | 'directory' | 'file';

/** Of directories and files made to be mounted on, before the umask: those of runc. */
const MADE_MODE = 0o777;

export class TreeBuilder {
  readonly namespace: MountNamespace;
  /** Has every capability. */
  readonly caller: VfsCaller;
  readonly host: Host;
  /** Places found stay valid until the end. */
  private readonly held: Path[] = [];

  constructor(host: Host, namespace: MountNamespace) {
    this.host = host;
    this.namespace = namespace;
    const { rootPath } = namespace;
    this.caller = {
      credentials: initialCredentials(0, 0, [0], ALL_CAPABILITIES),
      fs: new FsContext(namespace, rootPath, rootPath, 0o022),
      task: null,
    };
  }

  /** The place `path` leads to, or -errno. It stays valid until `release`. */
  find(path: string): Path | number {
    return this.walk(path, 'nothing', 'followed');
  }

  /** The same, but if the path ends with a symbolic link, that. */
  look(path: string): Path | number {
    return this.walk(path, 'nothing', 'shown');
  }

  /** The same; if it is missing it is made. */
  make(path: string, last: 'directory' | 'file'): Path | number {
    return this.walk(path, last, 'followed');
  }

  /** What is called `name` in a directory, or -errno. Links are not followed. */
  enter(directory: Path, name: string): Path | number {
    const found = resolve(this.caller, directory, name, 0);
    return typeof found === 'number' ? found : this.hold(found);
  }

  /** Shows `fileSystem` at `place`: the mount, or -errno. */
  tryMount(place: string, fileSystem: FileSystem, flags: number, source: string): Mount | number {
    const at = this.make(place, fileSystem.root.isDirectory ? 'directory' : 'file');
    return typeof at === 'number' ? at : this.arrived(this.namespace.mount(at, fileSystem, flags, source));
  }

  /** Shows what is at `from`, perhaps in another namespace, at `place`: the mount, or -errno. */
  tryBind(place: string, from: Path, flags: number): Mount | number {
    const at = this.make(place, from.dentry.inode!.isDirectory ? 'directory' : 'file');
    return typeof at === 'number' ? at : this.arrived(this.namespace.bind(at, from, flags));
  }

  /** Something mounted on the root is the root from then on. */
  private arrived(mounted: Mount | number): Mount | number {
    const { fs } = this.caller;
    fs.setRoot(this.namespace.rootPath);
    fs.setCwd(this.namespace.rootPath);
    return mounted;
  }

  mount(place: string, fileSystem: FileSystem, flags: number, source: string): void {
    const mounted = this.tryMount(place, fileSystem, flags, source);
    if (typeof mounted === 'number') throw new UserError(`cannot mount on ${toText(place)} inside the sandbox (${errnoName(-mounted)}).`);
  }

  /** Puts a file of ours where the root may have one. */
  write({ path, contents }: WrittenFile): void {
    const directory = this.make(path.slice(0, path.lastIndexOf('/')), 'directory');
    const name = path.slice(path.lastIndexOf('/') + 1);
    const file = typeof directory === 'number' ? directory : this.replaceFile(directory, name);
    if (typeof file === 'number') throw new UserError(`cannot write ${toText(path)} inside the sandbox (${errnoName(-file)}).`);
    this.fill(file, contents);
  }

  /** Adds to a file of the root; what is no regular file is left alone. */
  append({ path, contents }: WrittenFile): void {
    const at = this.find(path);
    if (typeof at === 'number' || !at.dentry.inode!.isRegular) return;
    const file = open(this.caller, null, path, O_WRONLY | O_APPEND | O_NOFOLLOW, 0, 0);
    if (typeof file === 'number') return;
    this.fill(file, contents);
  }

  private fill(file: FileDescription, contents: string): void {
    const memory = this.host.allocate(contents.length);
    memory.writeLatin1(contents, 0);
    file.write(new KernelIo(memory, 0, contents.length), 0, this.caller);
    file.release();
  }

  private replaceFile(directory: Path, name: string): ReturnType<typeof open> {
    // What is there may be a link to somewhere else.
    unlink(this.caller, directory, name);
    return open(this.caller, directory, name, O_WRONLY | O_CREAT | O_EXCL, 0o644, 0);
  }

  private walk(path: string, missing: Missing, lastLink: 'followed' | 'shown'): Path | number {
    const rest = namesOf(path);
    let at = this.hold(this.namespace.rootPath);
    for (let links = 0; ; ) {
      const name = rest.pop();
      if (name === undefined) return at;
      const next = this.step(at, name, rest.length === 0 || missing === 'nothing' ? missing : 'directory');
      if (typeof next === 'number') return next;
      if (!next.dentry.inode!.isSymlink || (rest.length === 0 && lastLink === 'shown')) {
        at = next;
        continue;
      }
      if (++links > SYMLINKS_MAX) return -ELOOP;
      const target = this.linkTarget(next);
      if (typeof target === 'number') return target;
      if (target.startsWith('/')) at = this.hold(this.namespace.rootPath);
      rest.push(...namesOf(target));
    }
  }

  private step(at: Path, name: string, missing: Missing): Path | number {
    const found = this.enter(at, name);
    if (found !== -ENOENT || missing === 'nothing') return found;
    const made = missing === 'file' ? mknod(this.caller, at, name, S_IFREG | MADE_MODE, 0) : mkdir(this.caller, at, name, MADE_MODE);
    // The host may have made it meanwhile.
    if (made < 0 && made !== -EEXIST) return made;
    return this.enter(at, name);
  }

  private linkTarget({ mount, dentry }: Path): string | number {
    if (mount.fileSystem.type === 'proc') return -ELOOP;
    const target = dentry.inode!.readlink(this.caller);
    return target === '' ? -ENOENT : target;
  }

  private hold(at: Path): Path {
    at.mount.acquire();
    at.dentry.acquire();
    this.held.push(at);
    return at;
  }

  /** Nothing more is built: lets go of the places found. */
  release(): void {
    for (const { mount, dentry } of this.held.splice(0)) {
      dentry.release();
      mount.release();
    }
    this.caller.fs.release();
  }
}

/** The names in `path`, the first one last. */
function namesOf(path: string): string[] {
  return path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .reverse();
}
