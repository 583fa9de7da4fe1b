/**
 * Writes a line for each call (--strace). A call that waits while others print is cut in two, as strace(1) does it:
 *
 *     [pid     2] read(3,  <unfinished ...>
 *     [pid     3] write(4, "x", 1)                = 1
 *     [pid     2] <... read resumed>"x", 1)       = 1
 *
 * The dispatcher tells of each run of a handler, so a call that waited is entered several times; it is one call until it has a result. The
 * result of a call that a signal ended comes with the signal.
 */
import { ERESTARTSYS } from '#sentry/abi/errno.ts';
import { SIGINFO_SIZE } from '#sentry/abi/siginfo.ts';
import type { SignalInfo } from '#sentry/abi/siginfo.ts';
import { DefaultAction, defaultAction, SIG_DFL, signalName } from '#sentry/abi/signal.ts';
import type { Task } from '../../kernel/task.ts';
import { BLOCKED } from '../../kernel/wait.ts';
import type { CallTracer } from '../dispatch.ts';
import type { Row } from '../row.ts';
import { quote } from './text.ts';
import { CallText, withResult } from './format-call.ts';
import { siginfoText } from './signal-structs.ts';

interface Pending {
  readonly call: CallText;
  /** The first half is on the output already. */
  unfinished: boolean;
}

export class StraceWriter implements CallTracer {
  private readonly write: (line: string) => void;
  private readonly pending = new Map<Task, Pending>();
  /** The task whose call the output would go on with, if it finished now. */
  private current: Task | null = null;
  private readonly siginfo = new DataView(new ArrayBuffer(SIGINFO_SIZE));

  /** `write` gets a line without its end, one character per byte. */
  constructor(write: (line: string) => void) {
    this.write = write;
  }

  /** The line of the execve that started the first program, which no guest made. */
  began(path: string, args: readonly string[], environmentCount: number): void {
    const list = args.map(quote).join(', ');
    this.write(`execve(${quote(path)}, [${list}], 0x0 /* ${environmentCount} vars */) = 0`);
  }

  enter(task: Task, row: Row | undefined): void {
    if (!task.wait.first) return;
    if (this.pending.has(task)) this.finish(task, -ERESTARTSYS);
    if (this.pending.size > task.kernel.taskCount) this.forgetDead();
    this.pending.set(task, { call: new CallText(task, row, task.thread.call), unfinished: false });
  }

  leave(task: Task, _row: Row | undefined, result: number): void {
    if (result === BLOCKED) {
      this.current = task;
      return;
    }
    this.finish(task, result);
  }

  /** `--- SIGCHLD {si_signo=SIGCHLD, …} ---`, after the call it ended. */
  readonly signal = (task: Task, info: SignalInfo, result: number | null): void => {
    if (result !== null) this.finish(task, result);
    this.interruptOthers(task);
    info.encode(this.siginfo, 0);
    this.write(`${this.prefix(task)}--- ${signalName(info.signo)} ${siginfoText(this.siginfo)} ---`);
    if (isDeadly(task, info.signo)) this.write(`${this.prefix(task)}+++ killed by ${signalName(info.signo)} +++`);
  };

  private finish(task: Task, result: number): void {
    const pending = this.pending.get(task);
    if (pending === undefined) return;
    this.pending.delete(task);
    this.interruptOthers(task);
    const { call, unfinished } = pending;
    const rest = call.after(result);
    const line = unfinished ? `<... ${call.name} resumed>${rest.replace(/^, /, '')}` : call.before + rest;
    this.write(this.prefix(task) + withResult(line, task.hasExited ? '?' : call.result(result)));
    if (task.hasExited) this.write(`${this.prefix(task)}+++ exited with ${(task.group.exitStatus >> 8) & 0xff} +++`);
  }

  /** Another task's line comes between: what waits there is shown as far as it is known. */
  private interruptOthers(task: Task): void {
    const { current } = this;
    this.current = null;
    if (current === null || current === task) return;
    const waiting = this.pending.get(current);
    if (waiting === undefined || waiting.unfinished) return;
    waiting.unfinished = true;
    this.write(`${this.prefix(current)}${waiting.call.before}${waiting.call.separator} <unfinished ...>`);
  }

  /** Tasks killed in the middle of a call never come back to it. */
  private forgetDead(): void {
    for (const task of this.pending.keys()) if (task.hasExited) this.pending.delete(task);
  }

  /** Only where there is more than one task to tell apart. */
  private prefix(task: Task): string {
    return task.kernel.taskCount > 1 ? `[pid ${`${task.tid}`.padStart(5)}] ` : '';
  }
}

function isDeadly(task: Task, signo: number): boolean {
  if (task.group.handlers.handler[signo] !== SIG_DFL) return false;
  const action = defaultAction(signo);
  return action !== DefaultAction.Ignore && action !== DefaultAction.Continue && action !== DefaultAction.Stop;
}
