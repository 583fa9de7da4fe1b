/**
 * Signals in strace lines: sets, actions, siginfo, wait statuses.
 */
import { getU64 } from '#sentry/abi/layout.ts';
import {
  CLD_CONTINUED,
  CLD_DUMPED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  CLD_TRAPPED,
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SA_NODEFER,
  SA_ONSTACK,
  SA_RESETHAND,
  SA_RESTART,
  SA_RESTORER,
  SA_SIGINFO,
  SI_KERNEL,
  SI_QUEUE,
  SI_TIMER,
  SI_TKILL,
  SI_USER,
  SIGCHLD,
  SIGNAL_MAX,
  signalName,
} from '#sentry/abi/signal.ts';
import { enumText, flagText, pointer } from './text.ts';

const SA_NAMES = { SA_NOCLDSTOP, SA_NOCLDWAIT, SA_SIGINFO, SA_RESTORER, SA_ONSTACK, SA_RESTART, SA_NODEFER, SA_RESETHAND };
const CODES = { SI_USER, SI_KERNEL, SI_QUEUE, SI_TIMER, SI_TKILL };
const CHILD_CODES = { CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_TRAPPED, CLD_STOPPED, CLD_CONTINUED };

/** `[INT CHLD]`, or `~[RTMIN]` when most are in it. */
export function sigsetText(low: number, high: number): string {
  const has = (signo: number): boolean => ((signo <= 32 ? low >>> (signo - 1) : high >>> (signo - 33)) & 1) !== 0;
  const inside: string[] = [];
  const outside: string[] = [];
  for (let signo = 1; signo <= SIGNAL_MAX; signo++) (has(signo) ? inside : outside).push(signalName(signo).replace(/^SIG/, ''));
  return outside.length < inside.length ? `~[${outside.join(' ')}]` : `[${inside.join(' ')}]`;
}

export function sigactionText(view: DataView): string {
  const handler = getU64(view, 0);
  const flags = view.getUint32(8, true);
  const name = handler === 0 ? 'SIG_DFL' : handler === 1 ? 'SIG_IGN' : pointer(handler);
  const restorer = (flags & SA_RESTORER) === 0 ? '' : `, sa_restorer=${pointer(getU64(view, 16))}`;
  return `{sa_handler=${name}, sa_mask=${sigsetText(view.getUint32(24, true), view.getUint32(28, true))}, sa_flags=${flagText(flags, SA_NAMES)}${restorer}}`;
}

export function siginfoText(view: DataView): string {
  const signo = view.getInt32(0, true);
  const code = view.getInt32(8, true);
  if (signo === 0) return '{}';
  const start = `{si_signo=${signalName(signo)}, si_code=${enumText(code, signo === SIGCHLD && code > 0 ? CHILD_CODES : CODES)}`;
  if (code > 0 && code !== SI_KERNEL && signo !== SIGCHLD) return `${start}, si_addr=${pointer(getU64(view, 16))}}`;
  const sender = `, si_pid=${view.getInt32(16, true)}, si_uid=${view.getUint32(20, true)}`;
  return signo === SIGCHLD && code > 0 ? `${start}${sender}, si_status=${view.getInt32(24, true)}}` : `${start}${sender}}`;
}

/** A status as wait4(2) stores it, in terms of the macros that take it apart. */
export function waitStatusText(status: number): string {
  const signo = status & 0x7f;
  if (signo === 0) return `{WIFEXITED(s) && WEXITSTATUS(s) == ${(status >> 8) & 0xff}}`;
  if (status === 0xffff) return '{WIFCONTINUED(s)}';
  if (signo === 0x7f) return `{WIFSTOPPED(s) && WSTOPSIG(s) == ${signalName((status >> 8) & 0xff)}}`;
  const core = (status & 0x80) === 0 ? '' : ' && WCOREDUMP(s)';
  return `{WIFSIGNALED(s) && WTERMSIG(s) == ${signalName(signo)}${core}}`;
}
