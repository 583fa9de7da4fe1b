/** Who reads /proc, and what of another process it may see: ptrace access rules (ptrace(2), PTRACE_MODE_READ_FSCREDS). */
import { EACCES } from '#sentry/abi/errno.ts';
import { CAP_SYS_PTRACE, capable } from '../../vfs/credentials.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { TaskView } from './process-view.ts';

/** The reader as a task: it is one whenever a guest reads. */
export function readerOf(caller: Caller): TaskView {
  return caller.task as TaskView;
}

/** ptrace access check: 0 or -EACCES. */
export function mayInspect(caller: Caller, task: TaskView): number {
  const { credentials } = caller;
  if (caller.task !== null && readerOf(caller).group === task.group) return 0;
  const target = task.credentials;
  const same =
    [target.uid, target.euid, target.suid].every((uid) => uid === credentials.fsuid) &&
    [target.gid, target.egid, target.sgid].every((gid) => gid === credentials.fsgid);
  return same || capable(credentials, CAP_SYS_PTRACE) ? 0 : -EACCES;
}
