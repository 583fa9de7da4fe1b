/**
 * Resource limits and usage: getrlimit(2), prlimit(2), getrusage(2).
 */
import { EFAULT, EINVAL, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import * as r from '#sentry/abi/resource.ts';
import { groupSystemTimeNs, groupUserTimeNs, taskCpuTimeNs } from '../kernel/cpu-time.ts';
import type { Task } from '../kernel/task.ts';
import { armCpuLimit } from '../kernel/timers/process-timers.ts';
import { CAP_SYS_RESOURCE, capable } from '../vfs/credentials.ts';
import { family, full, input, oneOf, out, partial, pid, syscall } from './row.ts';
import { encodeUsage } from './usage.ts';

const NR_OPEN = 1 << 20;
const INFINITY_WORD = 0xffff_ffff;

function getrusage(task: Task, who: number, address: number): number {
  const { group, scratch } = task;
  switch (who) {
    case r.RUSAGE_SELF:
      encodeUsage(scratch, groupUserTimeNs(group), groupSystemTimeNs(group), task.mm.areas.totalBytes);
      break;
    case r.RUSAGE_CHILDREN:
      encodeUsage(scratch, group.childrenUserTimeNs, group.childrenSystemTimeNs);
      break;
    case r.RUSAGE_THREAD:
      encodeUsage(scratch, taskCpuTimeNs(task), 0, task.mm.areas.totalBytes);
      break;
    default:
      return -EINVAL;
  }
  return task.memory.copyOut(address, scratch, 0, r.Rusage.size);
}

function readValue(view: DataView, offset: number): number {
  const low = view.getUint32(offset, true);
  const high = view.getUint32(offset + 4, true);
  return high === INFINITY_WORD && low === INFINITY_WORD ? r.RLIM_INFINITY : high * 0x1_0000_0000 + low;
}

function writeValue(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value === r.RLIM_INFINITY ? INFINITY_WORD : value % 0x1_0000_0000, true);
  view.setUint32(offset + 4, value === r.RLIM_INFINITY ? INFINITY_WORD : Math.floor(value / 0x1_0000_0000), true);
}

/** prlimit64(2); the older calls are special cases of it. */
function prlimit(task: Task, which: number, resource: number, newLimit: number, oldLimit: number): number {
  if (resource < 0 || resource >= r.RLIM_NLIMITS) return -EINVAL;
  const { scratch, memory } = task;
  const { view } = scratch;
  if (newLimit !== 0 && memory.copyIn(newLimit, scratch, 0, r.RLIMIT_SIZE) < 0) return -EFAULT;
  const target = which === 0 ? task : task.pids.tasks.get(which);
  if (target === undefined) return -ESRCH;
  if (!mayChange(task, target)) return -EPERM;
  const { limits } = target.group;
  const soft = limits.soft(resource);
  const hard = limits.hard(resource);
  if (newLimit !== 0) {
    const newSoft = readValue(view, 0);
    const newHard = readValue(view, 8);
    if (newSoft > newHard) return -EINVAL;
    if (resource === r.RLIMIT_NOFILE && newHard > NR_OPEN) return -EPERM;
    if (newHard > hard && !capable(task.credentials, CAP_SYS_RESOURCE)) return -EPERM;
    limits.set(resource, newSoft, newHard);
    if (resource === r.RLIMIT_CPU) armCpuLimit(target.group);
    if (resource === r.RLIMIT_NOFILE) for (const member of target.group.tasks) member.files.limit = newSoft;
  }
  if (oldLimit === 0) return 0;
  writeValue(view, 0, soft);
  writeValue(view, 8, hard);
  return memory.copyOut(oldLimit, scratch, 0, r.RLIMIT_SIZE);
}

function mayChange(task: Task, target: Task): boolean {
  if (target.group === task.group) return true;
  const own = task.credentials;
  const other = target.credentials;
  const sameUser = own.uid === other.euid && own.uid === other.suid && own.uid === other.uid;
  const sameGroup = own.gid === other.egid && own.gid === other.sgid && own.gid === other.gid;
  return (sameUser && sameGroup) || capable(own, CAP_SYS_RESOURCE);
}

const RESOURCE = oneOf(r.RLIMIT_NAMES);
const LIMITS_NOTE = partial('kept for all; in force: CPU, NOFILE, FSIZE, NPROC, STACK, AS, DATA, MEMLOCK, SIGPENDING, NICE, RTPRIO');

export const resourceRows = family(
  syscall({
    name: 'getrlimit',
    nr: { x64: 97, arm64: 163 },
    args: { resource: RESOURCE, limit: out(r.RLIMIT_SIZE, 'rlimit') },
    support: full,
    // A null pointer is not "do not tell" here.
    run: (task, resource, limit) =>
      limit === 0 && resource >= 0 && resource < r.RLIM_NLIMITS ? -EFAULT : prlimit(task, 0, resource, 0, limit),
  }),
  syscall({
    name: 'setrlimit',
    nr: { x64: 160, arm64: 164 },
    args: { resource: RESOURCE, limit: input(r.RLIMIT_SIZE, 'rlimit') },
    support: LIMITS_NOTE,
    run: (task, resource, limit) => (limit === 0 ? -EFAULT : prlimit(task, 0, resource, limit, 0)),
  }),
  syscall({
    name: 'prlimit64',
    nr: { x64: 302, arm64: 261 },
    args: { pid, resource: RESOURCE, new: input(r.RLIMIT_SIZE, 'rlimit'), old: out(r.RLIMIT_SIZE, 'rlimit') },
    support: LIMITS_NOTE,
    run: prlimit,
  }),
  syscall({
    name: 'getrusage',
    nr: { x64: 98, arm64: 165 },
    args: {
      who: oneOf({ RUSAGE_SELF: r.RUSAGE_SELF, RUSAGE_CHILDREN: r.RUSAGE_CHILDREN, RUSAGE_THREAD: r.RUSAGE_THREAD }),
      usage: out(r.Rusage.size, 'rusage'),
    },
    support: partial('system time counts as user time, threads have equal shares; maxrss is what is mapped; other counts are 0'),
    run: getrusage,
  }),
);
