/**
 * The process of a container, which is also what `exec --process FILE` holds: config.md "Process", "POSIX process", "Linux process", "User".
 * Limits: getrlimit(2); variables as execve(2) takes them, the last of a name counting.
 */
import { RLIM_INFINITY, RLIMIT_NAMES } from '#sentry/abi/resource.ts';
import { isSubset } from '#sentry/kernel/capabilities.ts';
import { capabilitySet } from './capability-names.ts';
import {
  absolutePath,
  bytes,
  defaulted,
  flag,
  ignored,
  integer,
  list,
  named,
  object,
  optional,
  required,
  shown,
  uint32,
} from './reader.ts';
import type { Place, Reader } from './reader.ts';
import { NO_CAPABILITIES } from '#sentry/vfs/credentials.ts';
import type { CapabilitiesConfig, ProcessConfig, RlimitConfig } from './types.ts';

const UMASK_MAX = 0o777;
const OOM_SCORE_ADJ_MAX = 1000;
const CONSOLE_SIZE_MAX = 0xffff;
/** ~0 in 64 bits; nothing else is infinite. */
const RLIM_INFINITY_64 = 0xffff_ffff_ffff_ffffn;

const user = object({
  uid: optional(uint32, 0),
  gid: optional(uint32, 0),
  umask: optional(integer(0, UMASK_MAX), null),
  additionalGids: optional(list(uint32), []),
  username: ignored('is for Windows and is ignored: user and group are given by uid and gid'),
});

const consoleSize = object({
  height: required(integer(0, CONSOLE_SIZE_MAX)),
  width: required(integer(0, CONSOLE_SIZE_MAX)),
});

const capabilitySets = object({
  bounding: optional(capabilitySet, NO_CAPABILITIES),
  effective: optional(capabilitySet, NO_CAPABILITIES),
  inheritable: optional(capabilitySet, NO_CAPABILITIES),
  permitted: optional(capabilitySet, NO_CAPABILITIES),
  ambient: optional(capabilitySet, NO_CAPABILITIES),
});

/** What capset(2) and prctl(PR_CAP_AMBIENT_RAISE) would refuse. */
const capabilities: Reader<CapabilitiesConfig> = (value, place) => {
  const sets = capabilitySets(value, place);
  if (!isSubset(sets.effective, sets.permitted)) place.at('effective').fail('has capabilities that permitted does not have');
  const raisable = { low: sets.permitted.low & sets.inheritable.low, high: sets.permitted.high & sets.inheritable.high };
  // As on Linux, where those that are not both permitted and inheritable cannot be raised: runc's own default configuration asks for some.
  const ambient = { low: (sets.ambient.low & raisable.low) >>> 0, high: (sets.ambient.high & raisable.high) >>> 0 };
  return { ...sets, ambient };
};

const wideLimit: Reader<number> = (value, place) => {
  if (value === RLIM_INFINITY_64) return RLIM_INFINITY;
  return integer(0, Number(RLIM_INFINITY_64))(value, place);
};

const rlimit = object({ type: required(named(RLIMIT_NAMES)), hard: optional(wideLimit, 0), soft: optional(wideLimit, 0) });

const rlimits: Reader<RlimitConfig[]> = (value, place) => {
  const first = new Map<number, number>();
  return list(rlimit)(value, place).map(({ type, hard, soft }, index) => {
    const earlier = first.get(type);
    if (earlier !== undefined) place.at(index).at('type').fail(`is limited twice: see also [${earlier}]`);
    first.set(type, index);
    if (soft > hard) place.at(index).at('soft').fail(`must not be above the hard limit: ${soft} > ${hard}`);
    return { resource: type, soft, hard };
  });
};

const args: Reader<string[]> = (value, place) => {
  const read = list(bytes)(value, place);
  if (read.length === 0) place.fail('must have at least one entry, the program');
  return read;
};

const env: Reader<string[]> = (value, place) => {
  const variables = new Map<string, string>();
  list(bytes)(value, place).forEach((entry, index) => {
    const equals = entry.indexOf('=');
    if (equals <= 0) place.at(index).fail(`must have the form NAME=VALUE, not ${shown((value as unknown[])[index])}`);
    variables.set(entry.slice(0, equals), entry);
  });
  return [...variables.values()];
};

const NOT_APPLIED = 'is not applied: guests are not processes of the host, the sandbox is confined by seccomp and Landlock instead';

/** Profiles of the host's security modules. */
function hostProfile(): ReturnType<typeof ignored> {
  const field = ignored(NOT_APPLIED);
  return { ...field, read: (value, place) => (value === 'unconfined' ? field.read('', place) : field.read(bytes(value, place), place)) };
}

const NO_EFFECT = 'has no effect: the sandbox schedules its guests itself';

const fields = object({
  terminal: optional(flag, false),
  consoleSize: optional(consoleSize, null),
  user: defaulted(user),
  args: required(args),
  commandLine: ignored('is for Windows and is ignored: the program is given by args'),
  env: optional(env, []),
  cwd: required(absolutePath),
  capabilities: optional(capabilities, null),
  rlimits: optional(rlimits, []),
  noNewPrivileges: optional(flag, false),
  apparmorProfile: hostProfile(),
  selinuxLabel: hostProfile(),
  oomScoreAdj: optional(integer(-OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MAX), null),
  scheduler: ignored(NO_EFFECT),
  ioPriority: ignored(NO_EFFECT),
  execCPUAffinity: ignored(NO_EFFECT),
});

export function readProcessFields(value: unknown, place: Place): ProcessConfig {
  const read = fields(value, place);
  return read.terminal ? read : { ...read, consoleSize: null };
}
