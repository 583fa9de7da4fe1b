/**
 * `tsvisor do -- CMD`: runs a command in a throw-away sandbox. This file turns the command line into a `SandboxSpec`; bin/sandbox runs it.
 */
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { toBytes } from '../byte-text.ts';
import { callerEnvironment } from '../guest-env.ts';
import { PATCHING_BY_DEFAULT, PLATFORM_NAMES } from '../sandbox/choose-platform.ts';
import type { PlatformName } from '../sandbox/choose-platform.ts';
import { runSandbox } from '../sandbox/run.ts';
import type { BindMount, SandboxSpec, UserSpec } from '../sandbox/spec.ts';
import { addNetworkOptions, networkSpec } from './network-options.ts';
import type { NetworkOptions } from './network-options.ts';

interface DoOptions extends NetworkOptions {
  root: string;
  rw: BindMount[];
  ro: BindMount[];
  cwd?: string;
  env: string[];
  user?: UserSpec;
  hostname: string;
  platform?: PlatformName;
  patching?: boolean;
  memory?: number;
  timeout?: number;
  strace?: boolean;
  straceLog?: string;
  debugLog?: string;
}

function bind(readOnly: boolean): (value: string, previous: BindMount[]) => BindMount[] {
  return (value, previous) => {
    const colon = value.indexOf(':');
    const host = resolve(colon < 0 ? value : value.slice(0, colon));
    const guest = colon < 0 ? host : value.slice(colon + 1);
    if (!guest.startsWith('/')) throw new InvalidArgumentError(`the place inside, "${guest}", must be an absolute path.`);
    return [...previous, { host: toBytes(host), guest: toBytes(guest), readOnly }];
  };
}

function parseVariable(value: string, previous: string[]): string[] {
  if (!/^[^=]+=/.test(value)) throw new InvalidArgumentError('it must have the form NAME=VALUE.');
  return [...previous, toBytes(value)];
}

function parseUser(value: string): UserSpec {
  const match = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(value);
  const uid = Number(match?.[1]);
  const gid = Number(match?.[2] ?? match?.[1]);
  if (match === null || uid > 0xffff_fffe || gid > 0xffff_fffe) throw new InvalidArgumentError('it must be UID or UID:GID, in numbers.');
  return { uid, gid, groups: [gid] };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

function parseBytes(value: string): number {
  const match = /^(\d+)([kmg]?)b?$/i.exec(value);
  if (match === null || Number(match[1]) === 0) throw new InvalidArgumentError('it must be a number of bytes, such as 512m.');
  return Number(match[1]) * UNITS[match[2]!.toLowerCase()]!;
}

function parseSeconds(value: string): number {
  const seconds = Number(value);
  if (!(seconds > 0 && seconds < 1e9)) throw new InvalidArgumentError('it must be a number of seconds above 0.');
  return Math.ceil(seconds * 1000);
}

function parseHostname(value: string): string {
  if (!/^[A-Za-z0-9.-]{1,64}$/.test(value)) throw new InvalidArgumentError('it must be 1 to 64 letters, digits, dots and dashes.');
  return value;
}

export function doCommand(): Command {
  const command = new Command('do')
    .description('Run a command in a throw-away sandbox: the host read-only beneath an overlay, no network unless --net asks for one.')
    .usage('[options] -- CMD [ARG…]')
    .passThroughOptions()
    .argument('<cmd>', 'the program, looked up in PATH inside')
    .argument('[arg...]', 'its arguments')
    .option('--root <dir>', 'host directory that becomes / (read-only beneath the overlay)', '/')
    .option('--rw <host[:guest]>', 'show a host directory inside, writable (repeatable)', bind(false), [])
    .option('--ro <host[:guest]>', 'show a host directory inside, read-only (repeatable)', bind(true), [])
    .option('--cwd <dir>', "working directory inside (default: the caller's)")
    .option('--env <name=value>', 'set an environment variable (repeatable)', parseVariable, [])
    .option('--user <uid[:gid]>', "run as this user (default: the caller's ids)", parseUser)
    .option('--hostname <name>', 'host name inside', parseHostname, 'tsvisor')
    .addOption(
      new Option('--platform <name>', 'how system calls are intercepted (default: the best that the host allows)').choices(PLATFORM_NAMES),
    )
    .option('--patching', 'rewrite system call instructions of guests where they call often (seccomp platform)')
    .option('--no-patching', 'leave the text of guests as it is')
    .option('--memory <bytes>', 'memory the guests may use together, such as 512m', parseBytes)
    .option('--timeout <seconds>', 'end everything after this time (exit status 124)', parseSeconds)
    .option('--strace', 'write a line for each system call to standard error')
    .option('--strace-log <file>', 'write them to a file instead')
    .option('--debug-log <file>', 'write what tsvisor itself has to say to a file');
  return addNetworkOptions(command).action((cmd: string, args: string[], options: DoOptions) => {
    process.exitCode = runSandbox(toSpec([cmd, ...args], options));
  });
}

function toSpec(args: string[], options: DoOptions): SandboxSpec {
  const root = resolve(options.root);
  return {
    root: toBytes(root),
    mounts: [...options.ro, ...options.rw],
    cwd: toBytes(options.cwd ?? (root === '/' ? process.cwd() : '/')),
    args: args.map(toBytes),
    environment: mergeEnvironment(callerEnvironment(), options.env),
    user: options.user ?? callerUser(),
    hostname: options.hostname,
    platform: options.platform ?? null,
    patching: options.patching ?? PATCHING_BY_DEFAULT,
    memoryLimit: options.memory ?? null,
    timeoutMs: options.timeout ?? null,
    strace: straceTarget(options),
    debugLog: options.debugLog ?? null,
    network: networkSpec(options),
    pcap: options.pcap ?? null,
  };
}

function straceTarget({ strace, straceLog }: DoOptions): SandboxSpec['strace'] {
  if (straceLog !== undefined) return { kind: 'file', path: straceLog };
  return { kind: strace === true ? 'stderr' : 'off' };
}

function callerUser(): UserSpec {
  return { uid: process.getuid!(), gid: process.getgid!(), groups: process.getgroups!() };
}

/** Later settings of a name replace earlier ones, in place. */
export function mergeEnvironment(base: readonly string[], changes: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of [...base, ...changes]) {
    const equals = entry.indexOf('=');
    merged.set(equals < 0 ? entry : entry.slice(0, equals), entry);
  }
  return [...merged.values()];
}
