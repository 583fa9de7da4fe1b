/**
 * What verbs ask the sentry of a container, over `control.sock`: SOCK_SEQPACKET, one JSON object per message, one reply to each request, in order.
 * Descriptors come along as SCM_RIGHTS. Strings that reach guests are byte strings.
 *
 * The connection of an `exec` goes on living as that of a stand-in (bin/stand-in): signal numbers one way, the exit status the other.
 */
import type { ProcessConfig } from '../config/types.ts';

/** Of one message: what a socket pair takes by default. */
export const CONTROL_MESSAGE_MAX = 192 * 1024;

export type GuestStatus = 'created' | 'running' | 'paused' | 'stopped';

/** Access mode and O_APPEND of a descriptor that comes along. */
export type DescriptorFlags = number;

export type ControlRequest = { readonly container: string } & (
  | { readonly verb: 'status' }
  | { readonly verb: 'start' }
  | { readonly verb: 'kill'; readonly signal: number; readonly all: boolean }
  | { readonly verb: 'pause' }
  | { readonly verb: 'resume' }
  | { readonly verb: 'ps' }
  | { readonly verb: 'wait' }
  | { readonly verb: 'stats' }
  | { readonly verb: 'update'; readonly resources: unknown }
  | ExecRequest
  | JoinRequest
);

/** The first descriptors are standard input, output and error, as far as `standard` is not null; then those to be preserved. */
export interface ExecRequest {
  readonly verb: 'exec';
  readonly process: ProcessConfig;
  readonly standard: readonly (DescriptorFlags | null)[];
  readonly preserved: readonly DescriptorFlags[];
}

/** A further container of a pod. The first descriptor is its gofer's socket; then as for `exec`. */
export interface JoinRequest {
  readonly verb: 'join';
  /** The text of config.json, and where it was. */
  readonly config: string;
  readonly bundle: string;
  readonly standard: readonly (DescriptorFlags | null)[];
  readonly preserved: readonly DescriptorFlags[];
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

export interface PsReply {
  readonly processes: readonly {
    readonly pid: number;
    readonly uid: number;
    readonly ppid: number;
    readonly startNs: number;
    readonly cpuNs: number;
    readonly command: string;
  }[];
}

/** When it has ended. */
export interface WaitReply {
  readonly exitStatus: number;
}

/** Of a process that was begun: its number inside. */
export interface ExecReply {
  readonly pid: number;
}
