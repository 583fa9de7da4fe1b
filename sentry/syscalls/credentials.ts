/**
 * User, group and supplementary ids: credentials(7), setuid(2), setreuid(2), setresuid(2), setfsuid(2), setgroups(2). Ids belong to a
 * task; the C library changes those of all threads.
 */
import { EFAULT, EINVAL, EPERM } from '#sentry/abi/errno.ts';
import { afterFileSystemIdChange, afterUserIdChange, isSubset } from '../kernel/capabilities.ts';
import type { Task } from '../kernel/task.ts';
import { CAP_SETGID, CAP_SETUID, capable } from '../vfs/credentials.ts';
import type { Credentials } from '../vfs/credentials.ts';
import { kept } from './kept-answer.ts';
import { addr, family, full, i32, input, many, out, syscall, u32 } from './row.ts';

/** (uid_t)-1: "leave it", or not a valid id. */
const NO_ID = 0xffff_ffff;
const GROUPS_MAX = 65536;

/** Puts `changed` in force. A change of privileges makes the process unreadable for others and cancels its parent-death signal. */
export function commitCredentials(task: Task, changed: Credentials): 0 {
  const old = task.credentials;
  const idsChanged = old.euid !== changed.euid || old.egid !== changed.egid || old.fsuid !== changed.fsuid || old.fsgid !== changed.fsgid;
  if (idsChanged || !isSubset(changed.permitted, old.permitted)) {
    task.mm.dumpable = 0;
    task.parentDeathSignal = 0;
  }
  task.credentials = changed;
  return 0;
}

function commitUserIds(task: Task, ids: Pick<Credentials, 'uid' | 'euid' | 'suid' | 'fsuid'>): 0 {
  const old = task.credentials;
  return commitCredentials(task, afterUserIdChange(old, { ...old, ...ids }));
}

function setuid(task: Task, uid: number): number {
  if (uid === NO_ID) return -EINVAL;
  const old = task.credentials;
  if (capable(old, CAP_SETUID)) return commitUserIds(task, { uid, euid: uid, suid: uid, fsuid: uid });
  if (uid !== old.uid && uid !== old.suid) return -EPERM;
  return commitUserIds(task, { uid: old.uid, euid: uid, suid: old.suid, fsuid: uid });
}

function setreuid(task: Task, ruid: number, euid: number): number {
  const old = task.credentials;
  const privileged = capable(old, CAP_SETUID);
  if (ruid !== NO_ID && ruid !== old.uid && ruid !== old.euid && !privileged) return -EPERM;
  if (euid !== NO_ID && euid !== old.uid && euid !== old.euid && euid !== old.suid && !privileged) return -EPERM;
  const newEuid = euid === NO_ID ? old.euid : euid;
  const suid = ruid !== NO_ID || (euid !== NO_ID && euid !== old.uid) ? newEuid : old.suid;
  return commitUserIds(task, { uid: ruid === NO_ID ? old.uid : ruid, euid: newEuid, suid, fsuid: newEuid });
}

function setresuid(task: Task, ruid: number, euid: number, suid: number): number {
  const old = task.credentials;
  const allowed = (id: number): boolean => id === NO_ID || id === old.uid || id === old.euid || id === old.suid;
  if (!(allowed(ruid) && allowed(euid) && allowed(suid)) && !capable(old, CAP_SETUID)) return -EPERM;
  const newEuid = euid === NO_ID ? old.euid : euid;
  return commitUserIds(task, {
    uid: ruid === NO_ID ? old.uid : ruid,
    euid: newEuid,
    suid: suid === NO_ID ? old.suid : suid,
    fsuid: newEuid,
  });
}

/** Returns the old id, whether or not it changed. */
function setfsuid(task: Task, uid: number): number {
  const old = task.credentials;
  const allowed = uid === old.uid || uid === old.euid || uid === old.suid || uid === old.fsuid || capable(old, CAP_SETUID);
  if (uid !== NO_ID && uid !== old.fsuid && allowed) commitCredentials(task, afterFileSystemIdChange(old, { ...old, fsuid: uid }));
  return old.fsuid;
}

function setgid(task: Task, gid: number): number {
  if (gid === NO_ID) return -EINVAL;
  const old = task.credentials;
  if (capable(old, CAP_SETGID)) return commitCredentials(task, { ...old, gid, egid: gid, sgid: gid, fsgid: gid });
  if (gid !== old.gid && gid !== old.sgid) return -EPERM;
  return commitCredentials(task, { ...old, egid: gid, fsgid: gid });
}

function setregid(task: Task, rgid: number, egid: number): number {
  const old = task.credentials;
  const privileged = capable(old, CAP_SETGID);
  if (rgid !== NO_ID && rgid !== old.gid && rgid !== old.egid && !privileged) return -EPERM;
  if (egid !== NO_ID && egid !== old.gid && egid !== old.egid && egid !== old.sgid && !privileged) return -EPERM;
  const newEgid = egid === NO_ID ? old.egid : egid;
  const sgid = rgid !== NO_ID || (egid !== NO_ID && egid !== old.gid) ? newEgid : old.sgid;
  return commitCredentials(task, { ...old, gid: rgid === NO_ID ? old.gid : rgid, egid: newEgid, sgid, fsgid: newEgid });
}

