/**
 * The mounts of a container: config.md "Mounts", mount(8). An entry with `bind` or `rbind` is a bind mount whatever its type says; others name a
 * file system that the sandbox has itself. Options come in order, and a later one takes back an earlier one.
 */
import { MS_BIND } from '#sentry/abi/mount.ts';
import { toBytes } from '../../byte-text.ts';
import { FLAG_OPTIONS, PROPAGATION_OPTIONS, RECURSIVE_OPTIONS, REFUSED_OPTIONS, TMP_COPY_UP } from './mount-flags.ts';
import type { FlagOption } from './mount-flags.ts';
import { alternatives, bytes, list, object, optional, refused, required, shown, text } from './reader.ts';
import type { Place, Reader } from './reader.ts';
import type { MountConfig, MountType } from './types.ts';

const TYPES: Readonly<Record<string, MountType>> = {
  bind: 'bind',
  cgroup: 'cgroup',
  cgroup2: 'cgroup',
  devpts: 'devpts',
  mqueue: 'mqueue',
  proc: 'proc',
  sysfs: 'sysfs',
  tmpfs: 'tmpfs',
};

/** Names of options that each file system takes (their manual pages); Linux refuses a mount with any other. Null: anything. */
const DATA_OPTIONS: Readonly<Record<MountType, readonly string[] | null>> = {
  bind: null,
  cgroup: null,
  devpts: ['gid', 'max', 'mode', 'newinstance', 'ptmxmode', 'uid'],
  mqueue: [],
  proc: ['gid', 'hidepid', 'subset'],
  sysfs: [],
  tmpfs: ['gid', 'huge', 'inode32', 'inode64', 'mode', 'mpol', 'nr_blocks', 'nr_inodes', 'size', 'uid'],
};

const fields = object({
  destination: required(bytes),
  type: optional(text, ''),
  source: optional(bytes, ''),
  options: optional(list(text), []),
  uidMappings: refused('asks for an id-mapped mount, which is not supported'),
  gidMappings: refused('asks for an id-mapped mount, which is not supported'),
});

/** @param bundle byte string, absolute: what relative sources are relative to */
export function mountReader(bundle: string): Reader<MountConfig> {
  return (value, place) => {
    const given = fields(value, place);
    const options = readOptions(given.options, place.at('options'));
    const type = mountType(given.type, options.flags, place.at('type'));
    checkData(type, options.data, place.at('options'));
    return {
      destination: destination(given.destination, place.at('destination')),
      type,
      source: type === 'bind' ? hostSource(given.source, bundle, place.at('source')) : given.source || given.type,
      ...options,
      flags: type === 'bind' ? options.flags | MS_BIND : options.flags,
      data: type === 'bind' ? '' : options.data.join(','),
    };
  };
}

interface Options {
  flags: number;
  clearedFlags: number;
  recursiveFlags: number;
  recursiveClearedFlags: number;
  readonly propagation: number[];
  data: string[];
  copyUp: boolean;
}

function readOptions(names: readonly string[], place: Place): Options {
  const options: Options = {
    flags: 0,
    clearedFlags: 0,
    recursiveFlags: 0,
    recursiveClearedFlags: 0,
    propagation: [],
    data: [],
    copyUp: false,
  };
  names.forEach((name, index) => {
    if (Object.hasOwn(FLAG_OPTIONS, name)) {
      [options.flags, options.clearedFlags] = apply(FLAG_OPTIONS[name]!, options.flags, options.clearedFlags);
    } else if (Object.hasOwn(RECURSIVE_OPTIONS, name)) {
      const { recursiveFlags, recursiveClearedFlags } = options;
      [options.recursiveFlags, options.recursiveClearedFlags] = apply(RECURSIVE_OPTIONS[name]!, recursiveFlags, recursiveClearedFlags);
    } else if (Object.hasOwn(PROPAGATION_OPTIONS, name)) options.propagation.push(PROPAGATION_OPTIONS[name]!);
    else if (Object.hasOwn(REFUSED_OPTIONS, name)) place.at(index).fail(`${shown(name)} ${REFUSED_OPTIONS[name]}`);
    else if (name === TMP_COPY_UP) options.copyUp = true;
    else if (name !== '') options.data.push(toBytes(name));
  });
  return options;
}

function apply({ flag, sets }: FlagOption, flags: number, cleared: number): [flags: number, cleared: number] {
  return sets ? [flags | flag, cleared & ~flag] : [flags & ~flag, cleared | flag];
}

function mountType(given: string, flags: number, place: Place): MountType {
  if ((flags & MS_BIND) !== 0) return 'bind';
  if (Object.hasOwn(TYPES, given)) return TYPES[given]!;
  const known = alternatives(Object.keys(TYPES));
  if (given === '' || given === 'none') place.fail(`must be ${known} where the options have neither bind nor rbind`);
  return place.fail(`must be ${known}, not ${shown(given)}: the sandbox has no other file systems`);
}

function checkData(type: MountType, data: readonly string[], place: Place): void {
  if (type === 'bind' && data.length > 0) {
    place.warn(`has no effect on a bind mount: ${shown(data.join(','))}`);
    return;
  }
  const known = DATA_OPTIONS[type];
  for (const option of known === null ? [] : data.join(',').split(',')) {
    const name = option.split('=', 1)[0]!;
    if (option !== '' && !known!.includes(name)) place.fail(`has ${shown(option)}, which is neither a mount option nor one of ${type}`);
  }
}

function destination(given: string, place: Place): string {
  if (given === '') place.fail('must not be empty');
  if (!given.startsWith('/')) place.warn(`is relative, which is deprecated, and is taken from the root: ${shown(given)}`);
  return cleanPath(given);
}

/** Absolute, without what leads nowhere; `..` at the root stays there. */
export function cleanPath(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}

function hostSource(given: string, bundle: string, place: Place): string {
  if (given === '') place.fail('is missing: a bind mount shows a file or directory of the host');
  return given.startsWith('/') ? given : `${bundle}/${given}`;
}
