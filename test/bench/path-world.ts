/**
 * A complete sentry in this process for `sentry-path.ts`: the real kernel, the real host, the file tree of a sandbox (an overlay over a
 * directory that a gofer in the same process serves), and one process on the scripted platform.
 *
 *     using world = new PathWorld();
 *     world.platform.script = …; world.run();
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildFileTree } from '#bin/sandbox/file-tree.ts';
import { TestGofer } from '#gofer/server/testing.ts';
import type { HostFd, HostMemory } from '#platform/contract/host.ts';
import { LinuxHost } from '#platform/host/host.ts';
import { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { createProcess } from '#sentry/kernel/boot.ts';
import { Kernel } from '#sentry/kernel/kernel.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { SyscallTable } from '#sentry/syscalls/dispatch.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import { ScriptedPlatform } from './scripted-platform.ts';

/** A host file of 64 KiB, three components deep, as guests see it. */
export const HOST_FILE = '/usr/share/file';
const HOST_FILE_BYTES = 65_536;

/** The host, counting what the sentry asks of it while it serves calls. */
class CountedHost extends LinuxHost {
  calls = 0;
  /** Serves the gofer's side of a request at once: it has no process of its own here. */
  gofer: TestGofer | null = null;

  override pread(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number {
    this.calls++;
    return super.pread(fd, memory, offset, length, position);
  }
  override pwrite(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number {
    this.calls++;
    return super.pwrite(fd, memory, offset, length, position);
  }
  override ftruncate(fd: HostFd, length: number): number {
    this.calls++;
    return super.ftruncate(fd, length);
  }
  override lseek(fd: HostFd, offset: number, whence: number): number {
    this.calls++;
    return super.lseek(fd, offset, whence);
  }
  override fstat(fd: HostFd, into: Parameters<LinuxHost['fstat']>[1]): number {
    this.calls++;
    return super.fstat(fd, into);
  }
  override monotonicNs(): number {
    this.calls++;
    return super.monotonicNs();
  }
  override realtime(into: Parameters<LinuxHost['realtime']>[0]): void {
    this.calls++;
    super.realtime(into);
  }
  override send(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors?: readonly HostFd[]): number {
    this.calls++;
    const sent = super.send(fd, memory, offset, length, descriptors);
    if (fd === this.gofer?.socket) this.gofer.connection.serveOne();
    return sent;
  }
}

export class PathWorld implements Disposable {
  readonly host = new CountedHost({});
  readonly platform = new ScriptedPlatform(this.host);
  readonly kernel: Kernel;
  readonly init: Task;
  private readonly root = mkdtempSync(join(tmpdir(), 'sentry-path-'));
  private readonly gofer: TestGofer;

  constructor() {
    this.makeFiles();
    this.gofer = new TestGofer([{ path: this.root, readOnly: true }]);
    this.host.gofer = this.gofer;
    const table = new SyscallTable(ALL_ROWS, 'x64');
    this.kernel = new Kernel({
      host: this.host,
      platform: this.platform,
      dispatch: (task) => table.dispatch(task),
      hardwareCapabilities: [0, 0],
      minimumSignalStack: 2048,
      memoryLimit: Infinity,
      machine: { cpuCount: 1, cpuDescription: '', memoryBytes: 2 ** 30 },
      onHostSignal: () => {},
    });
    const connection = new GoferConnection(this.host, this.gofer.socket, (reason) => {
      throw new Error(reason);
    });
    if (!connection.awaitHello()) throw new Error('the gofer says nothing');
    this.init = this.makeInit(connection);
  }

  private makeFiles(): void {
    const file = join(this.root, HOST_FILE);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, Buffer.alloc(HOST_FILE_BYTES, 'x'));
  }

  private makeInit(connection: GoferConnection): Task {
    const container = this.kernel.addContainer('bench', { hostname: 'bench' });
    const { namespace } = buildFileTree(container, connection, []);
    const init = createProcess(this.kernel, container, {
      credentials: initialCredentials(0, 0, [], ALL_CAPABILITIES),
      namespace,
      root: namespace.rootPath,
      umask: 0o022,
      unkillable: false,
    });
    if (typeof init === 'number') throw new Error('no init');
    return init;
  }

  /** Until the script calls exit_group. */
  run(): void {
    this.kernel.start(this.init);
    this.kernel.run();
  }

  [Symbol.dispose](): void {
    this.gofer.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}
