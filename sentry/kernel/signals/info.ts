/**
 * Signal information that needs knowledge of processes: SIGCHLD's, and the kernel's own.
 */
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import { CLD_DUMPED, CLD_EXITED, CLD_KILLED, SIGCHLD } from '#sentry/abi/signal.ts';
import { groupSystemTimeNs, groupUserTimeNs, nsToTicks } from '../cpu-time.ts';
import type { ThreadGroup } from '../thread-group.ts';

/** From the kernel itself, with nothing else to say. */
export function kernelInfo(signo: number): SignalInfo {
  return SignalInfo.kernel(signo);
}

/** Of SIGCHLD for a stopped or continued `group`; `code` CLD_*, `status` the signal. */
export function childInfo(group: ThreadGroup, code: number, status: number): SignalInfo {
  return familyInfo(SIGCHLD, group, code, status);
}

/** Of the signal (clone's exit signal, usually SIGCHLD) that tells of `group`'s end. */
export function childStatusInfo(signo: number, group: ThreadGroup): SignalInfo {
  const signal = group.exitStatus & 0x7f;
  if (signal === 0) return familyInfo(signo, group, CLD_EXITED, (group.exitStatus >> 8) & 0xff);
  return familyInfo(signo, group, (group.exitStatus & 0x80) === 0 ? CLD_KILLED : CLD_DUMPED, signal);
}

function familyInfo(signo: number, group: ThreadGroup, code: number, status: number): SignalInfo {
  const { uid } = group.leader.credentials;
  const userTicks = nsToTicks(groupUserTimeNs(group));
  const info = SignalInfo.child(code, group.pid, uid, status, userTicks, nsToTicks(groupSystemTimeNs(group)));
  info.words[0] = signo;
  return info;
}
