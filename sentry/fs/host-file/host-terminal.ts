/**
 * The terminal tsvisor was started from, passed through. Bytes, attributes and window size are the host terminal's own. Job control (which
 * process group is in the foreground, whose controlling terminal it is) is the sandbox's: guests' process ids mean nothing outside, so those
 * requests are served by the kernel through `TerminalJobs`.
 *
 * The host turns Ctrl-C into a signal for the sandbox as a whole; the kernel gives it to the foreground group.
 * Spec: ioctl_tty(2), termios(3), tcsetpgrp(3).
 */
import { EFAULT, EINVAL, EPERM } from '#sentry/abi/errno.ts';
import {
  LFLAG_OFFSET,
  TCFLSH,
  TCGETS,
  TCGETS2,
  TCSBRK,
  TCSETS,
  TCSETS2,
  TCSETSF,
  TCSETSF2,
  TCSETSW,
  TCSETSW2,
  TERMIOS2_SIZE,
  TERMIOS_SIZE,
  TIOCEXCL,
  TIOCGWINSZ,
  TIOCNXCL,
  TIOCOUTQ,
  TIOCSTI,
  TIOCSWINSZ,
  TOSTOP,
  WINSIZE_SIZE,
} from '#sentry/abi/termios.ts';
import type { HostFd } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { TerminalJobs } from '../tty/job-control.ts';
import type { HostHandle } from './host-inode.ts';
import { HostStream } from './host-stream.ts';
import type { HostContext } from './host-stream.ts';

/** Requests that hand a struct to the guest, with its size. */
const GETTERS: ReadonlyMap<number, number> = new Map([
  [TCGETS, TERMIOS_SIZE],
  [TCGETS2, TERMIOS2_SIZE],
  [TIOCGWINSZ, WINSIZE_SIZE],
  [TIOCOUTQ, 4],
]);
/** Requests that take one from it. */
const SETTERS: ReadonlyMap<number, number> = new Map([
  [TCSETS, TERMIOS_SIZE],
  [TCSETSW, TERMIOS_SIZE],
  [TCSETSF, TERMIOS_SIZE],
  [TCSETS2, TERMIOS2_SIZE],
  [TCSETSW2, TERMIOS2_SIZE],
  [TCSETSF2, TERMIOS2_SIZE],
  [TIOCSWINSZ, WINSIZE_SIZE],
]);

export class HostTerminal extends HostStream {
  private readonly jobs: TerminalJobs;

  constructor(context: HostContext, handle: HostHandle, dentry: Dentry, flags: number, jobs: TerminalJobs) {
    super(context, handle, dentry, flags);
    this.jobs = jobs;
  }

  override read(io: Io, position: number, caller: Caller): number {
    return this.jobs.mayRead(caller) || super.read(io, position, caller);
  }

  override write(io: Io, position: number, caller: Caller): number {
    if (this.jobs.isBackground(caller) && this.stopsBackgroundOutput()) {
      const error = this.jobs.mayChange(caller);
      if (error < 0) return error;
    }
    return super.write(io, position, caller);
  }

  private stopsBackgroundOutput(): boolean {
    const { host, staging } = this.context;
    return host.ioctl(this.handle.fd, TCGETS, staging, 0) >= 0 && (staging.view.getUint32(LFLAG_OFFSET, true) & TOSTOP) !== 0;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    const jobResult = this.jobs.ioctl(request, argument, caller);
    if (jobResult !== null) return jobResult;
    const getSize = GETTERS.get(request);
    if (getSize !== undefined) return this.getStruct(request, argument, getSize, caller);
    const setSize = SETTERS.get(request);
    if (setSize !== undefined) return this.setStruct(request, argument, setSize, caller);
    switch (request) {
      case TCFLSH:
        return this.jobs.mayChange(caller) || this.discard(argument);
      case TCSBRK:
        // Draining is what TCSETSW does before it sets anything; a break has no meaning on a line that is not serial.
        return this.jobs.mayChange(caller) || (argument === 0 ? 0 : this.reapply(TCSETSW));
      case TIOCEXCL:
      case TIOCNXCL:
      case TIOCSTI:
        return -EPERM; // would reach beyond the sandbox
      default:
        return super.ioctl(request, argument, caller);
    }
  }

  private getStruct(request: number, address: number, size: number, caller: Caller): number {
    const { host, staging } = this.context;
    const result = host.ioctl(this.handle.fd, request, staging, 0);
    return result < 0 ? result : guestOf(caller).memory.copyOut(address, staging, 0, size);
  }

  private setStruct(request: number, address: number, size: number, caller: Caller): number {
    const { host, staging } = this.context;
    const error = request === TIOCSWINSZ ? 0 : this.jobs.mayChange(caller);
    if (error < 0) return error;
    if (guestOf(caller).memory.copyIn(address, staging, 0, size) < 0) return -EFAULT;
    return host.ioctl(this.handle.fd, request, staging, 0);
  }

  /** TCFLSH: the host call takes its argument by value, which the contract has no way for; setting what is set anyway flushes the input. */
  private discard(which: number): number {
    if (which < 0 || which > 2) return -EINVAL;
    return which === 1 ? 0 : this.reapply(TCSETSF); // output is with the host terminal already: nothing is queued here
  }

  private reapply(request: number): number {
    const { host, staging } = this.context;
    const result = host.ioctl(this.handle.fd, TCGETS, staging, 0);
    return result < 0 ? result : host.ioctl(this.handle.fd, request, staging, 0);
  }
}

/** Whether the host descriptor is a terminal, as isatty(3) finds out. */
export function isTerminal(context: HostContext, fd: HostFd): boolean {
  return context.host.ioctl(fd, TCGETS, context.staging, 0) >= 0;
}
