/**
 * A kernel world with files: every process starts in the root of one tmpfs. Paths and data go through guest memory as a program's would.
 *
 *     const world = new FileWorld();
 *     const task = world.process();
 *     const fd = world.open(task, '/a', O_RDWR | O_CREAT);
 *     world.write(task, fd, 'abc');
 */
import { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { TMPFS_MEMFDS_MAX, TMPFS_SLAB_BYTES_MAX } from '#sentry/limits.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { FsContext } from '#sentry/vfs/fs-context.ts';
import { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import { Vfs } from '#sentry/vfs/vfs.ts';
import { AT_FDCWD, O_CREAT, O_RDWR } from '#sentry/abi/fs.ts';
import { DATA, KernelWorld } from './kernel-world.ts';

/** Places in guest memory: two paths, and room for data. */
export const PATH = DATA;
export const PATH2 = DATA + 0x2000;
export const BUFFER = DATA + 0x10000;

export class FileWorld extends KernelWorld {
  readonly vfs: Vfs;
  readonly namespace: MountNamespace;

  constructor() {
    super();
    this.vfs = new Vfs(this.host);
    const store = new FileStore(this.host, TMPFS_MEMFDS_MAX, TMPFS_SLAB_BYTES_MAX, this.kernel.memoryBudget);
    const make = (): TmpFileSystem => new TmpFileSystem(store, this.vfs.allocateDevice(), { ...TMPFS_DEFAULTS, mode: 0o1777 });
    this.vfs.types.set('tmpfs', make);
    this.namespace = new MountNamespace(this.vfs, make(), 0, 'tmpfs');
  }

  override process(parent: Task | null = null, uid = 0): Task {
    const task = super.process(parent, uid);
    const { rootPath } = this.namespace;
    task.fs = new FsContext(this.namespace, rootPath, rootPath, 0o022);
    if (parent !== null) {
      task.files.release();
      task.files = parent.files.fork();
    }
    return task;
  }

  path(task: Task, text: string, address = PATH): number {
    task.memory.writeString(address, text);
    return address;
  }

  /** A call that must not wait. */
  now(task: Task, name: string, ...args: readonly number[]): number {
    const result = this.call(task, name, ...args);
    if (typeof result !== 'number') throw new Error(`${name}: ${result}`);
    return result;
  }

  open(task: Task, path: string, flags: number = O_RDWR | O_CREAT, mode = 0o644): number {
    return this.now(task, 'openat', AT_FDCWD, this.path(task, path), flags, mode);
  }

  write(task: Task, fd: number, text: string): number {
    task.memory.writeBytes(BUFFER, text);
    return this.now(task, 'write', fd, BUFFER, text.length);
  }

  /** Bytes read, or the error. */
  read(task: Task, fd: number, length: number): string | number {
    const n = this.now(task, 'read', fd, BUFFER, length);
    return n < 0 ? n : this.text(task, BUFFER, n);
  }

  text(task: Task, address: number, length: number): string {
    const memory = this.host.allocate(Math.max(length, 1));
    if (task.memory.copyIn(address, memory, 0, length) < 0) throw new Error('no such guest memory');
    return memory.latin1(0, length);
  }

  stat(task: Task, fd: number): { mode: number; size: number; nlink: number } {
    if (this.now(task, 'fstat', fd, BUFFER) !== 0) throw new Error('fstat');
    const view = this.peek(task, BUFFER, 144);
    return { mode: view.getUint32(24, true), size: view.getUint32(48, true), nlink: view.getUint32(16, true) };
  }
}
