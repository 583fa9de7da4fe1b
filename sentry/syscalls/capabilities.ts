/**
 * capget(2) and capset(2): the three capability sets of a thread, in one of two layouts (version 1 has one word a set, later ones two).
 */
import { EFAULT, EINVAL, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { CAPABILITY_VERSION_1, CAPABILITY_VERSION_2, CAPABILITY_VERSION_3 } from '#sentry/abi/prctl.ts';
import { intersection, isSubset, union, validSet } from '../kernel/capabilities.ts';
import type { Task } from '../kernel/task.ts';
import { CAP_SETPCAP, capable } from '../vfs/credentials.ts';
import type { CapabilitySet } from '../vfs/credentials.ts';
import { commitCredentials } from './credentials.ts';
import { family, full, inout, input, out, syscall } from './row.ts';

const HEADER_SIZE = 8;
/** Bytes of one `struct __user_cap_data_struct`: effective, permitted, inheritable. */
const DATA_SIZE = 12;

/** Number of data structs for the header's version. For an unknown one the version we speak is stored: -EINVAL. */
function wordsOf(task: Task, header: number): number {
  if (task.memory.copyIn(header, task.scratch, 0, HEADER_SIZE) < 0) return -EFAULT;
  switch (task.scratch.view.getUint32(0, true)) {
    case CAPABILITY_VERSION_1:
      return 1;
    case CAPABILITY_VERSION_2:
    case CAPABILITY_VERSION_3:
      return 2;
    default:
      return task.memory.storeU32(header, CAPABILITY_VERSION_3) < 0 ? -EFAULT : -EINVAL;
  }
}

function capget(task: Task, header: number, data: number): number {
  const words = wordsOf(task, header);
  // Without data it is a question for the version.
  if (data === 0) return words === -EFAULT ? -EFAULT : 0;
  if (words < 0) return words;
  const { view } = task.scratch;
  const pid = view.getInt32(4, true);
  if (pid < 0) return -EINVAL;
  const target = pid === 0 ? task : task.pids.tasks.get(pid);
  if (target === undefined) return -ESRCH;
  const { effective, permitted, inheritable } = target.credentials;
  [effective, permitted, inheritable].forEach((set, i) => {
    view.setUint32(4 * i, set.low, true);
    view.setUint32(DATA_SIZE + 4 * i, set.high, true);
  });
  return task.memory.copyOut(data, task.scratch, 0, words * DATA_SIZE);
}

function capset(task: Task, header: number, data: number): number {
  const words = wordsOf(task, header);
  if (words < 0) return words;
  const { view, bytes } = task.scratch;
  const pid = view.getInt32(4, true);
  if (pid !== 0 && pid !== task.tid) return -EPERM;
  bytes.fill(0, 0, 2 * DATA_SIZE);
  if (task.memory.copyIn(data, task.scratch, 0, words * DATA_SIZE) < 0) return -EFAULT;
  const set = (index: number): CapabilitySet => validSet(view.getUint32(4 * index, true), view.getUint32(DATA_SIZE + 4 * index, true));
  return change(task, set(0), set(1), set(2));
}

/** capabilities(7), "Programmatically adjusting capability sets". */
function change(task: Task, effective: CapabilitySet, permitted: CapabilitySet, inheritable: CapabilitySet): number {
  const old = task.credentials;
  if (!capable(old, CAP_SETPCAP) && !isSubset(inheritable, union(old.inheritable, old.permitted))) return -EPERM;
  if (!isSubset(inheritable, union(old.inheritable, old.bounding))) return -EPERM;
  if (!isSubset(permitted, old.permitted) || !isSubset(effective, permitted)) return -EPERM;
  const ambient = intersection(old.ambient, intersection(permitted, inheritable));
  return commitCredentials(task, { ...old, effective, permitted, inheritable, ambient });
}

export const capabilityRows = family(
  syscall({
    name: 'capget',
    nr: { x64: 125, arm64: 90 },
    args: { header: inout(HEADER_SIZE), data: out(DATA_SIZE) },
    support: full,
    run: capget,
  }),
  syscall({
    name: 'capset',
    nr: { x64: 126, arm64: 91 },
    args: { header: inout(HEADER_SIZE), data: input(DATA_SIZE) },
    support: full,
    run: capset,
  }),
);
