/**
 * What every kind of anonymous file shares, one object a sandbox: the pseudo file systems, the pool that holds the bytes of pipes and
 * sockets, the timer queue and a small cell of host memory for values that pass through `Io`.
 */
import { ENOTTY } from '#sentry/abi/errno.ts';
import type { Host, HostMemory } from '#platform/contract/host.ts';
import { PagePool } from '../../mm/page-pool.ts';
import type { MemoryBudget } from '../../mm/memory-budget.ts';
import type { TimerQueue } from '../../lib/timer-queue.ts';
import { Dentry } from '../../vfs/dentry.ts';
import type { Caller } from '../../vfs/inode.ts';
import { makeDevice } from '../../vfs/special-files.ts';
import type { UnixSocket } from '../unix/unix-socket.ts';
import { AnonymousFileSystem, ANON_INODE_MAGIC, PIPEFS_MAGIC, SOCKFS_MAGIC } from './anonymous-file-system.ts';
import { POOL_PAGES_MAX } from './limits.ts';

export class AnonymousFiles {
  readonly host: Host;
  readonly timers: TimerQueue;
  readonly pipefs: AnonymousFileSystem;
  readonly sockfs: AnonymousFileSystem;
  readonly anonInodes: AnonymousFileSystem;
  readonly pages: PagePool;
  /** What their memory counts against. */
  readonly budget: MemoryBudget | null;
  /** Valid within one `put` or `take`. */
  readonly cell: HostMemory;
  /** The task that polls files right now, set by poll, select and epoll_wait: readiness of a signalfd depends on who asks. */
  poller: unknown = null;
  /** What every socket answers about interfaces (netdevice(7)); -ENOTTY for other requests. The kernel, which has the network, gives it. */
  interfaceIoctl: (request: number, argument: number, caller: Caller) => number = () => -ENOTTY;
  /** Of the filters of all sockets. */
  filterInstructions = 0;
  /** All that are open, for /proc/net/unix and sock_diag. */
  readonly unixSockets = new Set<UnixSocket>();
  private readonly named = new Map<string, Dentry>();

  constructor(host: Host, timers: TimerQueue, budget: MemoryBudget | null = null) {
    this.host = host;
    this.timers = timers;
    this.sockfs = new AnonymousFileSystem(host, makeDevice(0, 0xff1), 'sockfs', SOCKFS_MAGIC);
    this.pipefs = new AnonymousFileSystem(host, makeDevice(0, 0xff2), 'pipefs', PIPEFS_MAGIC);
    this.anonInodes = new AnonymousFileSystem(host, makeDevice(0, 0xff3), 'anon_inodefs', ANON_INODE_MAGIC);
    this.pages = new PagePool(host, POOL_PAGES_MAX, budget);
    this.budget = budget;
    this.cell = host.allocate(4096);
  }

  /** `anon_inode:[eventpoll]` and the like: one dentry a name, as all of them share one inode on Linux. */
  anonymous(name: string): Dentry {
    let dentry = this.named.get(name);
    if (dentry === undefined) {
      dentry = new Dentry(`anon_inode:${name}`, null, this.anonInodes.inode(0o600, 0, 0)).acquire();
      this.named.set(name, dentry);
    }
    return dentry;
  }
}
