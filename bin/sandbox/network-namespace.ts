/**
 * The network namespace of a container, as `linux.namespaces` of its configuration has it (OCI runtime specification, config-linux.md).
 *
 *     const namespace = enterNetworkNamespace(config.linux.namespaces.network);
 *     … hooks: namespace.outside(() => spawn(…)) for those that run in the runtime's namespace …
 *     const plan = openContainerNetwork(namespace, 'now');     // before the sentry is isolated
 *     connectNetwork(kernel, plan);                            // at any time later
 *
 * The sentry's main thread is in the namespace, so that /proc/PID/ns/net is what hooks and managers look for; with the guest's threads, which descend
 * from it. Interfaces may come as late as between `create` and `start` (podman with a user namespace, Docker): the process of `start` takes them over
 * (takeNetworkOf) and hands them to the sentry, confined by then, for connectTaken.
 *
 * The guest's loopback interface, sockets and settings are of the sandbox's own stack. An empty namespace is there for others to fill.
 */
import { closeSync, openSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { RULES_MAX } from '#gofer/network/limits.ts';
import { SPECIAL_PREFIXES } from '#gofer/network/policy/special-addresses.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { formatAddress, IPV4_PREFIX_BITS } from '#sentry/netstack/address.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import { claimNetworkNamespace } from './namespace-claim.ts';
import { openNetwork } from './network.ts';
import type { NetworkPlan } from './network.ts';
import { isInHostNamespace, NO_NETWORK, takeNetwork } from './network-device.ts';
import type { TakenNetwork } from './network-device.ts';
import { Rtnetlink } from './rtnetlink.ts';

const SYS_UNSHARE = 272;
const SYS_SETNS = 308;
const CLONE_NEWNET = 0x4000_0000;
const RTM_NEWLINK = 16;
const IFINFOMSG = 16;
const IFF_UP = 1;
/** Of `lo` in every namespace. */
const LOOPBACK_INDEX = 1;

export interface ContainerNamespace {
  /** `own`: this thread is in it; `none`: none could be made; `host`: the container asks for the host's. */
  readonly kind: 'own' | 'none' | 'host';
  /** What the container does not get: a sentence each. */
  readonly warnings: readonly string[];
  /** The namespace this thread was in before, -1: it still is. */
  readonly runtime: HostFd;
}

/**
 * Brings this thread into the namespace that `wish` names by path (byte string), or into a new one (path null); `wish` null: it stays in the host's.
 * Throws UserError where a path cannot be entered, or another sandbox is there.
 */
export function enterNetworkNamespace(wish: { readonly path: string | null } | null): ContainerNamespace {
  if (wish === null) return hostNetwork();
  const runtime = openSync('/proc/thread-self/ns/net', 'r');
  const entered = wish.path === null ? systemCall(SYS_UNSHARE, CLONE_NEWNET) : join(wish.path);
  if (entered < 0) {
    closeSync(runtime);
    const reason = `this user may not make network namespaces (${errnoName(-entered)})`;
    return { kind: 'none', runtime: -1, warnings: [`${reason}: the container has its loopback interface only.`] };
  }
  if (wish.path === null) setLoopbackUp();
  if (!isInHostNamespace()) {
    claim(wish.path);
    return { kind: 'own', runtime, warnings: [] };
  }
  systemCall(SYS_SETNS, runtime, CLONE_NEWNET);
  closeSync(runtime);
  return hostNetwork();
}

function hostNetwork(): ContainerNamespace {
  const warnings = [
    "the container asks for the host's network: its connections are carried on by sockets of the host, the host's loopback is 10.0.2.2, and it cannot listen on the host's addresses.",
  ];
  return { kind: 'host', runtime: -1, warnings };
}

function claim(path: string | null): void {
  if (claimNetworkNamespace()) return;
  throw new UserError(
    `the network namespace ${toText(path ?? '')} is in use by another sandbox and cannot be shared with it; containers of one pod can share a network.`,
  );
}

function join(path: string): number {
  const fd = openNamespace(path);
  const joined = systemCall(SYS_SETNS, fd, CLONE_NEWNET);
  closeSync(fd);
  if (joined >= 0) return joined;
  throw new UserError(`the network namespace ${toText(path)} cannot be entered (${errnoName(-joined)}).`);
}

function openNamespace(path: string): HostFd {
  try {
    return openSync(Buffer.from(path, 'latin1'), 'r');
  } catch (error) {
    throw new UserError(`the network namespace ${toText(path)} cannot be opened (${(error as NodeJS.ErrnoException).code ?? 'error'}).`);
  }
}

/** Others may expect it in a namespace of a container, though the guest has a loopback interface of its own. */
function setLoopbackUp(): void {
  const routing = new Rtnetlink();
  routing.start(RTM_NEWLINK, IFINFOMSG).set32(4, LOOPBACK_INDEX).set32(8, IFF_UP).set32(12, IFF_UP).acknowledged(0);
  routing.close();
}

/**
 * Runs `action`, which may start a process, in the namespace of the runtime's caller. For hooks prestart and createRuntime. A hook
 * learns the container's pid by what is written to its standard input: written after this returned, it finds the namespace at /proc/PID/ns/net.
 *
 * Linux: runc's process stays outside and needs no right to come back. Where that is missing (a user namespace that does not own the caller's network),
 * such hooks run in the container's namespace.
 */
export function outsideNetworkNamespace<T>({ runtime }: ContainerNamespace, action: () => T): T {
  if (runtime < 0) return action();
  const own = openSync('/proc/thread-self/ns/net', 'r');
  const isOutside = systemCall(SYS_SETNS, runtime, CLONE_NEWNET) >= 0;
  try {
    return action();
  } finally {
    if (isOutside) goBack(own);
    closeSync(own);
  }
}

function goBack(own: HostFd): void {
  const result = systemCall(SYS_SETNS, own, CLONE_NEWNET);
  if (result < 0) throw new UserError(`the container's network namespace cannot be entered again (${errnoName(-result)}).`);
}

/**
 * What the container gets of the network as it is now; after the last use of `outside…`. Interfaces are taken over now (`run`), or when `start` comes
 * with them (`create`).
 */
export function openContainerNetwork({ kind, runtime }: ContainerNamespace, interfaces: 'now' | 'at start'): NetworkPlan {
  if (runtime >= 0) closeSync(runtime);
  if (kind === 'none') return { mode: 'none' };
  if (kind === 'own') return { mode: 'sandbox', ...(interfaces === 'now' ? takeNetwork(null) : NO_NETWORK) };
  return openNetwork({ mode: 'user', allow: everywhere(), deny: [], published: [], report: null });
}

/** Rules for everything that the host itself reaches, also what needs a rule that names it: the container asks for the host's network. */
function everywhere(): string[] {
  const special = SPECIAL_PREFIXES.map(
    ({ address, bits }) => `${formatAddress(address)}/${address.isIpv4 ? bits - IPV4_PREFIX_BITS : bits}`,
  );
  const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  return ['*', ...special, ...own.slice(0, RULES_MAX - 1 - special.length)];
}

/**
 * Takes over what is in the namespace of process `pid`, a sandbox's sentry. Nothing where that is the caller's own namespace: a sandbox without one.
 * This thread comes back from there if it may.
 */
export function takeNetworkOf(pid: number): TakenNetwork {
  const runtime = openSync('/proc/thread-self/ns/net', 'r');
  try {
    join(`/proc/${pid}/ns/net`);
    return isInHostNamespace() ? NO_NETWORK : takeNetwork(null);
  } finally {
    systemCall(SYS_SETNS, runtime, CLONE_NEWNET);
    closeSync(runtime);
  }
}
