/**
 * Signals that a process of the host is sent on behalf of one inside: from the terminal (Ctrl-C, window size) they go to the foreground process
 * group, the others to the process itself.
 */
import { readFileSync } from 'node:fs';
import { SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGWINCH } from '#sentry/abi/signal.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { ProcessGroup } from '#sentry/kernel/process-group.ts';
import { sendToGroup, sendToProcessGroup } from '#sentry/kernel/signals/send.ts';
import type { ThreadGroup } from '#sentry/kernel/thread-group.ts';

const FROM_TERMINAL = new Set<number>([SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGHUP, SIGCONT]);

/** To the sandbox as a whole: its first process stands for it. */
export function forwardHostSignal(kernel: Kernel, signo: number): void {
  const init = kernel.first?.init ?? null;
  if (init !== null) forwardSignal(init, signo);
}

/** To the host's process that stands for `process`. */
export function forwardSignal(process: ThreadGroup, signo: number): void {
  const info = SignalInfo.kernel(signo);
  info.fromOutside = true;
  const foreground = FROM_TERMINAL.has(signo) ? foregroundGroup(process.processGroup) : null;
  if (foreground === null) sendToGroup(process, info);
  else sendToProcessGroup(foreground, info);
}
/** The foreground group of the process's terminal; without a terminal, init's own group, as a shell's Ctrl-C would reach it. */
function foregroundGroup(own: ProcessGroup): ProcessGroup {
  return own.session.terminal?.foreground ?? own;
}

/**
 * What to do when init has stopped: tsvisor stops too, for the shell that waits for it, whose SIGCONT comes through `forwardHostSignal` again.
 * undefined where nobody would ever continue it, because the parent is of another session or leads no job of ours: Ctrl-Z has no effect then,
 * as it has none on Linux. To be called while /proc can still be read.
 */
export function stopWithInit(): (() => void) | undefined {
  const own = jobOf('self');
  const parent = jobOf(String(process.ppid));
  if (own === null || parent === null || own.session !== parent.session || own.group === parent.group) return undefined;
  return () => {
    process.kill(process.pid, 'SIGSTOP');
  };
}

/** Process group and session of a host process; null when it is not to be seen. */
function jobOf(pid: string): { readonly group: number; readonly session: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [group, session] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(2, 4);
    return { group: Number(group), session: Number(session) };
  } catch {
    return null;
  }
}
