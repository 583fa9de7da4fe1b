/**
 * Hooks: programs of the host that a configuration wants run at points of a container's life (OCI runtime-spec config.md "POSIX-platform Hooks").
 * Each gets the container's state as JSON on standard input and has to end with status 0 before life goes on.
 *
 *     runHooks('createRuntime', config.hooks, state, { directory: bundle, start: (action) => outsideNetworkNamespace(namespace, action) });
 *     runPoststopHooks(config.hooks, state, { directory: bundle }, (sentence) => log.warn(sentence));
 *
 * `startContainer` hooks are not for this file: they run inside, as guests, before the container's process.
 * Without Node's child_process: that needs the event loop, and a hook must be started in one namespace and told of the container in another.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import type { HostFd } from '#platform/contract/host.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { kill, pause, wait, waitStatus } from '#platform/host/process.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import { spawnProgram } from '#platform/host/spawn.ts';
import { EAGAIN, EPIPE } from '#sentry/abi/errno.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import { callerEnvironment } from '../guest-env.ts';
import type { HookConfig, HookKind, HooksConfig } from './config/types.ts';
import { EXIT_OCI_FAILURE, reasonOf } from './errors.ts';
import { HOOK_OUTPUT_MAX } from './limits.ts';

export type HostHookKind = Exclude<HookKind, 'startContainer'>;

/** The state of a container as the specification has it (runtime.md "State"). */
export interface ContainerState {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: 'creating' | 'created' | 'running' | 'stopped';
  /** Absent when there is no process any more. */
  readonly pid?: number;
  readonly bundle: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface HookPlace {
  /** Where hooks run: the bundle. Text. */
  readonly directory: string;
  /** Around the start of each: what is different while it is started. What the hook reads is written afterwards. */
  readonly start?: <T>(action: () => T) => T;
}

/** One after the other. @throws UserError at the first that fails; those after it are not run. */
export function runHooks(kind: HostHookKind, hooks: HooksConfig, state: ContainerState, place: HookPlace): void {
  hooks[kind].forEach((hook, index) => {
    const failure = runHook(hook, JSON.stringify(state), place);
    if (failure !== null) throw new UserError(described(kind, index, hook, failure), EXIT_OCI_FAILURE);
  });
}

/** All of them, whatever each does: the container is gone. */
export function runPoststopHooks(hooks: HooksConfig, state: ContainerState, place: HookPlace, warn: (sentence: string) => void): void {
  hooks.poststop.forEach((hook, index) => {
    const failure = runHook(hook, JSON.stringify(state), place);
    if (failure !== null) warn(described('poststop', index, hook, failure));
  });
}

function described(kind: HookKind, index: number, hook: HookConfig, failure: string): string {
  return `error running ${kind} hook #${index} (${toText(hook.path)}): ${failure}`;
}

// --- one hook

const SYS_FCNTL = 72;
const SYS_PIPE2 = 293;
const SYS_MEMFD_CREATE = 319;
const O_CLOEXEC = 0o200_0000;
const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const MFD_CLOEXEC = 1;
const WNOHANG = 1;
const SIGKILL = 9;

/** Why the hook failed, or null. */
function runHook(hook: HookConfig, state: string, place: HookPlace): string | null {
  using input = new StateInput(state);
  using stdout = new Output();
  using stderr = new Output();
  const { path, args, env } = hook;
  const request = { program: toText(path), args, environment: env ?? callerEnvironment(), directory: place.directory };
  const spawn = (): number => spawnProgram({ ...request, standard: [input.readEnd, stdout.fd, stderr.fd] });
  const pid = place.start === undefined ? spawn() : place.start(spawn);
  if (pid < 0) return reasonOf(-pid);
  if (!awaitEnd(pid, hook.timeoutMs, input)) return `hook ran past specified timeout of ${(hook.timeoutMs! / 1000).toFixed(1)}s`;
  const status = waitStatus();
  if (status === 0) return null;
  const signal = status & 0x7f;
  const outcome = signal === 0 ? `exit status ${(status >> 8) & 0xff}` : `signal ${signal}`;
  return `${outcome}, stdout: ${stdout.text()}, stderr: ${stderr.text()}`;
}

const PAUSE_MIN_NS = 200_000;
const PAUSE_MAX_NS = 5_000_000;

/** Feeds it and waits; false when its time was up, after it was killed with all it started in its session. */
function awaitEnd(pid: number, timeoutMs: number | null, input: StateInput): boolean {
  const deadline = timeoutMs === null ? Infinity : performance.now() + timeoutMs;
  input.startWriting();
  for (let pauseNs = PAUSE_MIN_NS; ; pauseNs = Math.min(pauseNs * 2, PAUSE_MAX_NS)) {
    input.write();
    if (wait(pid, WNOHANG) === pid) return true;
    if (performance.now() >= deadline) break;
    pause(pauseNs);
  }
  kill(-pid, SIGKILL);
  wait(pid, 0);
  return false;
}

/** A pipe rather than a file: the hook waits until the state is written. Never blocks here, however little the hook reads. */
class StateInput {
  private readonly bytes: Buffer;
  private written = 0;
  readonly readEnd: HostFd;
  private readonly writeEnd: HostFd;
  private open = { read: true, write: true };

  constructor(state: string) {
    this.bytes = Buffer.from(state);
    const memory = allocateMemory(8);
    checked(systemCall(SYS_PIPE2, memory.address, O_CLOEXEC), 'make a pipe for');
    this.readEnd = memory.view.getInt32(0, true);
    this.writeEnd = memory.view.getInt32(4, true);
    systemCall(SYS_FCNTL, this.writeEnd, F_SETFL, O_NONBLOCK);
  }

  /** From now on the hook is the only reader: one that has ended is seen. */
  startWriting(): void {
    closeSync(this.readEnd);
    this.open.read = false;
  }

  /** As much as fits. */
  write(): void {
    if (!this.open.write) return;
    try {
      while (this.written < this.bytes.length) this.written += writeSync(this.writeEnd, this.bytes, this.written);
    } catch (error) {
      const { errno = 0 } = error as NodeJS.ErrnoException;
      if (errno === -EAGAIN) return;
      // A hook may end without having read it.
      if (errno !== -EPIPE) throw error;
    }
    closeSync(this.writeEnd);
    this.open.write = false;
  }

  [Symbol.dispose](): void {
    if (this.open.read) closeSync(this.readEnd);
    if (this.open.write) closeSync(this.writeEnd);
  }
}

/** Where a hook's output goes: to memory, so that a hook that writes much never waits for us. */
class Output {
  readonly fd: HostFd;

  constructor() {
    const memory = allocateMemory(8);
    memory.writeLatin1('hook\0', 0);
    this.fd = checked(systemCall(SYS_MEMFD_CREATE, memory.address, MFD_CLOEXEC), 'keep the output of');
  }

  text(): string {
    const bytes = Buffer.alloc(HOOK_OUTPUT_MAX);
    return bytes
      .subarray(0, readSync(this.fd, bytes, 0, HOOK_OUTPUT_MAX, 0))
      .toString()
      .trim();
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

function checked(result: number, attempt: string): number {
  if (result < 0) throw new UserError(`cannot ${attempt} a hook (${reasonOf(-result)}).`, EXIT_OCI_FAILURE);
  return result;
}
