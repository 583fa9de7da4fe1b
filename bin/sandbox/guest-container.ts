/**
 * A container inside its sentry: made from its configuration, started, signalled, paused, joined by further processes, and over when its first
 * process is. What verbs ask of it (container-verbs.ts) is a method here; which of them is allowed when is the table of bin/oci/lifecycle/state-machine.ts.
 */
import type { HostFd } from '#platform/contract/host.ts';
import { ESRCH } from '#sentry/abi/errno.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import { discardProcess } from '#sentry/kernel/boot.ts';
import type { Container } from '#sentry/kernel/container.ts';
import { killContainer, killFromOutside } from '#sentry/kernel/container-signals.ts';
import { pauseContainer, resumeContainer } from '#sentry/kernel/pause.ts';
import { setSysctl } from '#sentry/kernel/sysctl.ts';
import type { Task } from '#sentry/kernel/task.ts';
import type { ThreadGroup } from '#sentry/kernel/thread-group.ts';
import { deviceMinor } from '#sentry/vfs/special-files.ts';
import { UserError } from '../errors.ts';
import type { GuestCgroup } from '../oci/cgroups/guest-cgroup.ts';
import type { ContainerConfig, ProcessConfig } from '../oci/config/types.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import type { GuestStatus, ProcessRow } from '../oci/control/protocol.ts';
import { commandLine } from './command-line.ts';
import type { ContainerTree } from './container-tree.ts';
import type { Client } from './control-server.ts';
import { exitStatusOf } from './exit-status.ts';
import { forwardSignal } from './host-signals.ts';
import { checkProgram, loadProgram, makeProcess } from './guest-process.ts';
import type { GuestProcess, ProcessPlace } from './guest-process.ts';
import type { Inherited } from './standard-files.ts';
import { runStartHooks } from './start-hooks.ts';
import type { HooksDone } from './start-hooks.ts';

export interface GuestContainerOptions {
  readonly config: ContainerConfig;
  readonly place: ProcessPlace;
  /** Its limits and accounts. */
  readonly cgroup: GuestCgroup;
  readonly inherited: readonly (Inherited | null)[];
  /** What hooks inside are told: the container's state, JSON. */
  readonly state: string;
  /** What each new process gets before it runs: the container's system call filter. */
  readonly prepare: (task: Task) => void;
}

export class GuestContainer {
  readonly config: ContainerConfig;
  readonly cgroup: GuestCgroup;
  private readonly place: ProcessPlace;
  private readonly init: GuestProcess;
  private readonly state: string;
  private readonly prepare: (task: Task) => void;
  private isStarted = false;
  /** Told the exit status when it has ended. */
  private readonly waiters: ((status: number) => void)[] = [];
  private exitStatus: number | null = null;
  /** Of further processes that run. */
  private readonly standIns = new Set<Client>();

  /** Makes its first process, and sees whether there will be a program for it. Throws UserError. */
  constructor({ config, place, cgroup, inherited, state, prepare }: GuestContainerOptions) {
    if (config.process === null) throw new UserError('config.json: process is missing', EXIT_OCI_FAILURE);
    this.config = config;
    this.place = place;
    this.cgroup = cgroup;
    this.state = state;
    this.prepare = prepare;
    place.container.onEnd = (waitStatus) => this.finish(exitStatusOf(waitStatus));
    this.init = makeProcess(place, config.process, inherited, {});
    const { terminal } = this.init.installed;
    if (terminal !== null) place.tree.showConsole(terminal);
    this.setSysctls();
    checkProgram(this.init.task, config.process);
  }

  private setSysctls(): void {
    for (const { name, value } of this.config.linux.sysctl) {
      const refusal = setSysctl(this.init.task, name, value);
      if (refusal !== null) throw new UserError(`config.json: linux.sysctl.${JSON.stringify(name)} ${refusal}`, EXIT_OCI_FAILURE);
    }
  }

  get container(): Container {
    return this.place.container;
  }

  get tree(): ContainerTree {
    return this.place.tree;
  }

  get process(): ProcessConfig {
    return this.config.process!;
  }

  get status(): GuestStatus {
    if (this.exitStatus !== null) return 'stopped';
    if (this.container.paused) return 'paused';
    return this.isStarted ? 'running' : 'created';
  }

