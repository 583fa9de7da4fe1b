/**
 * Reads config.json, validates it once and gives the form everything else works with:
 *
 *     const { config, warnings } = readConfig(readFileSync(…, 'utf8'), bundle);
 *
 * OCI runtime specification 1.2 (config.md, config-linux.md); older files of 1.x are valid as well. Nothing on the host is looked at here.
 */
import { toBytes } from '../../byte-text.ts';
import { OCI_VERSION } from '../spec-version.ts';
import { checkConsistency } from './consistency.ts';
import { parseJson } from './json.ts';
import { linux } from './linux.ts';
import { mountReader } from './mounts.ts';
import { readPod } from './pod.ts';
import { readProcessFields } from './process.ts';
import {
  absolutePath,
  bytes,
  defaulted,
  dictionary,
  flag,
  ignored,
  integer,
  list,
  object,
  optional,
  Place,
  refused,
  required,
  shown,
  text,
} from './reader.ts';
import type { Reader, Report } from './reader.ts';
import { resources } from './resources.ts';
import { HOOK_KINDS } from './types.ts';
import type { ContainerConfig, HookConfig, HookKind, HooksConfig, ProcessConfig, ResourcesConfig, RootConfig } from './types.ts';

const HOSTNAME_MAX = 64;
const HOOK_SECONDS_MAX = 1e6;

const version: Reader<string> = (value, place) => {
  const read = text(value, place);
  if (!/^\d+\.\d+\.\d+([-+].*)?$/.test(read)) place.fail(`must be a version such as ${OCI_VERSION}, not ${shown(value)}`);
  if (!read.startsWith('1.')) place.fail(`must be 1.x: other versions of the specification are not supported, such as ${shown(value)}`);
  return read;
};

/** Names of the machine: sethostname(2). Empty is the same as absent, as Go writes it. */
const machineName: Reader<string | null> = (value, place) => {
  const read = bytes(value, place);
  if (read.length > HOSTNAME_MAX) place.fail(`must have at most ${HOSTNAME_MAX} bytes, not ${read.length}`);
  return read === '' ? null : read;
};

const hookFields = object({
  path: required(absolutePath),
  args: optional(list(bytes), []),
  env: optional(list(bytes), null),
  timeout: optional(integer(1, HOOK_SECONDS_MAX), null),
});

const hook: Reader<HookConfig> = (value, place) => {
  const { path, args, env, timeout } = hookFields(value, place);
  return { path, args: args.length === 0 ? [path] : args, env, timeoutMs: timeout === null ? null : timeout * 1000 };
};

const hooks: Reader<HooksConfig> = object(
  Object.fromEntries(HOOK_KINDS.map((kind) => [kind, optional(list(hook), [])])) as Record<HookKind, ReturnType<typeof hookList>>,
);

function hookList() {
  return optional(list(hook), []);
}

const annotations: Reader<Record<string, string>> = (value, place) => {
  const entries = dictionary(text)(value, place);
  for (const [name] of entries) if (name === '') place.fail('must not have an empty name');
  return Object.fromEntries(entries);
};

function rootReader(bundle: string): Reader<RootConfig> {
  const fields = object({ path: required(bytes), readonly: optional(flag, false) });
  return (value, place) => {
    const { path, readonly } = fields(value, place);
    if (path === '') place.at('path').fail('must not be empty');
    return { path: path.startsWith('/') ? path : `${bundle}/${path}`, readonly };
  };
}

const OTHER_SYSTEM = 'is for another operating system and is ignored';

function topReader(bundle: string): Reader<ContainerConfig> {
  const fields = object({
    ociVersion: required(version),
    root: required(rootReader(bundle)),
    process: optional(readProcessFields, null),
    hostname: optional(machineName, null),
    domainname: optional(machineName, null),
    mounts: optional(list(mountReader(bundle)), []),
    hooks: defaulted(hooks),
    annotations: optional(annotations, {}),
    linux: defaulted(linux),
    vm: refused('asks for a virtual machine, which this runtime does not start'),
    freebsd: ignored(OTHER_SYSTEM),
    solaris: ignored(OTHER_SYSTEM),
    windows: ignored(OTHER_SYSTEM),
    zos: ignored(OTHER_SYSTEM),
  });
  return (value, place) => {
    const read = fields(value, place);
    return { ...read, pod: readPod(read.annotations, place.at('annotations')) };
  };
}

/**
 * @param contents text of config.json
 * @param bundle absolute path of the directory it is in, as text: relative paths of the file start there
 * @throws UserError that names the field
 */
export function readConfig(
  contents: string,
  bundle: string,
  sandboxId: string | null = null,
): { config: ContainerConfig; warnings: string[] } {
  const report: Report = { warnings: [] };
  const label = 'config.json';
  const top = new Place(report, label);
  const read = topReader(toBytes(bundle))(parseJson(contents, label), top);
  const config: ContainerConfig = sandboxId === null ? read : { ...read, pod: { role: 'member', sandboxId } };
  checkConsistency(config, top);
  return { config, warnings: report.warnings };
}

/** What `exec --process FILE` gives: the value of the `process` field alone. */
export function readProcess(contents: string): { process: ProcessConfig; warnings: string[] } {
  const report: Report = { warnings: [] };
  const process = readProcessFields(parseJson(contents, 'process'), new Place(report, 'process'));
  return { process, warnings: report.warnings };
}

/** What `update --resources FILE` gives: the value of `linux.resources` alone. */
export function readResources(contents: string): { resources: ResourcesConfig; warnings: string[] } {
  const report: Report = { warnings: [] };
  const read = resources(parseJson(contents, 'resources'), new Place(report, 'resources'));
  return { resources: read, warnings: report.warnings };
}
