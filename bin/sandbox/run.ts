/**
 * Runs a sandbox from start to end. The order matters: what takes long starts first (the gofer), what needs the host's names happens before
 * the sentry is confined, and no guest instruction runs before that.
 */
import { statSync } from 'node:fs';
import type { MountConfig } from '#gofer/server/config.ts';
import { PlatformLost, PlatformUnavailable } from '#platform/host/errors.ts';
import { installSignalForwarding } from '#platform/ptrace/signal-forwarding.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import type { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { HostFiles } from '#sentry/fs/host-file/host-files.ts';
import { createProcess } from '#sentry/kernel/boot.ts';
import { execve } from '#sentry/kernel/exec/exec.ts';
import { exitGroup } from '#sentry/kernel/exit.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { Timer } from '#sentry/lib/timer-queue.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import { WALK_DIRECTORY, WALK_FOLLOW, resolve } from '#sentry/vfs/walk.ts';
import { toText } from '../byte-text.ts';
import { EXIT_NOT_EXECUTABLE, EXIT_TIMED_OUT, UserError } from '../errors.ts';
import { openDebugLog } from './debug-log.ts';
import type { LogLine } from './debug-log.ts';
import { exitStatusOf } from './exit-status.ts';
import { buildFileTree } from './file-tree.ts';
import { findProgram } from './find-program.ts';
import { startGofer } from './gofer-process.ts';
import { forwardHostSignal, stopWithInit } from './host-signals.ts';
import { connectNetwork, openNetwork } from './network.ts';
import { openCapture, startCapture } from './capture.ts';
import { networkFiles } from './network-files.ts';
import type { WrittenFile } from './network-files.ts';
import { confine, connectGofer, createKernel, endSandbox, openHost } from './sentry.ts';
import type { SandboxSpec } from './spec.ts';
import { inheritFiles, installFiles } from './standard-files.ts';
import type { Inherited } from './standard-files.ts';
import { createTracer } from './strace-output.ts';

/** Runs `spec` to its end; returns the exit status for the shell. */
export function runSandbox(spec: SandboxSpec): number {
  const log = openDebugLog(spec.debugLog);
  try {
    return runToEnd(spec, log);
  } catch (error) {
    if (error instanceof PlatformUnavailable || error instanceof PlatformLost) throw new UserError(error.message);
    if (!(error instanceof UserError) && error instanceof Error) log?.(error.stack ?? error.message);
    throw error;
  }
}

function runToEnd(spec: SandboxSpec, log: LogLine | undefined): number {
  const gofer = startGofer(hostRoots(spec), spec.debugLog);
  const network = openNetwork(spec.network);
  const pcap = spec.pcap === null ? -1 : openCapture(spec.pcap);
  const host = openHost(log);
  const standardFiles = inheritFiles();
  const umask = process.umask();
  const stopped = stopWithInit();
  const tracer = createTracer(spec.strace);
  const { platform, patching, memoryLimit } = spec;
  const kernel = createKernel(host, { platform, patching, memoryLimit, memoryShown: memoryLimit, tracer, onHostSignal: forwardHostSignal });
  try {
    // While the gofer still starts.
    confine(kernel);
    const connection = connectGofer(kernel, gofer, endSandbox);
    const [link] = connectNetwork(kernel, network);
    const capture = link === undefined || pcap < 0 ? null : startCapture(kernel, link, pcap);
    const files = networkFiles(network, spec.hostname);
    const { init, path } = prepareInit(kernel, connection, spec, { umask, standardFiles, files, stopped });
    tracer?.began(path, spec.args, spec.environment.length);
    const timedOut = startTimeout(kernel, spec.timeoutMs);
    installSignalForwarding(host);
    kernel.start(init);
    const status = kernel.run();
    capture?.flush();
    return timedOut() ? EXIT_TIMED_OUT : exitStatusOf(status);
  } finally {
    // Also after a bug of ours or a lost gofer: no guest may outlive this.
    kernel.platform.destroy();
  }
}

/** What the gofer serves: the root first, then the mounts in their order. Names what is not there before anything is started. */
function hostRoots({ root, mounts }: SandboxSpec): MountConfig[] {
  const roots = [{ path: root, readOnly: true }, ...mounts.map(({ host, readOnly }) => ({ path: host, readOnly }))];
  for (const { path } of roots) {
    try {
      statSync(Buffer.from(path, 'latin1'));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'error';
      throw new UserError(`the host directory ${toText(path)} cannot be shown inside (${code}); check --root, --rw and --ro.`);
    }
  }
  return roots;
}

/** What the first process has of the one that started the sandbox. */
interface FromHost {
  readonly umask: number;
  readonly standardFiles: readonly (Inherited | null)[];
  readonly files: readonly WrittenFile[];
  /** To be told when it stops. */
  readonly stopped: (() => void) | undefined;
}

/** The first process with its files, directory and program; it has not run yet. */
function prepareInit(
  kernel: Kernel,
  connection: GoferConnection,
  spec: SandboxSpec,
  { umask, standardFiles, files, stopped }: FromHost,
): { init: Task; path: string } {
  const container = kernel.addContainer('do', { hostname: spec.hostname });
  const { namespace, pts } = buildFileTree(container, connection, spec.mounts, files);
  const { uid, gid, groups } = spec.user;
  const init = createProcess(kernel, container, {
    credentials: initialCredentials(uid, gid, groups, ALL_CAPABILITIES),
    namespace,
    root: namespace.rootPath,
    umask,
    // The command is no init: it dies of a signal as it would outside.
    unkillable: false,
    ...(stopped === undefined ? {} : { outside: { stopped } }),
  });
  if (typeof init === 'number') throw new UserError(`the host gives no process for the guest (${errnoName(-init)}).`);
  const hostFiles = new HostFiles(kernel.host, kernel);
  hostFiles.registerWith(namespace.vfs.special);
  installFiles(hostFiles, init, pts, standardFiles);
  enterDirectory(init, spec.cwd);
  const program = findProgram(init, spec.args[0]!, spec.environment);
  const loaded = execve(init, { ...program, args: spec.args, environment: spec.environment });
  if (loaded < 0) throw new UserError(`${toText(spec.args[0]!)}: cannot be executed (${errnoName(-loaded)}).`, EXIT_NOT_EXECUTABLE);
  return { init, path: program.path };
}

function enterDirectory(init: Task, cwd: string): void {
  const place = resolve(init, null, cwd, WALK_FOLLOW | WALK_DIRECTORY);
  if (typeof place === 'number') {
    throw new UserError(
      `the working directory ${toText(cwd)} cannot be entered inside the sandbox (${errnoName(-place)}); choose one with --cwd.`,
    );
  }
  init.fs.setCwd(place);
}

/** Ends everything after `milliseconds`. Returns a function that tells whether it did. */
function startTimeout(kernel: Kernel, milliseconds: number | null): () => boolean {
  let expired = false;
  if (milliseconds === null) return () => false;
  const timer = new Timer(() => {
    expired = true;
    if (kernel.first?.init) exitGroup(kernel.first.init, SIGKILL);
  });
  kernel.timers.set(timer, kernel.host.monotonicNs() + milliseconds * 1e6);
  return () => expired;
}
