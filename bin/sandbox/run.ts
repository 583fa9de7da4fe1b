/**
 * Runs a sandbox from start to end. The order matters: what takes long starts first (the gofer), what needs the host's names happens before
 * the sentry is confined, and no guest instruction runs before that.
 */
import { statSync } from 'node:fs';
import type { MountConfig } from '#gofer/server/config.ts';
import { PlatformLost, PlatformUnavailable } from '#platform/host/errors.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { createHost } from '#platform/host/host.ts';
import type { LinuxHost } from '#platform/host/host.ts';
import { installSignalForwarding } from '#platform/ptrace/signal-forwarding.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { POLLRDHUP } from '#sentry/abi/fs.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { createInit } from '#sentry/kernel/boot.ts';
import { execve } from '#sentry/kernel/exec/exec.ts';
import { exitGroup } from '#sentry/kernel/exit.ts';
import { Kernel } from '#sentry/kernel/kernel.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { Timer } from '#sentry/lib/timer-queue.ts';
import { SyscallTable } from '#sentry/syscalls/dispatch.ts';
import type { StraceWriter } from '#sentry/syscalls/strace/strace-writer.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import { WALK_DIRECTORY, WALK_FOLLOW, resolve } from '#sentry/vfs/walk.ts';
import { toText } from '../byte-text.ts';
import { confineSentry, isolateSentry } from '../confine/sentry.ts';
import { EXIT_NOT_EXECUTABLE, EXIT_TIMED_OUT, UserError } from '../errors.ts';
import { createPlatform } from './choose-platform.ts';
import type { PlatformWish } from './choose-platform.ts';
import { openDebugLog } from './debug-log.ts';
import type { LogLine } from './debug-log.ts';
import { exitStatusOf } from './exit-status.ts';
import { buildFileTree } from './file-tree.ts';
import { findProgram } from './find-program.ts';
import { startGofer } from './gofer-process.ts';
import { forwardHostSignal, stopWithInit } from './host-signals.ts';
import { connectNetwork, openNetwork } from './network.ts';
import { openCapture, startCapture } from './capture.ts';
import { userNetworkFiles } from './network-files.ts';
import { describeMachine, readAuxiliaryFacts } from './machine.ts';
import type { SandboxSpec } from './spec.ts';
import { inheritStandardFiles, installStandardFiles } from './standard-files.ts';
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
  const host = createHost({ debugLog: log });
  const standardFiles = inheritStandardFiles();
  const umask = process.umask();
  const tracer = createTracer(spec.strace);
  const kernel = createKernel(spec, host, tracer);
  try {
    // While the gofer still starts. Nothing from here on needs more of the host than serving guests does.
    for (const line of confineSentry(kernel.platform.name).lines()) host.log(`sentry: ${line}`);
    const connection = connect(kernel, gofer);
    const [link] = connectNetwork(kernel, network);
    const capture = link === undefined || pcap < 0 ? null : startCapture(kernel, link, pcap);
    const { init, path } = prepareInit(kernel, connection, spec, umask, standardFiles);
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

function connect(kernel: Kernel, socket: HostFd): GoferConnection {
  const { host } = kernel;
  const lost = (reason: string): never => {
    throw new UserError(`the file server process is lost (${reason}); the sandbox was stopped.`);
  };
  const connection = new GoferConnection(host, socket, lost);
  if (!connection.awaitHello()) throw new UserError('the file server process did not start; --debug-log FILE tells why.');
  // Its end must end the sandbox at once, not at the next file that a guest asks for.
  kernel.watch(socket, POLLRDHUP, () => lost('it ended'));
  for (const line of connection.hello.report) host.log(`gofer: ${line}`);
  return connection;
}

function createKernel(spec: SandboxSpec, host: LinuxHost, tracer: StraceWriter | null): Kernel {
  const table = new SyscallTable(ALL_ROWS, 'x64');
  const facts = readAuxiliaryFacts();
  const machine = describeMachine(host.cpuCount, spec.memoryLimit);
  const onInitStopped = stopWithInit();
  // The last moment at which a name of the host can be opened: guest processes must be born into the sentry's confinement.
  isolateSentry();
  return new Kernel({
    host,
    platform: createPlatform(spec.platform, platformWish(spec, tracer !== null), host),
    dispatch: tracer === null ? (task) => table.dispatch(task) : (task) => table.dispatchTraced(task, tracer),
    ...facts,
    memoryLimit: spec.memoryLimit ?? Infinity,
    machine,
    onHostSignal: forwardHostSignal,
    ...(onInitStopped === undefined ? {} : { onInitStopped }),
    ...(tracer === null ? {} : { onSignal: tracer.signal }),
  });
}

function platformWish({ patching, memoryLimit }: SandboxSpec, traced: boolean): PlatformWish {
  return { sites: patching, keepsAnswers: !traced, memoryLimited: memoryLimit !== null };
}

/** The first process with its files, directory and program; it has not run yet. */
function prepareInit(
  kernel: Kernel,
  connection: GoferConnection,
  spec: SandboxSpec,
  umask: number,
  standardFiles: readonly (Inherited | null)[],
): { init: Task; path: string } {
  const { namespace, pts } = buildFileTree(
    kernel,
    connection,
    spec.mounts,
    spec.network.mode === 'user' ? userNetworkFiles(spec.hostname) : [],
  );
  const { uid, gid, groups } = spec.user;
  const init = createInit(kernel, {
    credentials: initialCredentials(uid, gid, groups, ALL_CAPABILITIES),
    namespace,
    root: namespace.rootPath,
    hostname: spec.hostname,
    umask,
    // The command is no init: it dies of a signal as it would outside.
    unkillable: false,
  });
  if (typeof init === 'number') throw new UserError(`the host gives no process for the guest (${errnoName(-init)}).`);
  installStandardFiles(kernel, init, pts, standardFiles);
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
    if (kernel.init !== null) exitGroup(kernel.init, SIGKILL);
  });
  kernel.timers.set(timer, kernel.host.monotonicNs() + milliseconds * 1e6);
  return () => expired;
}
