/**
 * `exec`: asks a container's sentry for one more process, with this process's standard files or a new terminal, and leaves the host a stand-in for it.
 */
import { O_RDWR } from '#sentry/abi/fs.ts';
import { NO_CAPABILITIES } from '#sentry/vfs/credentials.ts';
import type { CapabilitySet } from '#sentry/vfs/credentials.ts';
import { UserError } from '../../errors.ts';
import { inheritFiles } from '../../sandbox/standard-files.ts';
import type { Inherited } from '../../sandbox/standard-files.ts';
import { becomeStandIn, startStandIn } from '../../stand-in/launch.ts';
import { capabilityNumber, withCapability } from '../config/capability-names.ts';
import { readProcess } from '../config/read.ts';
import type { CapabilitiesConfig, ProcessConfig } from '../config/types.ts';
import type { ControlConnection } from '../control/client.ts';
import { decodeProcess, encodeProcess } from '../control/process-codec.ts';
import type { ExecReply, ProcessReply } from '../control/protocol.ts';
import { EXIT_EXEC_FAILURE } from '../errors.ts';
import type { RuntimeLog } from '../log.ts';
import { checkConsole, openConsole } from './console.ts';
import type { KnownContainer } from './known-container.ts';
import { writePidFile } from './pid-file.ts';

/** How the process differs from the container's own. */
export interface ProcessChanges {
  readonly args: readonly string[];
  readonly cwd: string | null;
  /** Added. */
  readonly env: readonly string[];
  readonly terminal: boolean;
  readonly user: { readonly uid: number; readonly gid: number | null } | null;
  /** Added. */
  readonly additionalGids: readonly number[];
  readonly noNewPrivileges: boolean;
  /** Names, added. */
  readonly capabilities: readonly string[];
}

export interface ExecOptions {
  /** The text of a process's configuration, or what is different from the container's. */
  readonly process: string | ProcessChanges;
  readonly consoleSocket: string | null;
  readonly pidFile: string | null;
  readonly detach: boolean;
  readonly preserveFds: number;
  readonly ignorePaused: boolean;
}

/** Returns 0 for a detached process; else this process becomes its stand-in. */
export function execIn(container: KnownContainer, options: ExecOptions, log: RuntimeLog): number {
  const connection = container.connectFor('exec');
  const config = describeProcess(container, connection, options.process, log);
  checkConsole(config.terminal, options.consoleSocket, options.detach);
  const terminal = config.terminal && options.consoleSocket !== null ? openConsole(options.consoleSocket, config.consoleSize) : null;
  const files = terminal === null ? inheritFiles(options.preserveFds) : [0, 1, 2].map(() => ({ fd: terminal, flags: O_RDWR }));
  ask(container, connection, config, files, options);
  if (!options.detach) {
    if (options.pidFile !== null) writePidFile(options.pidFile, process.pid);
    becomeStandIn(connection.fd);
  }
  const pid = startStandIn(connection.fd, terminal);
  connection.tellStandIn(pid);
  if (options.pidFile !== null) writePidFile(options.pidFile, pid);
  return 0;
}

function ask(
  container: KnownContainer,
  connection: ControlConnection,
  config: ProcessConfig,
  files: readonly (Inherited | null)[],
  { ignorePaused, detach }: ExecOptions,
): void {
  const request = {
    verb: 'exec',
    process: encodeProcess(config),
    ignorePaused,
    hostPid: detach ? null : process.pid,
    files: files.map((file) => file?.flags ?? null),
  } as const;
  const descriptors = files.filter((file) => file !== null).map(({ fd }) => fd);
  connection.ask<ExecReply>({ container: container.id, ...request }, descriptors);
}

function describeProcess(
  container: KnownContainer,
  connection: ControlConnection,
  wish: string | ProcessChanges,
  log: RuntimeLog,
): ProcessConfig {
  const own = decodeProcess(connection.ask<ProcessReply>({ container: container.id, verb: 'process' }).process);
  if (typeof wish !== 'string') return change(own, wish);
  const { process, warnings } = readProcess(wish);
  for (const sentence of warnings) log.warn(sentence);
  return {
    ...process,
    capabilities: process.capabilities ?? own.capabilities,
    rlimits: process.rlimits.length > 0 ? process.rlimits : own.rlimits,
  };
}

function change(own: ProcessConfig, wish: ProcessChanges): ProcessConfig {
  const { uid, gid } = wish.user ?? own.user;
  const groups = wish.user === null ? own.user.additionalGids : [];
  return {
    ...own,
    args: wish.args,
    cwd: wish.cwd ?? own.cwd,
    env: [...own.env, ...wish.env],
    terminal: wish.terminal,
    consoleSize: null,
    user: { uid, gid: gid ?? 0, umask: own.user.umask, additionalGids: [...groups, ...wish.additionalGids] },
    noNewPrivileges: own.noNewPrivileges || wish.noNewPrivileges,
    capabilities: addCapabilities(own.capabilities, wish.capabilities),
  };
}

/** As runc does: to the bounding, effective and permitted sets. */
function addCapabilities(own: CapabilitiesConfig | null, names: readonly string[]): CapabilitiesConfig | null {
  if (names.length === 0) return own;
  const sets = own ?? {
    bounding: NO_CAPABILITIES,
    effective: NO_CAPABILITIES,
    inheritable: NO_CAPABILITIES,
    permitted: NO_CAPABILITIES,
    ambient: NO_CAPABILITIES,
  };
  const numbers = names.map((name) => {
    const number = capabilityNumber(name);
    if (number === null) throw new UserError(`unknown capability "${name}"`, EXIT_EXEC_FAILURE);
    return number;
  });
  const more = (set: CapabilitySet): CapabilitySet => numbers.reduce(withCapability, set);
  return { ...sets, bounding: more(sets.bounding), effective: more(sets.effective), permitted: more(sets.permitted) };
}