  /**
   * Runs the configured program, after the hooks that come before it. `done` is called with null when it runs, else with why it does not, which is the
   * end of the container.
   */
  start(done: HooksDone): void {
    const { config, place, prepare, state } = this;
    runStartHooks(config.hooks.startContainer, { place, program: this.process, prepare, state }, (failure) => {
      const problem = failure ?? this.startProgram();
      if (problem !== null) discardProcess(this.init.task);
      done(problem);
    });
  }

  private startProgram(): UserError | null {
    const { task } = this.init;
    try {
      loadProgram(task, this.process);
    } catch (error) {
      if (error instanceof UserError) return error;
      throw error;
    }
    this.prepare(task);
    this.isStarted = true;
    task.kernel.start(task);
    return null;
  }

  /** Whether there was anybody to take it. */
  kill(signal: number, all: boolean): boolean {
    // Before it was started there is nobody who could handle a signal: it ends as the host's process of runc does.
    const effective = this.isStarted ? signal : SIGKILL;
    return killContainer(this.container, signal === 0 ? 0 : effective, all ? 'all' : 'init') !== -ESRCH;
  }

  /** A signal that the host's process of the container was sent. */
  signal(signal: number): void {
    if (this.isStarted) forwardSignal(this.init.task.group, signal);
    else killContainer(this.container, SIGKILL, 'init');
  }

  /** `stopped` is called when no thread of it runs any more. */
  pause(stopped: () => void): void {
    pauseContainer(this.container, stopped);
  }

  resume(): void {
    resumeContainer(this.container);
  }

  /** Another process, whose host-visible one is at the other end of `client`. Returns its number inside. */
  exec(config: ProcessConfig, inherited: readonly (Inherited | null)[], client: Client): number {
    let isRunning = false;
    const { task, installed } = makeProcess(this.place, config, inherited, {
      exited: (waitStatus) => {
        installed.release();
        this.standIns.delete(client);
        if (isRunning) client.tellExit(exitStatusOf(waitStatus));
      },
    });
    try {
      loadProgram(task, config);
    } catch (error) {
      discardProcess(task);
      throw error;
    }
    this.prepare(task);
    isRunning = true;
    this.standIns.add(client);
    client.onSignal = (signo) => forwardSignal(task.group, signo);
    client.onGone = () => killFromOutside(task.group, SIGKILL);
    task.kernel.start(task);
    return task.group.pid;
  }

  /** What `ps` shows. */
  processes(): ProcessRow[] {
    const { container } = this;
    const now = container.kernel.host.monotonicNs();
    return [...container.living].map((group) => describe(group, now));
  }

  /** Of the host's processes that stand for further ones. */
  hostPids(): number[] {
    return [...this.standIns].flatMap(({ hostPid }) => hostPid ?? []);
  }

  /** `told` is called with the exit status when the container has ended, or at once if it has. */
  whenEnded(told: (status: number) => void): void {
    if (this.exitStatus !== null) told(this.exitStatus);
    else this.waiters.push(told);
  }

  private finish(status: number): void {
    this.exitStatus = status;
    this.init?.installed.release();
    for (const told of this.waiters) told(status);
  }
}

function describe(group: ThreadGroup, now: number): ProcessRow {
  const { leader } = group;
  const { terminal } = group.processGroup.session;
  const command = commandLine(leader).replaceAll('\0', ' ').trimEnd();
  return {
    uid: leader.credentials.euid,
    pid: group.pid,
    ppid: group.parent?.pid ?? 0,
    ageMs: Math.round((now - leader.startTimeNs) / 1e6),
    cpuMs: Math.round(group.userTimeNs / 1e6),
    terminal: terminal === null ? '?' : `pts/${deviceMinor(terminal.device)}`,
    command: command === '' ? `[${leader.name}]` : command,
  };
}

/** Descriptors that came with a request, in the order of `files`: how each was opened, null for one that there is none for. */
export function inheritedFrom(descriptors: readonly HostFd[], files: readonly (number | null)[]): (Inherited | null)[] {
  let next = 0;
  return files.map((flags) => (flags === null ? null : { fd: descriptors[next++]!, flags }));
}
