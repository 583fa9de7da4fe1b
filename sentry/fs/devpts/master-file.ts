/**
 * The master of a pseudo-terminal, as opening /dev/ptmx yields it: terminal emulators, sshd, tmux and script(1) hold one. What they write is
 * typed at the terminal, what programs show there they read (pty(7), ioctl_tty(2)).
 */
import { EAGAIN, EFAULT, EINVAL, EIO } from '#sentry/abi/errno.ts';
import { POLLHUP, POLLPRI, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { SIGINT, SIGQUIT, SIGTSTP } from '#sentry/abi/signal.ts';
import {
  TCFLSH,
  TCIFLUSH,
  TCIOFLUSH,
  TIOCGPKT,
  TIOCGPTLCK,
  TIOCGPTN,
  TIOCGPTPEER,
  TIOCINQ,
  TIOCPKT,
  TIOCSIG,
  TIOCSPTLCK,
} from '#sentry/abi/termios.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { PseudoTerminal } from '../tty/terminal.ts';
import { terminalIoctl } from '../tty/terminal-ioctl.ts';
import type { TerminalNode } from './node.ts';

const WRITE_MAX = 4096;

/** Opens the terminal at `master`'s mount and gives it a descriptor (TIOCGPTPEER); the kernel implements it. */
export type OpenPeer = (master: MasterFile, flags: number, caller: Caller) => number;

export class MasterFile extends FileDescription {
  readonly node: TerminalNode;
  private readonly terminal: PseudoTerminal;
  private readonly openPeer: OpenPeer;

  constructor(node: TerminalNode, terminal: PseudoTerminal, dentry: Dentry, flags: number, openPeer: OpenPeer) {
    super(dentry, null, flags);
    this.node = node;
    this.terminal = terminal;
    this.openPeer = openPeer;
    terminal.master = this;
  }

  override get writesWhole(): boolean {
    return true;
  }

  private get isAbandoned(): boolean {
    return this.terminal.wasOpened && this.terminal.files.size === 0;
  }

  override read(io: Io): number {
    const { terminal } = this;
    if (io.remaining === 0) return 0;
    if (terminal.packetMode && terminal.packetStatus !== 0) return this.readStatus(io);
    const { queue } = terminal.output;
    if (queue.length === 0) return this.isAbandoned ? -EIO : -EAGAIN;
    let status = 0;
    if (terminal.packetMode) {
      status = this.putByte(io, 0);
      if (status < 0) return status;
    }
    const taken = queue.take(io);
    if (taken > 0) terminal.outputTaken();
    return taken < 0 ? taken : taken + status;
  }

  private readStatus(io: Io): number {
    const moved = this.putByte(io, this.terminal.packetStatus);
    if (moved > 0) this.terminal.packetStatus = 0;
    return moved;
  }

  private putByte(io: Io, byte: number): number {
    const { cell } = this.terminal.shared;
    cell.bytes[0] = byte;
    return io.put(cell, 0, 1);
  }

  override write(io: Io): number {
    const { terminal } = this;
    const { cell } = terminal.shared;
    if (io.remaining === 0) return 0;
    if (!terminal.acceptsInput) return -EAGAIN;
    // Not more than surely fits: what was taken from the guest cannot be given back. An overlong line takes anything.
    const { room } = terminal.input;
    const taken = io.take(cell, 0, Math.min(io.remaining, WRITE_MAX, Math.max(1, room)));
    return taken > 0 ? terminal.receive(cell, 0, taken) : taken;
  }

  override poll(): number {
    const { terminal } = this;
    const told = terminal.packetMode && terminal.packetStatus !== 0;
    return (
      (terminal.output.queue.length > 0 || told ? READABLE : 0) |
      (told ? POLLPRI : 0) |
      (terminal.acceptsInput ? WRITABLE : 0) |
      (this.isAbandoned ? POLLHUP : 0)
    );
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    const { terminal, node } = this;
    const { memory } = guestOf(caller);
    switch (request) {
      case TIOCGPTN:
        return memory.storeU32(argument, node.index);
      case TIOCSPTLCK:
        return this.setByWord(argument, caller, (on) => {
          node.locked = on;
        });
      case TIOCGPTLCK:
        return memory.storeU32(argument, node.locked ? 1 : 0);
      case TIOCPKT:
        return this.setByWord(argument, caller, (on) => {
          if (on && !terminal.packetMode) terminal.packetStatus = 0;
          terminal.packetMode = on;
        });
      case TIOCGPKT:
        return memory.storeU32(argument, terminal.packetMode ? 1 : 0);
      case TIOCGPTPEER:
        return this.openPeer(this, argument, caller);
      case TIOCSIG:
        return this.signal(argument);
      case TIOCINQ:
        return memory.storeU32(argument, terminal.output.queue.length);
      case TCFLSH:
        if (argument === TCIFLUSH || argument === TCIOFLUSH) terminal.output.clear();
        return argument >= TCIFLUSH && argument <= TCIOFLUSH ? 0 : -EINVAL;
      default:
        return terminal.jobs.ioctl(request, argument, caller, 'master') ?? terminalIoctl(terminal, node.rdev, request, argument, caller);
    }
  }

  /** TIOCSIG: a remote terminal saw the key itself. */
  private signal(signo: number): number {
    if (signo !== SIGINT && signo !== SIGQUIT && signo !== SIGTSTP) return -EINVAL;
    this.terminal.signalForeground(signo);
    return 0;
  }

  private setByWord(address: number, caller: Caller, apply: (on: boolean) => void): number {
    const word = guestOf(caller).memory.loadU32(address);
    if (word < 0) return -EFAULT;
    apply(word !== 0);
    return 0;
  }

  protected override destroy(): void {
    this.node.fileSystem.remove(this.node);
    this.terminal.closeMaster();
  }
}
