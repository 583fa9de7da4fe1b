/**
 * ioctl(2) requests that both ends of a pseudo-terminal understand (ioctl_tty(2)): attributes, window size, flushing, flow, sizes of queues.
 * Those made through the master concern the terminal too, as on Linux.
 */
import { EFAULT, EINVAL, EIO, ENOTTY } from '#sentry/abi/errno.ts';
import {
  TCFLSH,
  TCGETS,
  TCGETS2,
  TCIFLUSH,
  TCIOFF,
  TCIOFLUSH,
  TCION,
  TCOFLUSH,
  TCOOFF,
  TCOON,
  TCSBRK,
  TCSBRKP,
  TCSETS,
  TCSETS2,
  TCSETSF,
  TCSETSF2,
  TCSETSW,
  TCSETSW2,
  TCXONC,
  TERMIOS2_SIZE,
  TERMIOS_SIZE,
  TIOCCBRK,
  TIOCEXCL,
  TIOCGDEV,
  TIOCGETD,
  TIOCGEXCL,
  TIOCGWINSZ,
  TIOCNXCL,
  TIOCOUTQ,
  TIOCSBRK,
  TIOCSETD,
  TIOCSTI,
  TIOCSWINSZ,
  WINSIZE_SIZE,
} from '#sentry/abi/termios.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { PseudoTerminal } from './terminal.ts';

/** The line discipline's number (N_TTY), the only one there is. */
const N_TTY = 0;

/** 0 or -errno; -ENOTTY for requests that are not served here. `device` is what TIOCGDEV tells. */
export function terminalIoctl(terminal: PseudoTerminal, device: number, request: number, argument: number, caller: Caller): number {
  const { memory } = guestOf(caller);
  switch (request) {
    case TCGETS:
      return getAttributes(terminal, argument, caller, TERMIOS_SIZE);
    case TCGETS2:
      return getAttributes(terminal, argument, caller, TERMIOS2_SIZE);
    case TCSETS:
    case TCSETSW: // output waits for nothing but the master, so there is nothing to drain
      return setAttributes(terminal, argument, caller, TERMIOS_SIZE, 'keep input');
    case TCSETSF:
      return setAttributes(terminal, argument, caller, TERMIOS_SIZE, 'discard input');
    case TCSETS2:
    case TCSETSW2:
      return setAttributes(terminal, argument, caller, TERMIOS2_SIZE, 'keep input');
    case TCSETSF2:
      return setAttributes(terminal, argument, caller, TERMIOS2_SIZE, 'discard input');
    case TIOCGWINSZ:
      return getWindowSize(terminal, argument, caller);
    case TIOCSWINSZ:
      return setWindowSize(terminal, argument, caller);
    case TCFLSH:
      return terminal.jobs.mayChange(caller) || flush(terminal, argument);
    case TCXONC:
      return terminal.jobs.mayChange(caller) || control(terminal, argument);
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
    case TIOCCBRK:
      return terminal.jobs.mayChange(caller); // a break has no meaning on a line that is not serial
    case TIOCOUTQ:
      return memory.storeU32(argument, 0);
    case TIOCEXCL:
      terminal.exclusive = true;
      return 0;
    case TIOCNXCL:
      terminal.exclusive = false;
      return 0;
    case TIOCGEXCL:
      return memory.storeU32(argument, terminal.exclusive ? 1 : 0);
    case TIOCGDEV:
      return memory.storeU32(argument, device);
    case TIOCGETD:
      return memory.storeU32(argument, N_TTY);
    case TIOCSETD:
      return setDiscipline(terminal, argument, caller);
    case TIOCSTI:
      return -EIO; // as with dev.tty.legacy_tiocsti = 0
    default:
      return -ENOTTY;
  }
}

function getAttributes(terminal: PseudoTerminal, address: number, caller: Caller, size: number): number {
  const { memory, scratch } = guestOf(caller);
  terminal.attributes.encode(scratch.view, 0);
  return memory.copyOut(address, scratch, 0, size);
}

function setAttributes(
  terminal: PseudoTerminal,
  address: number,
  caller: Caller,
  size: number,
  input: 'keep input' | 'discard input',
): number {
  const error = terminal.jobs.mayChange(caller);
  if (error < 0) return error;
  const { memory, scratch } = guestOf(caller);
  if (memory.copyIn(address, scratch, 0, size) < 0) return -EFAULT;
  if (input === 'discard input') terminal.flushInput();
  terminal.setAttributes(scratch, 0, size);
  return 0;
}

function getWindowSize(terminal: PseudoTerminal, address: number, caller: Caller): number {
  const { memory, scratch } = guestOf(caller);
  scratch.bytes.set(terminal.windowSize);
  return memory.copyOut(address, scratch, 0, WINSIZE_SIZE);
}

function setWindowSize(terminal: PseudoTerminal, address: number, caller: Caller): number {
  const { memory, scratch } = guestOf(caller);
  if (memory.copyIn(address, scratch, 0, WINSIZE_SIZE) < 0) return -EFAULT;
  terminal.setWindowSize(scratch, 0);
  return 0;
}

function flush(terminal: PseudoTerminal, which: number): number {
  switch (which) {
    case TCIFLUSH:
      terminal.flushInput();
      return 0;
    case TCOFLUSH:
      terminal.flushOutput();
      return 0;
    case TCIOFLUSH:
      terminal.flushInput();
      terminal.flushOutput();
      return 0;
    default:
      return -EINVAL;
  }
}

function control(terminal: PseudoTerminal, action: number): number {
  switch (action) {
    case TCOOFF:
    case TCOON:
      terminal.setStopped(action === TCOOFF);
      return 0;
    case TCIOFF:
    case TCION:
      return 0; // would send Ctrl-S or Ctrl-Q to the other side of a serial line
    default:
      return -EINVAL;
  }
}

function setDiscipline(terminal: PseudoTerminal, address: number, caller: Caller): number {
  const word = guestOf(caller).memory.loadU32(address);
  if (word < 0) return -EFAULT;
  return terminal.jobs.mayChange(caller) || (word === N_TTY ? 0 : -EINVAL);
}
