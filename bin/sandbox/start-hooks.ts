/**
 * `startContainer` hooks: programs inside the container that run, one after the other, before its own (OCI runtime specification, "POSIX-platform
 * Hooks"). Each reads the container's state on standard input and has to end with status 0, in time.
 */
import type { HostFd } from '#platform/contract/host.ts';
import { O_RDONLY } from '#sentry/abi/fs.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import { killFromOutside } from '#sentry/kernel/container-signals.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { Timer } from '#sentry/lib/timer-queue.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import type { HookConfig, ProcessConfig } from '../oci/config/types.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { exitStatusOf } from './exit-status.ts';
import { loadProgram, makeProcess } from './guest-process.ts';
import type { ProcessPlace } from './guest-process.ts';

/** Called with null when all have ended well, else with why not. */
export type HooksDone = (failure: UserError | null) => void;

/** What hooks have of the container. */
interface HookSurroundings {
  readonly place: ProcessPlace;
  /** The container's own process: its user and rights are theirs. */
  readonly program: ProcessConfig;
  /** What each new process gets before it runs. */
  readonly prepare: (task: Task) => void;
  /** The container's, JSON. */
  readonly state: string;
}

export function runStartHooks(hooks: readonly HookConfig[], surroundings: HookSurroundings, done: HooksDone): void {
  const next = (index: number): void => {
    const hook = hooks[index];
    if (hook === undefined) {
      done(null);
      return;
    }
    const fail = (reason: string): void =>
      done(new UserError(`error running startContainer hook #${index} (${toText(hook.path)}): ${reason}`, EXIT_OCI_FAILURE));
    try {
      runHook(hook, surroundings, (status) => (status === 0 ? next(index + 1) : fail(`exit status ${status}`)));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      fail(error.message);
    }
  };
  next(0);
}

function runHook(hook: HookConfig, { place, program, prepare, state }: HookSurroundings, ended: (status: number) => void): void {
  const { kernel } = place.container;
  let timer: Timer | null = null;
  const config = { ...program, args: hook.args, env: hook.env ?? [], cwd: '/', terminal: false };
  const { task, installed } = makeProcess(place, config, [{ fd: fileOf(kernel, state), flags: O_RDONLY }], {
    exited: (waitStatus) => {
      if (timer !== null) kernel.timers.cancel(timer);
      installed.release();
      ended(exitStatusOf(waitStatus));
    },
  });
  loadProgram(task, config, hook.path);
  prepare(task);
  if (hook.timeoutMs !== null) {
    timer = new Timer(() => killFromOutside(task.group, SIGKILL));
    kernel.timers.set(timer, kernel.host.monotonicNs() + hook.timeoutMs * 1e6);
  }
  kernel.start(task);
}

/** An anonymous file that holds `text`. */
function fileOf({ host, scratch }: Kernel, text: string): HostFd {
  const fd = host.memfd('hook');
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += scratch.bytes.length) {
    const piece = bytes.subarray(at, at + scratch.bytes.length);
    scratch.bytes.set(piece);
    host.pwrite(fd, scratch, 0, piece.length, at);
  }
  return fd;
}
