/**
 * What verbs ask the sentry of a container, over `control.sock`: SOCK_SEQPACKET, one JSON object per message, one reply to each request, in order.
 * Descriptors come along as SCM_RIGHTS. Strings that reach guests are byte strings.
 *
 * The connection of an `exec` goes on living as that of a stand-in (bin/stand-in): signal numbers one way, the exit status the other. Before, the verb tells the
 * stand-in's process id if that is another's: STAND_IN_SIZE bytes, the id as u32 and zeros.
 */
import type { HostInterfaceFacts } from '../../sandbox/host-interfaces.ts';
import type { ProcessConfig, ResourcesConfig } from '../config/types.ts';

/** Of one message: what a socket pair takes by default. */
export const CONTROL_MESSAGE_MAX = 192 * 1024;
export const STAND_IN_SIZE = 8;

export type GuestStatus = 'created' | 'running' | 'paused' | 'stopped';

/** Access mode and O_APPEND of a descriptor that comes along. */
export type DescriptorFlags = number;

export type ControlRequest = { readonly container: string } & (
  | { readonly verb: 'status' }
  | { readonly verb: 'process' }
  | StartRequest
  | { readonly verb: 'kill'; readonly signal: number; readonly all: boolean }
  | { readonly verb: 'pause' }
  | { readonly verb: 'resume' }
  | { readonly verb: 'ps' }
  | { readonly verb: 'wait' }
  | { readonly verb: 'stats' }
  | { readonly verb: 'update'; readonly resources: ResourcesConfig }
  | ExecRequest
  | JoinRequest
);

/**
 * `interfaces`: those of the container's network namespace, taken over by the process of the verb; each has a descriptor that comes along. One more is a
 * socket to the name server of the namespace.
 */
export interface StartRequest {
  readonly verb: 'start';
  readonly interfaces: readonly HostInterfaceFacts[];
}

/** `files`: standard input, output and error, then those to be preserved. Each that is not null comes along, in their order. */
export interface ExecRequest {
  readonly verb: 'exec';
  /** As process-codec.ts encodes it. */
  readonly process: ProcessConfig;
  readonly ignorePaused: boolean;
  /** The process that becomes the stand-in; null: one that is started later, and told by `standIn`. */
  readonly hostPid: number | null;
  readonly files: readonly (DescriptorFlags | null)[];
}

/** A further container of a pod. The first descriptor is its gofer's socket; then as for `exec`. */
export interface JoinRequest {
  readonly verb: 'join';
  /** The text of config.json, and where it was. */
  readonly config: string;
  readonly bundle: string;
  /** The sandbox's first container. */
  readonly sandbox: string;
  /** For hooks inside, JSON. */
  readonly state: string;
  readonly files: readonly (DescriptorFlags | null)[];
}

/** To `join` and `update`: what all containers of the pod may use together; null for a container alone in its sandbox. */
export interface PodReply {
  readonly pod: ResourcesConfig | null;
}

export interface ControlFailure {
  /** A sentence for people. */
  readonly error: string;
  /** Exit status for the verb. */
  readonly exitCode: number;
}

export type ControlReply<T = object> = ({ readonly error?: undefined } & T) | ControlFailure;

export interface StatusReply {
  readonly status: GuestStatus;
}

/** The reply to `process`: that of the container's own, as encoded. */
export interface ProcessReply {
  readonly process: ProcessConfig;
}

export interface PsReply {
  readonly processes: readonly ProcessRow[];
  /** Of the stand-ins of further processes. */
  readonly hostPids: readonly number[];
}

/** Numbers are those inside. */
export interface ProcessRow {
  readonly uid: number;
  readonly pid: number;
  readonly ppid: number;
  /** Since it was started, and of its CPU time: milliseconds. */
  readonly ageMs: number;
  readonly cpuMs: number;
  /** `pts/0`, or `?`. */
  readonly terminal: string;
  /** Byte string. */
  readonly command: string;
}

/** When it has ended. */
export interface WaitReply {
  readonly exitStatus: number;
}

/** Of a process that was begun: its number inside. */
export interface ExecReply {
  readonly pid: number;
}
