/**
 * The end of a session leader: its session loses the terminal, and the foreground processes hear of it (Linux disassociate_ctty). A terminal
 * that hung up before told the leader only; the foreground group is told now, when the leader has followed.
 */
import { SIGCONT, SIGHUP } from '#sentry/abi/signal.ts';
import { kernelInfo } from '../signals/info.ts';
import { sendToProcessGroup } from '../signals/send.ts';
import type { ThreadGroup } from '../thread-group.ts';

export function endSession(group: ThreadGroup): void {
  const { session } = group.processGroup;
  if (session.sid !== group.pid) return;
  const { terminal } = session;
  if (terminal === null) {
    const { lastForeground } = session;
    session.lastForeground = null;
    if (lastForeground === null) return;
    sendToProcessGroup(lastForeground, kernelInfo(SIGHUP));
    sendToProcessGroup(lastForeground, kernelInfo(SIGCONT));
    return;
  }
  const { foreground } = terminal;
  session.terminal = null;
  terminal.session = null;
  terminal.foreground = null;
  if (foreground !== null) sendToProcessGroup(foreground, kernelInfo(SIGHUP));
}
