/**
 * A file open on the terminal itself: what shells and editors read and write (the "slave" end).
 *
 * VMIN and VTIME (termios(3)): a reader that may wait only so long sets the deadline of its call, which the kernel's waiting keeps for it.
 */
import { EAGAIN, EIO, ENOTTY } from '#sentry/abi/errno.ts';
import { O_NONBLOCK, POLLERR, POLLHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { TIOCINQ, TIOCSPGRP, TOSTOP } from '#sentry/abi/termios.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { PseudoTerminal } from '../tty/terminal.ts';
import { terminalIoctl } from '../tty/terminal-ioctl.ts';

/** Bytes written at once: what fits in the cell. */
const WRITE_MAX = 4096;

/** The waiting of the caller's system call (kernel/wait.ts). */
interface WaitingCaller {
  readonly wait: { readonly first: boolean; readonly timedOut: boolean; deadlineNs: number };
}

export class TerminalFile extends FileDescription {
  private readonly terminal: PseudoTerminal;

  constructor(terminal: PseudoTerminal, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.terminal = terminal;
    terminal.attach(this);
  }

  override get writesWhole(): boolean {
    return true;
  }

  /** The master has gone: nothing works any more. */
  private get isHungUp(): boolean {
    return this.terminal.master === null;
  }

  override read(io: Io, _position: number, caller: Caller): number {
    if (this.isHungUp) return 0;
    const { terminal } = this;
    const error = terminal.jobs.mayRead(caller);
    if (error < 0) return error;
    if (io.remaining === 0) return 0;
    const result = terminal.readsLines ? this.readLine(io) : this.readBytes(io, caller);
    if (result > 0) terminal.inputTaken();
    return result;
  }

  private readLine(io: Io): number {
    const { input } = this.terminal;
    return input.hasLine ? input.takeLine(io) : -EAGAIN;
  }

  private readBytes(io: Io, caller: Caller): number {
    const { attributes, input } = this.terminal;
    const { minimum, timeoutNs } = attributes;
    const available = input.length;
    if (available > 0 && available >= Math.min(minimum, io.remaining)) return input.takeBytes(io);
    const { wait } = caller.task as WaitingCaller;
    const waits = (this.flags & O_NONBLOCK) === 0;
    if (available > 0) {
      // Fewer than VMIN: they go when none has followed for VTIME.
      if (!waits || (timeoutNs > 0 && wait.timedOut)) return input.takeBytes(io);
      if (timeoutNs > 0) wait.deadlineNs = (wait.first ? this.nowNs : this.terminal.lastInputNs) + timeoutNs;
      return -EAGAIN;
    }
    if (minimum > 0) return -EAGAIN;
    if (timeoutNs === 0 || (waits && wait.timedOut)) return 0;
    if (waits && wait.first) wait.deadlineNs = this.nowNs + timeoutNs;
    return -EAGAIN;
  }

  override write(io: Io, _position: number, caller: Caller): number {
    const { terminal } = this;
    if ((terminal.attributes.lflag & TOSTOP) !== 0) {
      const error = terminal.jobs.mayChange(caller);
      if (error < 0) return error;
    }
    if (this.isHungUp) return -EIO;
    const { output, shared } = terminal;
    if (io.remaining === 0) return 0;
    const { room } = output;
    if (room === 0) return -EAGAIN;
    const taken = io.take(shared.cell, 0, Math.min(io.remaining, room, WRITE_MAX));
    if (taken > 0) terminal.write(shared.cell, 0, taken);
    return taken;
  }

  override poll(): number {
    const { terminal } = this;
    if (this.isHungUp) return READABLE | WRITABLE | POLLERR | POLLHUP;
    return (terminal.isReadable ? READABLE : 0) | (terminal.output.room > 0 ? WRITABLE : 0);
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    const { terminal } = this;
    if (this.isHungUp) return request === TIOCSPGRP ? -ENOTTY : -EIO;
    const jobResult = terminal.jobs.ioctl(request, argument, caller);
    if (jobResult !== null) return jobResult;
    if (request !== TIOCINQ) return terminalIoctl(terminal, this.inode.rdev, request, argument, caller);
    const { input } = terminal;
    return guestOf(caller).memory.storeU32(argument, terminal.readsLines ? input.completeBytes : input.length);
  }

  protected override destroy(): void {
    this.terminal.detach(this);
  }

  private get nowNs(): number {
    return this.terminal.shared.host.monotonicNs();
  }
}
