/**
 * Who may look into another process: ptrace(2), "Ptrace access mode checking", with the caller's real ids (PTRACE_MODE_REALCREDS). For calls
 * that reach into a process by number or descriptor: pidfd_getfd(2), kcmp(2).
 */
import { CAP_SYS_PTRACE, capable } from '../vfs/credentials.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

export function mayInspectProcess({ group, credentials }: Task, target: ThreadGroup): boolean {
  if (group === target) return true;
  const { uid, euid, suid, gid, egid, sgid } = target.leader.credentials;
  const same = [uid, euid, suid].every((id) => id === credentials.uid) && [gid, egid, sgid].every((id) => id === credentials.gid);
  return same || capable(credentials, CAP_SYS_PTRACE);
}
