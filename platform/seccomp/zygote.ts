/**
 * The zygote: the first stub process, from which every clean address space is forked.
 *
 * It is cloned from the sentry instead of being executed from a file, because only a clone keeps the sentry's descriptor table, by
 * which a stub maps a donated descriptor and the sentry owns the filter's listener. The clone is emptied before anything else happens. The
 * sentry cannot reach into it, so all steps are a list of system calls prepared in a shared slot (launch-plan.ts), which ends with a trap.
 *
 * The trap makes the host write a signal frame, from which the frames' layout is learned and which every new program starts with.
 * Specification: clone(2), seccomp_unotify(2).
 */
import { errnoName, PlatformUnavailable } from '../host/errors.ts';
import type { LinuxHost } from '../host/host.ts';
import { Notifications, Ready } from '../host/notifications.ts';
import * as process from '../host/process.ts';
import { callCloningCode, mapCode } from '../host/routine.ts';
import { UNTRACED_ZYGOTE_FLAGS } from '../stub/clone-flags.ts';
import * as slot from '../stub/context-layout.ts';
import { DOORBELL } from '../stub/guest-code.ts';
import type { GuestCode } from '../stub/guest-code.ts';
import { CONTEXT_BASE, PAGE_SIZE, STUB_SIZE } from '../stub/layout.ts';
import type { Context, Contexts } from './context.ts';
import { clearFrame, learnFrame } from './frame.ts';
import type { FrameLayout } from './frame.ts';
import { NOT_MADE, Plan, prepareLaunch } from './launch-plan.ts';
import type { VdsoPlace } from '../stub/layout.ts';
import { State, StubThread } from './stub-thread.ts';

const EPERM = 1;
const SIGTRAP = 5;
const PATIENCE_NS = 10_000_000_000;
const LOOK_NS = 200_000;

export interface Launched {
  readonly pid: number;
  readonly context: Context;
  readonly listener: Notifications;
  readonly layout: FrameLayout;
  readonly vdso: VdsoPlace | null;
  readonly idLow: number;
  readonly idHigh: number;
}

/** The zygote as it waits for orders. It never runs a guest. */
export class Zygote extends StubThread {
  readonly pid: number;

  constructor(board: StubThread['board'], launched: Launched) {
    super(board, launched.context, CONTEXT_BASE);
    this.pid = launched.pid;
    this.tid = launched.pid;
    this.idLow = launched.idLow;
    this.idHigh = launched.idHigh;
    this.state = State.Rung;
    board.threads.set(this.tid, this);
  }

  called(): boolean {
    return this.board.condemn(this, 'is the zygote and makes a call');
  }
  protected stoppedInHandler(): boolean {
    return this.board.condemn(this, 'is the zygote and was stopped');
  }
  protected interrupted(): boolean {
    return false;
  }
  protected started(): boolean {
    return false;
  }
  protected restoreCall(): void {}
}

export interface LaunchRequest {
  readonly host: LinuxHost;
  readonly contexts: Contexts;
  readonly stub: GuestCode;
  /** See platform/bpf/guest-filter.ts. */
  readonly memoryLimited: boolean;
}

/** Starts the zygote. Throws PlatformUnavailable where the host does not have or allow what it needs. */
export function launchZygote(request: LaunchRequest): Launched {
  const code = mapCode(request.stub.bytes, 2);
  const first = attemptLaunch(request, code, true);
  if (typeof first !== 'number') return first;
  // A host that seals the vDSO: it stays where it is.
  const second = attemptLaunch(request, code, false);
  if (typeof second !== 'number') return second;
  throw new PlatformUnavailable(`this host refuses to set up a guest process (${errnoName(-second)})`, -second);
}

