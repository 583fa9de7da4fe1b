/**
 * The files named `cgroup.*`: who is in a group, and what groups below may have. Spec: cgroup-v2.rst, "Core Interface Files".
 */
import { EINVAL, ENOENT, EOPNOTSUPP, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { ReadText, WriteText } from '../synthetic/synthetic.ts';
import type { ControlGroup, MemberProcess } from './control-group.ts';

/** What a file shows, and what writing to it does (null: it cannot be written). */
export interface GroupFile {
  readonly read: ReadText;
  readonly write: WriteText | null;
}

export const CONTROLLERS = ['cpuset', 'cpu', 'io', 'memory', 'pids'];

export function readOnly(read: () => string): GroupFile {
  return { read, write: null };
}

/** Ends a process as SIGKILL does. Given by who knows the process table. */
export type KillProcess = (process: MemberProcess) => void;

export function coreFiles(group: ControlGroup, kill: KillProcess): Record<string, GroupFile> {
  return {
    'cgroup.controllers': readOnly(() => `${controllersOf(group).join(' ')}\n`),
    'cgroup.events': readOnly(() => `populated ${group.isPopulated ? 1 : 0}\nfrozen 0\n`),
    'cgroup.freeze': { read: () => '0\n', write: (text) => (text.trim() === '0' ? 0 : refusal(group, text)) },
    'cgroup.kill': { read: () => -EINVAL, write: (text) => killAll(group, text, kill) },
    'cgroup.max.depth': { read: () => 'max\n', write: () => refusalOfLimit(group) },
    'cgroup.max.descendants': { read: () => 'max\n', write: () => refusalOfLimit(group) },
    'cgroup.procs': { read: () => lines(group.members().map(({ pid }) => pid)), write: (text, caller) => moveProcess(group, text, caller) },
    'cgroup.stat': readOnly(() => `nr_descendants ${group.descendantCount}\nnr_dying_descendants 0\n`),
    'cgroup.subtree_control': { read: () => (group.handsDownPids ? 'pids\n' : '\n'), write: (text) => handDown(group, text) },
    // Linux: a thread can be moved where groups are threaded. Here they are all domains.
    'cgroup.threads': { read: () => lines(threadsOf(group)), write: () => -EOPNOTSUPP },
    'cgroup.type': { read: () => 'domain\n', write: (text) => (text.trim() === 'threaded' ? -EOPNOTSUPP : -EINVAL) },
  };
}

function controllersOf(group: ControlGroup): readonly string[] {
  if (group.isRoot) return CONTROLLERS;
  return group.limitsPids ? ['pids'] : [];
}

function lines(numbers: readonly number[]): string {
  return numbers.map((number) => `${number}\n`).join('');
}

function threadsOf(group: ControlGroup): number[] {
  return group.members().flatMap(({ tasks }) => [...tasks].filter(({ hasExited }) => !hasExited).map(({ tid }) => tid));
}

/** The root is the container's own group, whose limits were set from outside: as in a cgroup namespace, they cannot be changed inside. */
function refusalOfLimit(group: ControlGroup): number {
  return group.isRoot ? -EPERM : -EOPNOTSUPP;
}

function refusal(group: ControlGroup, text: string): number {
  return text.trim() === '1' ? refusalOfLimit(group) : -EINVAL;
}

function moveProcess(group: ControlGroup, text: string, caller: Caller): number {
  const number = parseNumber(text);
  if (Number.isNaN(number)) return -EINVAL;
  const { tasks } = group.tree.table;
  // 0 is the writer, who need not be of this container's numbering otherwise.
  const process = number === 0 ? (caller.task as { readonly group: MemberProcess }).group : tasks.get(number)?.group;
  if (process === undefined || process.isZombie) return -ESRCH;
  if (number === 0 && group.tree.table.groups.get(process.pid) !== process) return -ENOENT;
  return group.take(process);
}

/** NaN for what is no number. */
function parseNumber(text: string): number {
  return /^\s*\d{1,10}\s*$/.test(text) ? Number(text) : Number.NaN;
}

function killAll(group: ControlGroup, text: string, kill: KillProcess): number {
  if (text.trim() !== '1') return -EINVAL;
  if (group.isRoot) return -EPERM;
  for (const process of group.tree.processes((other) => group.contains(other))) if (!process.isZombie) kill(process);
  return 0;
}

/** `+pids -pids …`, all or nothing. Controllers other than pids are the root's alone. */
function handDown(group: ControlGroup, text: string): number {
  const words = text.trim().split(/\s+/);
  const available = controllersOf(group);
  let wanted = group.handsDownPids;
  for (const word of words) {
    const name = word.slice(1);
    if (!/^[+-]/.test(word)) return -EINVAL;
    if (!available.includes(name))
      return word.startsWith('-') && CONTROLLERS.includes(name) ? 0 : CONTROLLERS.includes(name) ? -ENOENT : -EINVAL;
    if (name === 'pids') wanted = word.startsWith('+');
    else if (word.startsWith('+')) return -EOPNOTSUPP;
  }
  if (wanted === group.handsDownPids) return 0;
  return wanted ? group.handDownPids() : group.keepPids();
}

/** pids.* of a group that guests made. */
export function pidsFiles(group: ControlGroup): Record<string, GroupFile> {
  return {
    'pids.current': readOnly(() => `${group.taskCount}\n`),
    'pids.events': readOnly(() => `max ${group.refusals}\n`),
    'pids.max': { read: () => `${group.pidsMax === Infinity ? 'max' : group.pidsMax}\n`, write: (text) => setPidsMax(group, text) },
  };
}

function setPidsMax(group: ControlGroup, text: string): number {
  const limit = text.trim() === 'max' ? Infinity : parseNumber(text);
  if (Number.isNaN(limit)) return -EINVAL;
  group.pidsMax = limit;
  return 0;
}
