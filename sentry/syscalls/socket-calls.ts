/**
 * What the socket calls share: finding the socket, addresses in and out, waiting, and sending or receiving one message through `task.io`.
 */
import { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, ENOTSOCK, EPIPE } from '#sentry/abi/errno.ts';
import { O_NONBLOCK } from '#sentry/abi/fs.ts';
import { MSG_DONTWAIT, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_PEEK, MSG_WAITALL, SOCK_STREAM, SOCKADDR_MAX } from '#sentry/abi/socket.ts';
import { SIGPIPE } from '#sentry/abi/signal.ts';
import { Socket } from '../fs/socket/socket.ts';
import { Incoming, Outgoing } from '../fs/socket/transfer.ts';
import { raiseOnTask } from '../kernel/signals/send.ts';
import { BLOCKED } from '../kernel/wait.ts';
import type { Task } from '../kernel/task.ts';
import { openFile, READ_EVENTS, WRITE_EVENTS } from './file-args.ts';

/** What a waiting socket call keeps: its socket, whatever happens to the descriptor, and how many messages are done (sendmmsg, recvmmsg). */
export class SocketWait {
  readonly socket: Socket;
  messages = 0;
  /** This call began to connect, and answers EINPROGRESS if its time is over first. */
  connects = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

/** One of each serves all calls: no handler runs while another does. */
export const outgoing = new Outgoing();
export const incoming = new Incoming();

export function socketFor(task: Task, fd: number): Socket | number {
  const { state } = task.wait;
  if (state instanceof SocketWait) return state.socket;
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  return file instanceof Socket ? file : -ENOTSOCK;
}

/** Waits where the socket's last -EAGAIN says, or gives up: -EAGAIN after `timeoutNs`. */
export function waitForSocket(task: Task, socket: Socket, events: number, timeoutNs: number): number {
  const { wait } = task;
  if (wait.timedOut) return -EAGAIN;
  if (timeoutNs !== Infinity) {
    if (wait.timeoutNs === Infinity) wait.timeoutNs = timeoutNs;
    wait.interrupted = -EINTR;
  }
  keep(task, socket);
  return wait.on(socket.waitQueue, events);
}

/** The state of the current call, with a reference to the socket until it ends. */
export function keep(task: Task, socket: Socket): SocketWait {
  const { wait } = task;
  if (wait.state instanceof SocketWait) return wait.state;
  const state = new SocketWait(socket);
  wait.state = state;
  wait.hold(socket.acquire());
  return state;
}

export function isBlocking(socket: Socket, flags: number): boolean {
  return (socket.flags & O_NONBLOCK) === 0 && (flags & MSG_DONTWAIT) === 0;
}

/** The sockaddr at `address` as a string of its bytes, or -errno. Uses the start of the scratch memory. */
export function readAddress(task: Task, address: number, length: number): string | number {
  if (length < 0 || length > SOCKADDR_MAX) return -EINVAL;
  if (length === 0) return '';
  if (task.memory.copyIn(address, task.scratch, 0, length) < 0) return -EFAULT;
  return task.scratch.latin1(0, length);
}

/** Stores a sockaddr, cut to the room the guest offers, and its whole length (Linux move_addr_to_user). */
export function storeAddress(task: Task, value: string, address: number, lengthAddress: number): number {
  const word = task.memory.loadU32(lengthAddress);
  if (word < 0) return -EFAULT;
  const room = word | 0;
  if (room < 0) return -EINVAL;
  const n = Math.min(room, value.length);
  if (n > 0) {
    task.scratch.writeLatin1(value, 0);
    if (task.memory.copyOut(address, task.scratch, 0, n) < 0) return -EFAULT;
  }
  return task.memory.storeU32(lengthAddress, value.length);
}

/** Nothing but bytes goes along. */
export function preparePlain(task: Task): void {
  outgoing.reset();
  outgoing.pid = task.pids.global(task.group.pid);
  outgoing.uid = task.credentials.uid;
  outgoing.gid = task.credentials.gid;
}

/** Sends `task.io` with what `outgoing` says. After a wait the bytes sent before are skipped. */
export function sendMessage(task: Task, socket: Socket, flags: number): number {
  const { io, wait } = task;
  let total = wait.progress;
  if (total > 0) {
    io.skip(total);
    outgoing.rights?.forEach((file) => file.release()); // went with the first bytes
    outgoing.rights = null;
  }
  for (;;) {
    const n = socket.send(io, outgoing, flags, task);
    if (n >= 0) {
      total += n;
      if (n === 0 || io.remaining === 0 || socket.keepsBoundaries) return total;
      continue;
    }
    if (n === -EAGAIN && isBlocking(socket, flags)) {
      wait.progress = total;
      const result = waitForSocket(task, socket, WRITE_EVENTS, socket.options.sendTimeoutNs);
      return result === BLOCKED || total === 0 ? result : total;
    }
    if (n === -EPIPE && total === 0 && socket.type === SOCK_STREAM && (flags & MSG_NOSIGNAL) === 0) raiseOnTask(task, SIGPIPE);
    return total > 0 ? total : n;
  }
}

/** Receives into `task.io` and `incoming`. */
export function receiveMessage(task: Task, socket: Socket, flags: number): number {
  const { io, wait } = task;
  const before = wait.progress;
  if (before > 0) io.skip(before);
  incoming.reset();
  // Linux sock_rcvlowat: how much a stream waits for.
  const low = (flags & MSG_WAITALL) !== 0 ? Infinity : socket.options.receiveLowWater;
  const wantsMore = low > 1 && (flags & MSG_PEEK) === 0 && !socket.keepsBoundaries;
  const n = (flags & MSG_ERRQUEUE) !== 0 ? socket.receiveError(io, incoming, flags) : socket.receive(io, incoming, flags, task);
  const blocking = isBlocking(socket, flags) && (flags & MSG_ERRQUEUE) === 0;
  if (n === -EAGAIN && blocking) {
    const result = waitForSocket(task, socket, READ_EVENTS, socket.options.receiveTimeoutNs);
    return result === BLOCKED || before === 0 ? result : before;
  }
  if (n < 0) return before > 0 ? before : n;
  const total = before + n;
  if (!wantsMore || !blocking || n === 0 || io.remaining === 0 || total >= low || incoming.rights !== null) return total;
  wait.progress = total;
  const result = waitForSocket(task, socket, READ_EVENTS, socket.options.receiveTimeoutNs);
  return result === BLOCKED ? result : total;
}