/** -errno when only the move of the vDSO was refused. */
function attemptLaunch({ host, contexts, stub, memoryLimited }: LaunchRequest, code: number, moveVdso: boolean): Launched | number {
  const context = contexts.take();
  if (typeof context === 'number')
    throw new PlatformUnavailable(`this host has no memory for guest processes (${errnoName(-context)})`, -context);
  const plan = new Plan(context);
  const vdso = prepareLaunch(plan, { context, contextsFd: contexts.fd, stub, code, memoryLimited, vdso: host.facts.vdso, moveVdso });
  context.setWord(slot.FORK_PARENT, process.ownPid());
  const pid = callCloningCode(code + stub.launch, UNTRACED_ZYGOTE_FLAGS, context.address, {
    spared: host.facts.heap,
    needed: [
      { address: code, length: 2 * STUB_SIZE },
      { address: context.address, length: slot.SLOT_SIZE },
    ],
  });
  context.commands = 0;
  const listenerFd = awaitListener(host, plan, pid);
  if (listenerFd < 0) return moveVdso ? listenerFd : refuse(plan);
  return firstRing(host, pid, context, new Notifications(listenerFd), vdso);
}

/** Waits for the filter's listener: its descriptor, or -errno when the process ended before. */
function awaitListener(host: LinuxHost, plan: Plan, pid: number): number {
  const last = plan.names.lastIndexOf('seccomp');
  const deadline = host.monotonicNs() + PATIENCE_NS;
  for (;;) {
    const result = plan.result(last);
    if (result >= 0) return result;
    if (process.wait(pid, process.WNOHANG | process.WALL) !== 0) break;
    if (host.monotonicNs() > deadline) {
      process.kill(pid, process.SIGKILL);
      process.wait(pid, process.WALL);
      break;
    }
    process.pause(LOOK_NS);
  }
  const failed = failure(plan);
  if (failed >= 0 && plan.names[failed] === 'move vdso') return plan.result(failed);
  return refuse(plan);
}

function failure(plan: Plan): number {
  return plan.names.findIndex((name, i) => name !== '' && name !== 'rseq' && plan.result(i) < 0 && plan.result(i) !== NOT_MADE);
}

function refuse(plan: Plan): never {
  const failed = failure(plan);
  const errno = failed < 0 ? EPERM : -plan.result(failed);
  throw new PlatformUnavailable(refusal(failed < 0 ? 'the first guest process' : plan.names[failed]!, errno), errno);
}

/** One sentence for a user whose host does not let us filter our own child. */
function refusal(step: string, errno: number): string {
  if (step !== 'seccomp') return `this host refuses to set up a guest process (${step}: ${errnoName(errno)})`;
  if (errno === 16) return 'this process already has a seccomp filter with a listener, and a host allows only one';
  if (errno === 22) return 'this host lacks seccomp notifications that only death interrupts (Linux 5.19)';
  return `this host forbids seccomp filters with a listener (${errnoName(errno)}; in a container, allow the seccomp system call in its profile)`;
}

/** The process has raised its trap: the frame tells the layout. */
function firstRing(host: LinuxHost, pid: number, context: Context, listener: Notifications, vdso: VdsoPlace | null): Launched {
  // A host before Linux 6.6 does not know it: answers then cost a little more.
  listener.setSyncWakeUp(true);
  const ready = listener.poll(host.events.exitReadFd, PATIENCE_NS);
  const { arguments: args } = listener;
  const rang = (ready & Ready.Call) !== 0 && listener.receive() === 0 && listener.nr === DOORBELL && args[0] === SIGTRAP;
  const layout = rang ? learnFrame(context, CONTEXT_BASE, args[2]! + args[3]! * 0x1_0000_0000) : null;
  if (layout === null) {
    process.kill(pid, process.SIGKILL);
    process.wait(pid, process.WALL);
    throw new PlatformUnavailable('the first guest process did not answer; see the host kernel log', EPERM);
  }
  context.bytes.fill(0, slot.STACK, layout.frame);
  context.bytes.fill(0, slot.COMMANDS, slot.COMMANDS + PAGE_SIZE);
  clearFrame(context, layout);
  context.setWord(slot.FS_BASE, 0);
  context.setWord(slot.GS_BASE, CONTEXT_BASE);
  return { pid, context, listener, layout, vdso, idLow: listener.idLow, idHigh: listener.idHigh };
}
