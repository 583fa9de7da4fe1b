/**
 * Who may look into another process: ptrace(2), "Ptrace access mode checking" (__ptrace_may_access in kernel/ptrace.c). /proc asks with the
 * reader's file system ids; calls that name a process (pidfd_getfd, kcmp, process_vm_readv) ask with the caller's real ids.
 */
import { EACCES } from '#sentry/abi/errno.ts';
import { CAP_SYS_PTRACE, capable } from '../../vfs/credentials.ts';
import type { CapabilitySet, Credentials } from '../../vfs/credentials.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { GroupView, TaskView } from './process-view.ts';

/** SUID_DUMP_USER: what prctl(PR_SET_DUMPABLE, 1) sets and a change of ids takes away. */
const DUMPABLE = 1;

/** The reader as a task: it is one whenever a guest reads. */
export function readerOf(caller: Caller): TaskView {
  return caller.task as TaskView;
}

/** The check of /proc (PTRACE_MODE_READ_FSCREDS): 0 or -EACCES. */
export function mayInspect(caller: Caller, task: TaskView): number {
  const { credentials } = caller;
  const group = caller.task === null ? null : readerOf(caller).group;
  return allowed(group, credentials, credentials.fsuid, credentials.fsgid, credentials.effective, task) ? 0 : -EACCES;
}

/** The check of calls that name a process (PTRACE_MODE_ATTACH_REALCREDS). */
export function mayInspectProcess(caller: TaskView, target: GroupView): boolean {
  const { credentials } = caller;
  return allowed(caller.group, credentials, credentials.uid, credentials.gid, credentials.permitted, target.leader);
}

function allowed(
  group: GroupView | null,
  credentials: Credentials,
  uid: number,
  gid: number,
  capabilities: CapabilitySet,
  target: TaskView,
): boolean {
  if (group === target.group || capable(credentials, CAP_SYS_PTRACE)) return true;
  const of = target.credentials;
  const sameUser = of.uid === uid && of.euid === uid && of.suid === uid;
  const sameGroup = of.gid === gid && of.egid === gid && of.sgid === gid;
  return sameUser && sameGroup && target.mm.dumpable === DUMPABLE && isSubset(of.permitted, capabilities);
}

function isSubset(some: CapabilitySet, all: CapabilitySet): boolean {
  return (some.low & ~all.low) === 0 && (some.high & ~all.high) === 0;
}
