/**
 * Putting processes into a cgroup while the caller goes on. The first move after a while waits for every CPU of the host to pass a quiet state
 * (some 20 ms; the kernel's cgroup_threadgroup_rwsem), which a start can spend better.
 *
 * The writes are made by libuv's pool, in the order they were given; nothing of it comes back through the event loop, which a sentry never enters: who needs
 * the result looks at the cgroup itself.
 */
import { closeSync, constants, openSync, write } from 'node:fs';
import { CgroupError } from './cgroup-error.ts';
import type { CgroupFiles } from './cgroup-files.ts';
import { pause } from './remove.ts';

const PATIENCE_MS = 5000;
const LOOK_MS = 1;

export class BackgroundJoin {
  readonly #paths: readonly string[];
  readonly #pids: readonly number[];
  readonly #descriptors: number[] = [];

  /** `paths`: the cgroup's directories. Throws if one may not be written to. */
  constructor(paths: readonly string[], pids: readonly number[]) {
    this.#paths = paths;
    this.#pids = pids;
    for (const path of paths) {
      const fd = openSync(Buffer.from(`${path}/cgroup.procs`, 'latin1'), constants.O_WRONLY);
      this.#descriptors.push(fd);
      for (const pid of pids) write(fd, String(pid), () => {});
    }
  }

  /** Waits until all are in, or gone. To be called while names of the host can be opened. Throws CgroupError for what the host refused. */
  finish(files: CgroupFiles): void {
    if (typeof files.read('/proc/self/stat') === 'number') throw new Error('isolated before the sandbox was in its cgroup');
    for (let waitedMs = 0; !this.#pids.every((pid) => this.#isIn(pid, files)); waitedMs += LOOK_MS) {
      if (waitedMs > PATIENCE_MS) throw new CgroupError(`the host did not take the sandbox's processes into the cgroup ${this.#paths[0]}.`);
      pause(LOOK_MS);
    }
    for (const fd of this.#descriptors.splice(0)) closeSync(fd);
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
