/**
 * The kernel of a sandbox and its connections: what `do` and containers have in common. The order is the security of the whole:
 *
 *     const host = createHost(…)                    // whatever has a name on the host is opened before
 *     const kernel = createKernel(host, options)    // the right to open files by name ends here; the first guest process is made
 *     confine(kernel)                               // and here every other right that serving guests does not need
 *     connectGofer(kernel, socket, …)
 */
import { createHost } from '#platform/host/host.ts';
import type { LinuxHost } from '#platform/host/host.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { POLLRDHUP } from '#sentry/abi/fs.ts';
import { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { Kernel } from '#sentry/kernel/kernel.ts';
import { SyscallTable } from '#sentry/syscalls/dispatch.ts';
import type { StraceWriter } from '#sentry/syscalls/strace/strace-writer.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import type { ContainerView } from '../confine/container-view.ts';
import { confineSentry, isolateSentry } from '../confine/sentry.ts';
import { UserError } from '../errors.ts';
import { createPlatform } from './choose-platform.ts';
import type { PlatformName } from './choose-platform.ts';
import type { LogLine } from './debug-log.ts';
import { describeMachine, readAuxiliaryFacts } from './machine.ts';

export interface SentryOptions {
  /** How system calls are intercepted; null: the best that the host allows. */
  readonly platform: PlatformName | null;
  /** Whether call sites of guests may be patched (seccomp platform). */
  readonly patching: boolean;
  /** Bytes that guests may commit together, or null. */
  readonly memoryLimit: number | null;
  /** Bytes of memory that guests are shown at most, or null. */
  readonly memoryShown: number | null;
  readonly tracer: StraceWriter | null;
  readonly onHostSignal: (kernel: Kernel, signo: number) => void;
  /** Of a container: what lies in the mount namespace of its host process. */
  readonly view?: ContainerView;
  /** Between the making of the first guest process and what comes after. */
  readonly onPlatform?: () => void;
}

export function openHost(log: LogLine | undefined): LinuxHost {
  return createHost({ debugLog: log });
}

export function createKernel(host: LinuxHost, options: SentryOptions): Kernel {
  const { tracer, memoryLimit, patching } = options;
  const table = new SyscallTable(ALL_ROWS, 'x64');
  const facts = readAuxiliaryFacts();
  const machine = describeMachine(host.cpuCount, options.memoryShown);
  // The last moment at which a name of the host can be opened: guest processes must be born into the sentry's confinement.
  isolateSentry(options.view);
  const platform = createPlatform(
    options.platform,
    { sites: patching, keepsAnswers: tracer === null, memoryLimited: memoryLimit !== null },
    host,
  );
  options.onPlatform?.();
  return new Kernel({
    host,
    platform,
    dispatch: tracer === null ? (task) => table.dispatch(task) : (task) => table.dispatchTraced(task, tracer),
    ...facts,
    memoryLimit: memoryLimit ?? Infinity,
    machine,
    onHostSignal: options.onHostSignal,
    ...(tracer === null ? {} : { onSignal: tracer.signal }),
  });
}

/** The second step of confinement. Nothing from here on needs more of the host than serving guests does. */
export function confine({ host, platform }: Kernel): void {
  for (const line of confineSentry(platform.name).lines()) host.log(`sentry: ${line}`);
}

/** The connection over `socket` to a gofer, which has said hello. `onLost` is told a sentence when it ends or does not make sense any more. */
export function connectGofer(kernel: Kernel, socket: HostFd, onLost: (sentence: string) => void): GoferConnection {
  const { host } = kernel;
  const lost = (reason: string): void => onLost(`the file server process is lost (${reason}); the sandbox was stopped.`);
  const connection = new GoferConnection(host, socket, lost);
  if (!connection.awaitHello()) throw new UserError('the file server process did not start; --debug-log FILE tells why.');
  // Its end is to be known at once, not at the next file that a guest asks for.
  kernel.watch(socket, POLLRDHUP, () => lost('it ended'));
  for (const line of connection.hello.report) host.log(`gofer: ${line}`);
  return connection;
}

/** What the end of a gofer means for a sandbox that has only one. */
export function endSandbox(sentence: string): never {
  throw new UserError(sentence);
}
