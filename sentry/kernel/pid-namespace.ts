/**
 * A PID namespace (pid_namespaces(7)): who is called by which number. Each container has one, and what a task names by number (kill, setpgid,
 * /proc, SIGEV_THREAD_ID …) it finds in its own: `task.pids`.
 *
 * Namespaces lie beside each other, never inside each other: a process has one number, and the world outside (the runtime) does not go by
 * numbers but holds `Container` and `ThreadGroup`. What several namespaces share (credentials of a Unix socket, IPC objects) keeps numbers that
 * tell the namespace, too (`global`); a reader in another one sees 0 (`local`), as Linux shows who cannot be seen.
 *
 * Process groups and sessions are called by the number of the process that made them, so a number is free again only when none of the four
 * bears it (`freeId`).
 */
import type { MemoryFigures } from '../fs/proc/memory-figures.ts';
import { PID_MAX, PidAllocator } from './pid-allocator.ts';
import type { ProcessGroup, Session } from './process-group.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

/** Namespaces that `global` tells apart. */
const SERIALS = 0x1_0000;
let nextSerial = 0;

export class PidNamespace {
  readonly tasks = new Map<number, Task>();
  readonly groups = new Map<number, ThreadGroup>();
  readonly processGroups = new Map<number, ProcessGroup>();
  readonly sessions = new Map<number, Session>();
  /** Number 1: reaper of orphans. */
  init: ThreadGroup | null = null;
  /** What /proc/meminfo and sysinfo(2) go by, if not the machine. */
  memory: MemoryFigures | null = null;
  private readonly ids = new PidAllocator();
  private readonly serial = nextSerial++ % SERIALS;

  /** A number for a new task, or -1 when all are taken. */
  allocate(): number {
    return this.ids.allocate();
  }

  /** Takes back a number of `allocate` that nobody came to bear. */
  release(id: number): void {
    this.ids.free(id);
  }

  /** A task, process group or session called `id` is gone: once none is left, the number may be given out again. */
  freeId(id: number): void {
    if (this.tasks.has(id) || this.groups.has(id) || this.processGroups.has(id) || this.sessions.has(id)) return;
    this.ids.free(id);
  }

  /** A 31-bit number that stands for `pid` in what several namespaces share; 0 for 0. `pid` is below PID_MAX. */
  global(pid: number): number {
    return pid === 0 ? 0 : this.serial * PID_MAX + pid;
  }

  /** What a number of `global` is here: 0 for one of another namespace. */
  local(global: number): number {
    return Math.floor(global / PID_MAX) === this.serial ? global % PID_MAX : 0;
  }

  /** The number given out last, for /proc/loadavg. */
  get newest(): number {
    return this.ids.newest;
  }
}
