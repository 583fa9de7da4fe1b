/**
 * /proc/PID/ns (namespaces(7)): a link for each kind of namespace that says which one the process is in. Processes are in the same one if and only
 * if the texts are equal. They can be read and compared, not opened: setns(2) is not supported.
 */
import { ENOENT } from '#sentry/abi/errno.ts';
import type { Inode } from '../../vfs/inode.ts';
import { LinkFile, StaticDirectory } from '../synthetic/synthetic.ts';
import type { SyntheticFileSystem } from '../synthetic/synthetic.ts';
import type { TaskView } from './process-view.ts';

/** Numbers of the first namespace of each kind, as Linux has them. */
const FIRST = {
  cgroup: 4_026_531_835,
  ipc: 4_026_531_839,
  mnt: 4_026_531_841,
  net: 4_026_531_840,
  pid: 4_026_531_836,
  time: 4_026_531_834,
  user: 4_026_531_837,
  uts: 4_026_531_838,
} as const;
type Kind = keyof typeof FIRST;

/** Those there may be several of in a sandbox. */
const OWN: Partial<Record<Kind, (task: TaskView) => object>> = {
  mnt: (task) => task.fs.namespace,
  pid: (task) => task.pids,
  uts: (task) => task.uts,
};

const numbers = new WeakMap<object, number>();
const known = new Set<Kind>();
let nextNumber = 4_026_532_000;

function numberOf(kind: Kind, task: TaskView): number {
  const namespace = OWN[kind]?.(task);
  if (namespace === undefined) return FIRST[kind];
  let number = numbers.get(namespace);
  if (number === undefined) {
    number = known.has(kind) ? nextNumber++ : FIRST[kind];
    known.add(kind);
    numbers.set(namespace, number);
  }
  return number;
}

export function namespacesDirectory(fs: SyntheticFileSystem, task: TaskView): StaticDirectory {
  const link = (kind: Kind): Inode => new LinkFile(fs, () => (task.hasExited ? -ENOENT : `${kind}:[${numberOf(kind, task)}]`));
  const links: Record<string, Inode> = { pid_for_children: link('pid'), time_for_children: link('time') };
  for (const kind of Object.keys(FIRST) as Kind[]) links[kind] = link(kind);
  return new StaticDirectory(fs, links, 0o511);
}
