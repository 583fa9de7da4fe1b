/**
 * What /proc shows of the process table. The kernel's own objects satisfy these interfaces; they are declared here because the process
 * table lies above the file systems.
 */
import type { IdRange } from '#sentry/abi/id-range.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { FsContext } from '../../vfs/fs-context.ts';
import type { UnixSocket } from '../unix/unix-socket.ts';
import type { IpcView } from './ipc.ts';
import type { MemoryFigures } from './memory-figures.ts';
import type { NetworkView } from './net/directory.ts';

/** Signal masks as two words each. */
export interface SignalWords {
  readonly low: number;
  readonly high: number;
}

export interface DescriptorView {
  get(fd: number): FileDescription | undefined;
  /** The first open descriptor at or above `from`, or -1. */
  nextOpen(from: number): number;
  isCloexec(fd: number): boolean;
  readonly size: number;
}

export interface GroupView {
  readonly pid: number;
  oomScoreAdj: number;
  /** null: the container's own. */
  readonly controlGroup: { readonly path: string } | null;
  readonly leader: TaskView;
  readonly tasks: ReadonlySet<TaskView>;
  readonly parent: GroupView | null;
  readonly isZombie: boolean;
  readonly exitStatus: number;
  readonly processGroup: {
    readonly pgid: number;
    readonly session: {
      readonly sid: number;
      readonly terminal: { readonly device: number; readonly foreground: { readonly pgid: number } | null } | null;
    };
  };
  readonly limits: { soft(resource: number): number; hard(resource: number): number };
  readonly handlers: { readonly handler: ArrayLike<number> };
  readonly signals: { readonly pending: { readonly set: SignalWords }; readonly queued: { readonly count: number } };
  readonly userTimeNs: number;
  readonly systemTimeNs: number;
  readonly childrenUserTimeNs: number;
  readonly childrenSystemTimeNs: number;
}

export interface TaskView {
  readonly tid: number;
  readonly startTimeNs: number;
  readonly state: string;
  name: string;
  readonly credentials: Credentials;
  readonly group: GroupView;
  readonly mm: AddressSpace;
  readonly files: DescriptorView;
  readonly fs: FsContext;
  readonly niceness: number;
  /** Its SECCOMP_MODE_* and how many filters it has; null: none. */
  readonly seccomp: { readonly mode: number; readonly count: number } | null;
  readonly personality: number;
  readonly scheduling: { readonly timerSlackNs: number };
  readonly minorFaults: number;
  readonly hasExited: boolean;
  /** The user namespace it is in. */
  readonly container: { readonly userMap: readonly IdRange[]; readonly groupMap: readonly IdRange[] };
  /** The namespace whose numbers it goes by. */
  readonly pids: object;
  readonly signals: { readonly blocked: SignalWords; readonly pending: { readonly set: SignalWords } };
  readonly uts: { nodename: string; domainname: string };
}

/** Facts about the machine that guests may know. */
export interface MachineView {
  readonly cpuCount: number;
  /** Text of /proc/cpuinfo for one CPU, without the fields that number it; '' when unknown. */
  readonly cpuDescription: string;
  /** Bytes of memory the sandbox may use. */
  readonly memoryBytes: number;
}

/** The processes one /proc shows: a PID namespace. */
export interface PidsView {
  readonly tasks: ReadonlyMap<number, TaskView>;
  readonly groups: ReadonlyMap<number, GroupView>;
  readonly newest: number;
  /** The process number of what stands for a process in objects that namespaces share; 0 for one of another namespace. */
  local(global: number): number;
  /** null: as much as the machine has. */
  readonly memory: MemoryFigures | null;
}

export interface KernelView {
  readonly bootTimeNs: number;
  readonly machine: MachineView;
  /** Bytes in use by guests, as far as the sentry knows. */
  readonly memoryUsed: number;
  /** Names of file systems for /proc/filesystems; `nodev` where they need no device. */
  readonly fileSystemTypes: readonly string[];
  readonly network: NetworkView;
  readonly ipc: IpcView;
  readonly anonymous: { readonly unixSockets: ReadonlySet<UnixSocket> };
}
