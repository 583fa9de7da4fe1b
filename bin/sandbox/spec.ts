/**
 * What a sandbox is to be: the product of a command line.
 * Strings that reach the guest are byte strings, one character per byte.
 */

import type { NetworkConfig } from '#gofer/network/config.ts';
import type { PlatformName } from './choose-platform.ts';

/** A host directory shown to the guest. */
export interface BindMount {
  readonly host: string;
  readonly guest: string;
  readonly readOnly: boolean;
}

export interface UserSpec {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** What lies beyond the loopback interface. */
export type NetworkSpec =
  | { readonly mode: 'none' }
  /** Flows go on as sockets of the host, as far as the rules allow. `report`: file for what they did not, or null. */
  | ({ readonly mode: 'user'; readonly report: string | null } & Omit<NetworkConfig, 'hasReport' | 'serves'>)
  /** The stack takes over an interface of the namespace the command is started in; null: all there are. */
  | { readonly mode: 'sandbox'; readonly device: string | null }
  /** Guests' internet sockets are the host's. */
  | { readonly mode: 'host' };

export interface SandboxSpec {
  /** Host directory that becomes `/`, read-only beneath a throw-away overlay. */
  readonly root: string;
  readonly mounts: readonly BindMount[];
  /** Working directory inside. */
  readonly cwd: string;
  readonly args: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  readonly user: UserSpec;
  readonly hostname: string;
  /** How system calls are intercepted; null: the best that the host allows. */
  readonly platform: PlatformName | null;
  /** Whether call sites of guests may be patched (seccomp platform). */
  readonly patching: boolean;
  /** Bytes of memory the guests may use together, or null. */
  readonly memoryLimit: number | null;
  /** Milliseconds after which everything is ended, or null. */
  readonly timeoutMs: number | null;
  /** Where strace lines go: a file, standard error, or nowhere. */
  readonly strace: { readonly kind: 'off' } | { readonly kind: 'stderr' } | { readonly kind: 'file'; readonly path: string };
  readonly debugLog: string | null;
  readonly network: NetworkSpec;
  /** File for what crosses the link, or null. */
  readonly pcap: string | null;
}
