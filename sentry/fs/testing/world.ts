/**
 * A VFS without a kernel, for unit tests of file systems: one mount namespace, callers with any credentials, and short forms of the calls that
 * tests make all the time. Errors come back as in the kernel, as -errno.
 *
 *     const world = new World(host, new TmpFileSystem(…));
 *     world.writeFile('/a', 'text');
 *     expect(world.readFile('/a')).toBe('text');
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY } from '#sentry/abi/fs.ts';
import type { Host, HostMemory, HostStat } from '#platform/contract/host.ts';
import { KernelIo } from '../../mm/io.ts';
import { stat } from '../../vfs/attributes.ts';
import { ALL_CAPABILITIES, initialCredentials } from '../../vfs/credentials.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { FsContext } from '../../vfs/fs-context.ts';
import type { FileSystem } from '../../vfs/inode.ts';
import { MountNamespace } from '../../vfs/mount-namespace.ts';
import type { Path } from '../../vfs/mount.ts';
import { open } from '../../vfs/open.ts';
import { Vfs } from '../../vfs/vfs.ts';
import { resolve, WALK_FOLLOW } from '../../vfs/walk.ts';
import type { VfsCaller } from '../../vfs/walk.ts';

const BUFFER_SIZE = 1 << 20;

export interface TestCaller extends VfsCaller {
  credentials: Credentials;
}

export interface Listed {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
}

export class World {
  readonly vfs: Vfs;
  readonly namespace: MountNamespace;
  readonly fs: FsContext;
  /** Has every capability. */
  readonly root: TestCaller;
  private readonly buffer: HostMemory;

  constructor(host: Host, rootFileSystem: FileSystem) {
    this.vfs = new Vfs(host);
    this.namespace = new MountNamespace(this.vfs, rootFileSystem, 0, 'none');
    const path = this.namespace.rootPath;
    this.fs = new FsContext(this.namespace, path, path, 0o022);
    this.root = { credentials: initialCredentials(0, 0, [], ALL_CAPABILITIES), fs: this.fs, task: null };
    this.buffer = host.allocate(BUFFER_SIZE);
  }

  /** A caller without capabilities. */
  user(uid: number, gid: number = uid, groups: readonly number[] = []): TestCaller {
    return { credentials: initialCredentials(uid, gid, groups, ALL_CAPABILITIES), fs: this.fs, task: null };
  }

  path(name: string, flags: number = WALK_FOLLOW, caller: VfsCaller = this.root): Path {
    const path = resolve(caller, null, name, flags);
    if (typeof path === 'number') throw new Error(`${name}: ${path}`);
    return path;
  }

  open(name: string, flags: number = O_RDONLY, mode: number = 0o644, caller: VfsCaller = this.root): FileDescription {
    const file = open(caller, null, name, flags, mode, 0);
    if (typeof file === 'number') throw new Error(`${name}: ${file}`);
    return file;
  }

  /** 0 or -errno. */
  tryOpen(name: string, flags: number, mode: number = 0o644, caller: VfsCaller = this.root): number {
    const file = open(caller, null, name, flags, mode, 0);
    if (typeof file === 'number') return file;
    file.release();
    return 0;
  }

  write(file: FileDescription, text: string, position: number): number {
    this.buffer.writeLatin1(text, 0);
    return file.write(new KernelIo(this.buffer, 0, text.length), position, this.root);
  }

  read(file: FileDescription, position: number = 0, length: number = BUFFER_SIZE): string {
    const n = file.read(new KernelIo(this.buffer, 0, length), position, this.root);
    if (n < 0) throw new Error(`read: ${n}`);
    return this.buffer.latin1(0, n);
  }

  writeFile(name: string, text: string, mode: number = 0o644, caller: VfsCaller = this.root): void {
    const file = this.open(name, O_WRONLY | O_CREAT | O_TRUNC, mode, caller);
    const n = this.write(file, text, 0);
    file.release();
    if (n !== text.length) throw new Error(`write ${name}: ${n}`);
  }

  readFile(name: string): string {
    const file = this.open(name);
    try {
      return this.read(file);
    } finally {
      file.release();
    }
  }

  stat(name: string, flags: number = WALK_FOLLOW): HostStat {
    const into = emptyAttributes();
    const error = stat(this.root, null, name, flags, into);
    if (error < 0) throw new Error(`stat ${name}: ${error}`);
    return into;
  }

  /** 0 or -errno. */
  tryStat(name: string, flags: number = WALK_FOLLOW, caller: VfsCaller = this.root): number {
    return stat(caller, null, name, flags, emptyAttributes());
  }

  /** Names without '.' and '..', sorted. */
  list(name: string): string[] {
    return this.entries(name)
      .map((entry) => entry.name)
      .filter((entry) => entry !== '.' && entry !== '..')
      .sort();
  }

  /** Everything a listing yields, read `atOnce` entries at a time. */
  entries(name: string, atOnce: number = 3): Listed[] {
    const file = this.open(name, O_RDONLY | O_DIRECTORY);
    const all: Listed[] = [];
    for (let got = 1; got > 0; ) {
      got = 0;
      const error = file.readdir((entry, ino, type) => {
        if (got === atOnce) return false;
        got++;
        all.push({ name: entry, ino, type });
        return true;
      }, this.root);
      if (error < 0) throw new Error(`readdir ${name}: ${error}`);
    }
    file.release();
    return all;
  }
}
