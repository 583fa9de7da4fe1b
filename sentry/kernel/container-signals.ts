/**
 * Signals to a container from outside: what `runc kill` does.
 *
 *     killContainer(container, SIGTERM, 'init');      // what init makes of it: without a handler, nothing
 *     killContainer(container, SIGKILL, 'init');      // the end of all of it
 *
 * They come from the parent's namespace, so to speak: an init without a handler obeys SIGKILL and SIGSTOP and nothing else
 * (pid_namespaces(7)). SIGKILL acts at once, without waiting for anybody to take it: also on a container that is paused or was never started.
 */
import { ESRCH } from '#sentry/abi/errno.ts';
import { SI_USER, SIGKILL } from '#sentry/abi/signal.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { Container } from './container.ts';
import { exitGroup } from './exit.ts';
import { sendToGroup } from './signals/send.ts';
import type { ThreadGroup } from './thread-group.ts';

/** To the container's first process, or to each of its processes, those started later from outside included. */
export type KillScope = 'init' | 'all';

/**
 * Sends `signo` (1 to 64, or 0 to ask only whether there is somebody) to the processes of `scope`. 0, or -ESRCH when the container has no
 * process (any more).
 */
export function killContainer(container: Container, signo: number, scope: KillScope): number {
  const { init } = container;
  if (init === null || init.isZombie) return -ESRCH;
  if (signo === 0) return 0;
  if (scope === 'init') {
    killFromOutside(init, signo);
    return 0;
  }
  for (const group of container.living) killFromOutside(group, signo);
  return 0;
}

/** Sends `signo` to one process as the superuser outside would. */
export function killFromOutside(group: ThreadGroup, signo: number): void {
  if (signo === SIGKILL) {
    exitGroup(group, SIGKILL);
    return;
  }
  const info = SignalInfo.user(signo, SI_USER, 0, 0);
  info.fromOutside = true;
  sendToGroup(group, info);
}
