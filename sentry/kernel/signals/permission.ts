/**
 * Who may send a signal to whom: kill(2), credentials(7).
 */
import { EPERM } from '#sentry/abi/errno.ts';
import { SIGCONT } from '#sentry/abi/signal.ts';
import { CAP_KILL, capable } from '../../vfs/credentials.ts';
import type { Task } from '../task.ts';

/** 0, or -EPERM. */
export function checkKillPermission(sender: Task, target: Task, signo: number): number {
  if (sender.group === target.group) return 0;
  const from = sender.credentials;
  const to = target.credentials;
  if (from.euid === to.suid || from.euid === to.uid || from.uid === to.suid || from.uid === to.uid) return 0;
  if (capable(from, CAP_KILL)) return 0;
  if (signo === SIGCONT && sender.group.processGroup.session === target.group.processGroup.session) return 0;
  return -EPERM;
}
