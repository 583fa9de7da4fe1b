/**
 * A container as a verb finds it: what was written down, whether its process lives, and what its sentry says.
 *
 *     const container = KnownContainer.find(root, id);       // throws: container does not exist
 *     container.permit('kill');
 *     container.ask({ verb: 'kill', signal: 15, all: false });
 */
import type { HostFd } from '#platform/contract/host.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import { pause } from '../cgroups/remove.ts';
import { HostCgroup } from '../cgroups/host-cgroup.ts';
import { ControlConnection } from '../control/client.ts';
import type { ControlRequest, StatusReply } from '../control/protocol.ts';
import { ociError } from '../errors.ts';
import { runPoststopHooks } from '../hooks.ts';
import type { ContainerState } from '../hooks.ts';
import type { RuntimeLog } from '../log.ts';
import { ContainerDirectory } from '../state/container-directory.ts';
import { isAlive } from '../state/process-identity.ts';
import type { ContainerRecord } from '../state/record.ts';
import { permit } from './state-machine.ts';
import type { GuardedVerb, Status } from './state-machine.ts';

/** A request without the container it is for. */
type Wish = ControlRequest extends infer R ? (R extends ControlRequest ? Omit<R, 'container'> : never) : never;

/** How long a process that was killed may take to end. */
const KILL_PATIENCE_MS = 10_000;
const LOOK_MS = 1;
/** How long a sentry that lives may have no socket: before it makes that, and while it dies. */
const SILENCE_MS = 2000;

export class KnownContainer {
  readonly record: ContainerRecord;
  private readonly root: string;
  private readonly directory: ContainerDirectory;

  private constructor(root: string, directory: ContainerDirectory, record: ContainerRecord) {
    this.root = root;
    this.directory = directory;
    this.record = record;
  }

  /** null where there is none. */
  static tryFind(root: string, id: string): KnownContainer | null {
    const directory = new ContainerDirectory(root, id);
    const record = directory.read();
    return record === null ? null : new KnownContainer(root, directory, record);
  }

  static find(root: string, id: string): KnownContainer {
    const found = KnownContainer.tryFind(root, id);
    if (found === null) throw ociError('doesNotExist', id);
    return found;
  }

  get id(): string {
    return this.record.id;
  }

  get isAlive(): boolean {
    return isAlive(this.record.process);
  }

  /** `stopped` when its process is gone; else what its sentry says. */
  get status(): Status {
    const deadline = performance.now() + SILENCE_MS;
    while (this.isAlive) {
      const reply = this.tryAsk<StatusReply>({ verb: 'status' });
      if (reply !== null) return reply.status;
      // No sentry to be reached: it is about to end, or about to begin.
      if (performance.now() > deadline) return 'creating';
      pause(LOOK_MS);
    }
    return 'stopped';
  }

  /** Throws OciError unless `verb` is allowed now. */
  permit(verb: GuardedVerb): void {
    permit(verb, this.id, this.status);
  }

  /** Asks the sentry; a container that has ended meanwhile is not running. Throws UserError with its sentence when it refuses. */
  ask<T>(wish: Wish, descriptors: readonly HostFd[] = [], timeoutMs?: number): T {
    const reply = this.tryAsk<T>(wish, descriptors, timeoutMs);
    if (reply === null) throw ociError('notRunning', this.id);
    return reply;
  }

  /** null: the sentry is gone. */
  tryAsk<T>(wish: Wish, descriptors: readonly HostFd[] = [], timeoutMs?: number): T | null {
    using connection = this.connect();
    return connection?.tryAsk<T>({ ...wish, container: this.id }, descriptors, timeoutMs) ?? null;
  }

  /** To its sentry; null: that is gone. */
  connect(): ControlConnection | null {
    return ControlConnection.open(new ContainerDirectory(this.root, this.record.sandbox).path);
  }

  /** To its sentry, which has to be there for `verb`. */
  connectFor(verb: GuardedVerb): ControlConnection {
    const connection = this.connect();
    if (connection !== null) return connection;
    permit(verb, this.id, 'stopped');
    throw ociError('notRunning', this.id);
  }

  /** The state as the specification has it. */
  state(status: Status): ContainerState {
    const { ociVersion, id, process: host, bundle, annotations } = this.record;
    const shown = status === 'paused' ? 'running' : status;
    return { ociVersion, id, status: shown, ...(status === 'stopped' ? {} : { pid: host.pid }), bundle, annotations };
  }

  /** Ends its process on the host, whatever state it is in, and waits until it is gone. */
  killHost(): void {
    if (!this.isAlive) return;
    try {
      process.kill(this.record.process.pid, SIGKILL);
    } catch {
      return; // it has just ended
    }
    this.awaitEnd();
  }

  /** Waits until its process is gone, within reason. */
  awaitEnd(): void {
    const deadline = performance.now() + KILL_PATIENCE_MS;
    while (this.isAlive && performance.now() < deadline) pause(LOOK_MS);
  }

  /** Takes away what is left of a container that has ended. */
  destroy(log: RuntimeLog): void {
    // As it is now: one that was being created when it was found may have written down more before it was killed.
    const { cgroup, hooks } = this.directory.read() ?? this.record;
    if (cgroup !== null && !HostCgroup.fromState(cgroup).remove()) log.warn(`a cgroup of container ${this.id} cannot be removed`);
    const state = this.state('stopped');
    runPoststopHooks(hooks, state, { directory: this.record.bundle }, (sentence) => log.warn(sentence));
    this.directory.remove();
  }
}
