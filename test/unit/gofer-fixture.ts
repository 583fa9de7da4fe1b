/**
 * For unit tests of the gofer client: a sandbox's view of one host directory, served by a gofer in the same process. The server takes its step as
 * soon as a request was sent, so nothing waits for anything.
 *
 *     const fixture = new Fixture(root);
 *     fixture.cost(() => fixture.stat('/a'))      // how many messages that took
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { O_DIRECTORY, O_RDONLY } from '#sentry/abi/fs.ts';
import type { IdMap } from '#gofer/server/id-map.ts';
import { TestGofer } from '#gofer/server/testing.ts';
import type { HostMemory, HostStat } from '#platform/contract/host.ts';
import { createHost } from '#platform/host/host.ts';
import type { LinuxHost } from '#platform/host/host.ts';
import { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import type { GoferHost } from '#sentry/fs/gofer/connection.ts';
import { mountGofer, shareConnection } from '#sentry/fs/gofer/file-system.ts';
import type { Caching, GoferFileSystem } from '#sentry/fs/gofer/file-system.ts';
import { KernelIo } from '#sentry/mm/io.ts';
import * as attributesOf from '#sentry/vfs/attributes.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import type { FileDescription } from '#sentry/vfs/file-description.ts';
import { FsContext } from '#sentry/vfs/fs-context.ts';
import { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import { open } from '#sentry/vfs/open.ts';
import { Vfs } from '#sentry/vfs/vfs.ts';
import type { VfsCaller } from '#sentry/vfs/walk.ts';

export const realHost: LinuxHost = createHost({});
export const buffer: HostMemory = realHost.allocate(65_536);

/** The host for a client of `gofer`, which takes its step as soon as a request was sent. */
export function steppingHost(gofer: TestGofer): GoferHost {
  return new Proxy<GoferHost>(realHost, {
    get: (target, key) => {
      if (key !== 'send') {
        const value = Reflect.get(target, key) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      }
      return (...args: Parameters<GoferHost['send']>): number => {
        const sent = target.send(...args);
        gofer.connection.serveOne();
        return sent;
      };
    },
  });
}

/** What most tests do without. */
export interface Special {
  readonly ids?: IdMap;
  readonly readOnlyLater?: boolean;
  /** Directories are watched, as in a container. */
  readonly watched?: boolean;
}

export class Fixture {
  readonly gofer: TestGofer;
  readonly connection: GoferConnection;
  readonly fileSystem: GoferFileSystem;
  readonly caller: VfsCaller;
  lost = '';

  constructor(root: string, caching: Caching = 'exclusive', readOnly = false, fids = 64, special: Special = {}) {
    const { ids = null, watched = false, ...config } = special;
    this.gofer = new TestGofer([{ path: root, readOnly, ...config }], fids, ids);
    const { gofer } = this;
    this.connection = new GoferConnection(steppingHost(gofer), gofer.socket, (reason) => (this.lost = reason));
    if (!this.connection.awaitHello()) throw new Error('no hello');
    const vfs = new Vfs(realHost);
    const shared = shareConnection(this.connection);
    shared.watches.isEnabled = watched;
    if (watched) vfs.beforeWalk = () => shared.watches.drain();
    const mounted = mountGofer({
      ...shared,
      mount: 0,
      device: 77,
      allocateDevice: () => vfs.allocateDevice(),
      caching,
    });
    if (typeof mounted === 'number') throw new Error(`mount: ${mounted}`);
    this.fileSystem = mounted;
    const namespace = new MountNamespace(vfs, mounted, 0, 'test');
    const fs = new FsContext(namespace, namespace.rootPath, namespace.rootPath, 0o022);
    this.caller = { credentials: initialCredentials(0, 0, [0], ALL_CAPABILITIES), fs, task: null };
  }

  /** How many requests `action` costs. */
  cost(action: () => void): number {
    const before = this.connection.requests;
    action();
    return this.connection.requests - before;
  }

  open(path: string, flags: number, mode = 0o644): FileDescription {
    const file = open(this.caller, null, path, flags, mode, 0);
    if (typeof file === 'number') throw new Error(`open ${path}: ${file}`);
    return file;
  }

  tryOpen(path: string, flags: number): number {
    const file = open(this.caller, null, path, flags, 0o644, 0);
    if (typeof file === 'number') return file;
    file.release();
    return 0;
  }

  read(file: FileDescription, position: number, length = 1000): string {
    const n = file.read(new KernelIo(buffer, 0, length), position, this.caller);
    return n < 0 ? `error ${n}` : buffer.latin1(0, n);
  }

  write(file: FileDescription, text: string, position: number): number {
    buffer.writeLatin1(text, 0);
    return file.write(new KernelIo(buffer, 0, text.length), position, this.caller);
  }

  stat(path: string): HostStat | number {
    const into = emptyAttributes();
    const error = attributesOf.stat(this.caller, null, path, 0, into);
    return error < 0 ? error : into;
  }

  list(path: string): string[] {
    const file = this.open(path, O_RDONLY | O_DIRECTORY);
    const found: string[] = [];
    file.readdir((name) => found.push(name) > 0, this.caller);
    file.release();
    return found.toSorted();
  }

  close(): void {
    this.gofer.close();
  }
}
