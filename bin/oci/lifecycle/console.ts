/**
 * The terminal of a process: a pseudo-terminal of the host whose master goes to whoever listens at `--console-socket`, and whose other end is what the
 * sandbox passes through.
 *
 * The protocol is runc's: one message with the terminal's name as data and the master as SCM_RIGHTS, over a stream socket.
 * Specification: pty(7), ioctl_tty(2).
 */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { errnoName } from '#sentry/abi/errno.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM } from '#sentry/abi/socket.ts';
import { WINSIZE_SIZE } from '#sentry/abi/termios.ts';
import type { HostFd } from '#platform/contract/host.ts';
import * as libc from '#platform/host/libc.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { sendMessage } from '#platform/host/messages.ts';
import * as sockets from '#platform/host/sockets.ts';
import { UserError } from '../../errors.ts';
import type { ConsoleSize } from '../config/types.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';
import { unixAddress } from '../control/address.ts';

const TIOCSPTLCK = 0x4004_5431;
const TIOCGPTPEER = 0x5441;
const TIOCGPTN = 0x8004_5430;
const TIOCSWINSZ = 0x5414;
const TIOCSCTTY = 0x540e;

/** A terminal needs somebody at its other end: whoever calls the verb, or `consoleSocket` for a process that is left to itself. Throws UserError. */
export function checkConsole(terminal: boolean, consoleSocket: string | null, detached: boolean): void {
  if (terminal && detached && consoleSocket === null)
    throw new UserError('cannot allocate tty if the process will be detached without setting a console socket', EXIT_OCI_FAILURE);
  if (consoleSocket !== null && !(terminal && detached))
    throw new UserError('cannot use a console socket without a terminal, or where the process is not detached', EXIT_OCI_FAILURE);
}

/** Makes a terminal and sends its master to `socketPath`. Returns the other end; the size is set if there is one. */
export function openConsole(socketPath: string, size: ConsoleSize | null): HostFd {
  const memory = allocateMemory(64);
  const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
  const request = (fd: HostFd, code: number, argument: number): number => {
    // SAFETY: the argument is a number, or the address of memory that is larger than any of the structures.
    const result = libc.checked(libc.ioctl(fd, code, argument));
    if (result < 0) throw new UserError(`no terminal can be made (${errnoName(-result)})`, EXIT_OCI_FAILURE);
    return result;
  };
  memory.view.setInt32(0, 0, true);
  request(master, TIOCSPTLCK, memory.address);
  const terminal: HostFd = request(master, TIOCGPTPEER, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  request(master, TIOCGPTN, memory.address);
  const name = `/dev/pts/${memory.view.getUint32(0, true)}`;
  if (size !== null) {
    memory.bytes.fill(0, 0, WINSIZE_SIZE);
    memory.view.setUint16(0, size.height, true);
    memory.view.setUint16(2, size.width, true);
    request(terminal, TIOCSWINSZ, memory.address);
  }
  sendMaster(socketPath, master, name);
  closeSync(master);
  return terminal;
}

/** Makes `terminal` the controlling one of this process, which leads a session: signals for the window's size come here. */
export function takeTerminal(terminal: HostFd): void {
  libc.ioctl(terminal, TIOCSCTTY, 0);
}

function sendMaster(socketPath: string, master: HostFd, name: string): void {
  const directory = openSync(dirname(socketPath), constants.O_RDONLY | constants.O_DIRECTORY);
  const socket: number = sockets.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // By way of the directory's descriptor: the path itself may be longer than an address can hold.
  const { memory: address, length } = unixAddress(`/proc/self/fd/${directory}/${basename(socketPath)}`);
  const connected = sockets.connect(socket, address.address, length);
  closeSync(directory);
  const memory = allocateMemory(64);
  const sent = connected < 0 ? connected : sendMessage(socket, memory, 0, memory.writeLatin1(name, 0), [master]);
  closeSync(socket);
  if (sent < 0) throw new UserError(`the console socket ${socketPath} cannot be used (${errnoName(-sent)})`, EXIT_OCI_FAILURE);
}
