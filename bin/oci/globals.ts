/**
 * Options that clients write before the verb: `tsvisor --root DIR --log FILE --log-format json create …`. runc's, with its defaults.
 *
 *     addOciGlobals(program);                     // once, for the command itself
 *     const { root, log } = ociGlobals(command);  // in a verb's action, with the verb's Command
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { UserError } from '../errors.ts';
import { callerVariable } from '../guest-env.ts';
import { EXIT_OCI_FAILURE } from './errors.ts';
import { LOG_FORMATS } from './log.ts';
import type { LogFormat, LogOptions } from './log.ts';

export interface OciGlobals {
  /** Absolute host path of the directory with one directory for each container. */
  readonly root: string;
  readonly log: LogOptions;
  /** `cgroupsPath` has the form `slice:prefix:name`. */
  readonly systemdCgroup: boolean;
  /** Whether what needs rights on the host may be left out with a warning; null: decided by what fails. */
  readonly rootless: boolean | null;
}

interface GlobalOptions {
  root?: string;
  log?: string;
  logFormat: LogFormat;
  debug?: boolean;
  systemdCgroup?: boolean;
  rootless: string;
}

const ROOTLESS: Readonly<Record<string, boolean | null>> = { true: true, false: false, auto: null };

export function addOciGlobals(program: Command): Command {
  return program
    .option('--root <dir>', 'directory for the state of containers (default: /run/tsvisor, or $XDG_RUNTIME_DIR/tsvisor without root)')
    .option('--log <file>', 'write errors and warnings to a file as well, for clients')
    .addOption(new Option('--log-format <format>', 'format of that file').choices(LOG_FORMATS).default('text'))
    .option('--debug', 'write more to it')
    .option('--systemd-cgroup', "take cgroupsPath as slice:prefix:name, as systemd's clients write it")
    .addOption(new Option('--rootless <mode>', 'go on where cgroups are not permitted').choices(Object.keys(ROOTLESS)).default('auto'))
    .addOption(new Option('--criu <path>', 'accepted for old clients; without effect').hideHelp());
}

/** @param verb the command whose action runs: the options are those of its parent */
export function ociGlobals(verb: Command): OciGlobals {
  const { root, log, logFormat, debug = false, systemdCgroup = false, rootless } = verb.parent!.opts<GlobalOptions>();
  return {
    root: stateDirectory(root),
    log: { file: log === undefined || log === '' ? null : resolve(log), format: logFormat, debug },
    systemdCgroup,
    rootless: ROOTLESS[rootless]!,
  };
}

function stateDirectory(given: string | undefined): string {
  if (given === undefined) return defaultRoot();
  const root = resolve(given);
  if (given === '' || root === '/') throw new UserError('--root must not be /: it is to hold the state of containers.', EXIT_OCI_FAILURE);
  return root;
}

function defaultRoot(): string {
  const runtimeDirectory = isRealRoot() ? undefined : callerVariable('XDG_RUNTIME_DIR');
  return runtimeDirectory === undefined ? '/run/tsvisor' : `${runtimeDirectory}/tsvisor`;
}

/** Root of the machine, not of a user namespace (user_namespaces(7)) that rootless podman made. */
function isRealRoot(): boolean {
  if (process.geteuid!() !== 0) return false;
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
  } catch {
    return true;
  }
}
