/**
 * Putting processes into a cgroup while the caller goes on. The first move after a while waits for every CPU of the host to pass a quiet state
 * (some 20 ms; the kernel's cgroup_threadgroup_rwsem), which a start can spend better.
 *
 * Who begins the wait before it knows the cgroup (`beginWaiting`), by a move to where the process is already, finds the host ready when it does: the
 * move itself then takes a millisecond or two.
 *
 * The writes are made by libuv's pool, in the order they were given; nothing of it comes back through the event loop, which a sentry never enters: who needs
 * the result looks at the cgroup itself.
 */
import { closeSync, constants, openSync, write } from 'node:fs';
import { CgroupError } from './cgroup-error.ts';
import type { CgroupFiles } from './cgroup-files.ts';
import type { Hierarchy } from './hierarchies.ts';
import { pause } from './remove.ts';

const PATIENCE_MS = 5000;
const LOOK_MS = 1;

let begun: number | null = null;

/** libuv asks for the size of its pool when the pool gets its first work. With more than one thread a later write could be made before an earlier one. */
function keepOrder(): void {
  process.env.UV_THREADPOOL_SIZE = '1';
}

/** Has the host get ready for a move that comes within the next 20 ms or so. To be ended by `endWaiting`, or by a BackgroundJoin. */
export function beginWaiting(hierarchies: readonly Hierarchy[]): void {
  keepOrder();
  for (const { own } of hierarchies) {
    try {
      begun = openSync(Buffer.from(`${own}/cgroup.procs`, 'latin1'), constants.O_WRONLY);
      write(begun, String(process.pid), () => {});
      return;
    } catch {
      // Not ours to write: then there will be no cgroup in this hierarchy either.
    }
  }
}

/** Nobody keeps a way to leave the cgroup it will be in. The write under way is not disturbed. */
export function endWaiting(): void {
  if (begun !== null) closeSync(begun);
  begun = null;
}

export class BackgroundJoin {
  readonly #paths: readonly string[];
  readonly #pids: readonly number[];
  readonly #descriptors: number[] = [];

  /** `paths`: the cgroup's directories. Throws if one may not be written to. */
  constructor(paths: readonly string[], pids: readonly number[]) {
    this.#paths = paths;
    this.#pids = pids;
    keepOrder();
    for (const path of paths) {
      const fd = openSync(Buffer.from(`${path}/cgroup.procs`, 'latin1'), constants.O_WRONLY);
      this.#descriptors.push(fd);
      for (const pid of pids) write(fd, String(pid), () => {});
    }
  }

  /** Waits until all are in, or gone. To be called while names of the host can be opened. Throws CgroupError for what the host refused. */
  finish(files: CgroupFiles, latecomers: readonly number[] = []): void {
    if (typeof files.read('/proc/self/stat') === 'number') throw new Error('isolated before the sandbox was in its cgroup');
    for (let waitedMs = 0; !this.#pids.every((pid) => this.#isIn(pid, files)); waitedMs += LOOK_MS) {
      if (waitedMs > PATIENCE_MS) throw new CgroupError(`the host did not take the sandbox's processes into the cgroup ${this.#paths[0]}.`);
      pause(LOOK_MS);
    }
    // Born by this process before it was in, perhaps. One that has ended meanwhile is no loss.
    const late = latecomers.filter((pid) => !this.#pids.includes(pid));
    for (const pid of late) for (const path of this.#paths) files.write(`${path}/cgroup.procs`, String(pid));
    for (const fd of this.#descriptors.splice(0)) closeSync(fd);
    endWaiting();
  }

  #isIn(pid: number, files: CgroupFiles): boolean {
    if (typeof files.read(`/proc/${pid}/stat`) === 'number') return true;
    return this.#paths.every((path) =>
      String(files.read(`${path}/cgroup.procs`))
        .split('\n')
        .includes(String(pid)),
    );
  }
}