function setresgid(task: Task, rgid: number, egid: number, sgid: number): number {
  const old = task.credentials;
  const allowed = (id: number): boolean => id === NO_ID || id === old.gid || id === old.egid || id === old.sgid;
  if (!(allowed(rgid) && allowed(egid) && allowed(sgid)) && !capable(old, CAP_SETGID)) return -EPERM;
  const newEgid = egid === NO_ID ? old.egid : egid;
  return commitCredentials(task, {
    ...old,
    gid: rgid === NO_ID ? old.gid : rgid,
    egid: newEgid,
    sgid: sgid === NO_ID ? old.sgid : sgid,
    fsgid: newEgid,
  });
}

function setfsgid(task: Task, gid: number): number {
  const old = task.credentials;
  const allowed = gid === old.gid || gid === old.egid || gid === old.sgid || gid === old.fsgid || capable(old, CAP_SETGID);
  if (gid !== NO_ID && gid !== old.fsgid && allowed) commitCredentials(task, { ...old, fsgid: gid });
  return old.fsgid;
}

function storeThree(task: Task, addresses: readonly [number, number, number], ids: readonly [number, number, number]): number {
  for (let i = 0; i < 3; i++) {
    if (task.memory.storeU32(addresses[i]!, ids[i]!) < 0) return -EFAULT;
  }
  return 0;
}

function getgroups(task: Task, count: number, list: number): number {
  const { groups } = task.credentials;
  if (count < 0) return -EINVAL;
  if (count === 0) return groups.length;
  if (groups.length > count) return -EINVAL;
  groups.forEach((gid, i) => task.scratch.view.setUint32(4 * i, gid, true));
  return task.memory.copyOut(list, task.scratch, 0, 4 * groups.length) < 0 ? -EFAULT : groups.length;
}

function setgroups(task: Task, count: number, list: number): number {
  const old = task.credentials;
  if (!capable(old, CAP_SETGID)) return -EPERM;
  if (count < 0 || count > GROUPS_MAX) return -EINVAL;
  if (task.memory.copyIn(list, task.scratch, 0, 4 * count) < 0) return -EFAULT;
  const groups = Array.from({ length: count }, (_, i) => task.scratch.view.getUint32(4 * i, true));
  if (groups.includes(NO_ID)) return -EINVAL;
  groups.sort((a, b) => a - b);
  return commitCredentials(task, { ...old, groups });
}

export const credentialRows = family(
  syscall({ name: 'getuid', nr: { x64: 102, arm64: 174 }, args: {}, support: full, run: (task) => kept(task, task.credentials.uid) }),
  syscall({ name: 'geteuid', nr: { x64: 107, arm64: 175 }, args: {}, support: full, run: (task) => kept(task, task.credentials.euid) }),
  syscall({ name: 'getgid', nr: { x64: 104, arm64: 176 }, args: {}, support: full, run: (task) => kept(task, task.credentials.gid) }),
  syscall({ name: 'getegid', nr: { x64: 108, arm64: 177 }, args: {}, support: full, run: (task) => kept(task, task.credentials.egid) }),
  syscall({ name: 'setuid', nr: { x64: 105, arm64: 146 }, args: { uid: u32 }, support: full, run: setuid }),
  syscall({ name: 'setgid', nr: { x64: 106, arm64: 144 }, args: { gid: u32 }, support: full, run: setgid }),
  syscall({ name: 'setreuid', nr: { x64: 113, arm64: 145 }, args: { ruid: u32, euid: u32 }, support: full, run: setreuid }),
  syscall({ name: 'setregid', nr: { x64: 114, arm64: 143 }, args: { rgid: u32, egid: u32 }, support: full, run: setregid }),
  syscall({ name: 'setresuid', nr: { x64: 117, arm64: 147 }, args: { ruid: u32, euid: u32, suid: u32 }, support: full, run: setresuid }),
  syscall({ name: 'setresgid', nr: { x64: 119, arm64: 149 }, args: { rgid: u32, egid: u32, sgid: u32 }, support: full, run: setresgid }),
  syscall({
    name: 'getresuid',
    nr: { x64: 118, arm64: 148 },
    args: { ruid: out(4), euid: out(4), suid: out(4) },
    support: full,
    run: (task, ruid, euid, suid) =>
      storeThree(task, [ruid, euid, suid], [task.credentials.uid, task.credentials.euid, task.credentials.suid]),
  }),
  syscall({
    name: 'getresgid',
    nr: { x64: 120, arm64: 150 },
    args: { rgid: out(4), egid: out(4), sgid: out(4) },
    support: full,
    run: (task, rgid, egid, sgid) =>
      storeThree(task, [rgid, egid, sgid], [task.credentials.gid, task.credentials.egid, task.credentials.sgid]),
  }),
  syscall({ name: 'setfsuid', nr: { x64: 122, arm64: 151 }, args: { uid: u32 }, support: full, run: setfsuid }),
  syscall({ name: 'setfsgid', nr: { x64: 123, arm64: 152 }, args: { gid: u32 }, support: full, run: setfsgid }),
  syscall({ name: 'getgroups', nr: { x64: 115, arm64: 158 }, args: { count: i32, list: addr }, support: full, run: getgroups }),
  syscall({
    name: 'setgroups',
    nr: { x64: 116, arm64: 159 },
    args: { count: i32, list: many(input(4), 'count', 4) },
    support: full,
    run: setgroups,
  }),
);
