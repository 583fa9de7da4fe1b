/**
 * Signals that the host sends to tsvisor go to the guest: from the terminal (Ctrl-C, window size) to the foreground process group, the
 * others to init.
 */
import { SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGWINCH } from '#sentry/abi/signal.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { ProcessGroup } from '#sentry/kernel/process-group.ts';
import { sendToGroup, sendToProcessGroup } from '#sentry/kernel/signals/send.ts';

const FROM_TERMINAL = new Set<number>([SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGHUP, SIGCONT]);

export function forwardHostSignal(kernel: Kernel, signo: number): void {
  const { init } = kernel;
  if (init === null) return;
  const info = SignalInfo.kernel(signo);
  info.fromHost = true;
  const foreground = FROM_TERMINAL.has(signo) ? foregroundGroup(init.processGroup) : null;
  if (foreground === null) sendToGroup(init, info);
  else sendToProcessGroup(foreground, info);
}

/** The foreground group of init's terminal; without a terminal, init's own group, as a shell's Ctrl-C would reach it. */
function foregroundGroup(own: ProcessGroup): ProcessGroup {
  return own.session.terminal?.foreground ?? own;
}
