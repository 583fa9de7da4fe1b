/**
 * System V message queues: msgget(2), msgsnd(2), msgrcv(2). msgctl(2) is in msg-control.ts, the queues are in kernel/ipc.
 *
 * `struct msgbuf` is a long, the type, and then the text.
 */
import { E2BIG, EACCES, EAGAIN, EFAULT, EINVAL, ENOMEM, ENOMSG, ERESTARTNOHAND } from '#sentry/abi/errno.ts';
import { IPC_NOWAIT, IPC_READ, IPC_WRITE, MSG_COPY, MSG_EXCEPT, MSG_NOERROR } from '#sentry/abi/ipc.ts';
import { getI64 } from '#sentry/abi/layout.ts';
import { MESSAGE_DONE, ReceiveWait, Search, SendWait, WAITING } from '../kernel/ipc/message-queue.ts';
import type { Message, MessageQueue } from '../kernel/ipc/message-queue.ts';
import type { Task } from '../kernel/task.ts';
import { family, flags, full, hex32, i32, i64, input, out, partial, size, syscall } from './row.ts';

const TYPE_SIZE = 8;
const FLAGS = { IPC_NOWAIT, MSG_NOERROR, MSG_EXCEPT, MSG_COPY };
/** (long) of a size above is negative. */
const LONG_MAX = 2 ** 63 - 1;

function msgsnd(task: Task, id: number, address: number, bytes: number, sendFlags: number): number {
  const { state } = task.wait;
  if (state instanceof SendWait) return state.status === WAITING ? task.wait.on(state.queue, MESSAGE_DONE) : state.status;
  const { msg, limits } = task.kernel.ipc;
  const { view } = task.scratch;
  if (task.memory.copyIn(address, task.scratch, 0, TYPE_SIZE) < 0) return -EFAULT;
  const type = getI64(view, 0);
  const typeLow = view.getUint32(0, true);
  const typeHigh = view.getUint32(4, true);
  if (bytes > limits.msgmax || id < 0 || type < 1) return -EINVAL;
  if (!msg.takeMessage(bytes)) return -ENOMEM;
  const error = task.memory.copyIn(address + TYPE_SIZE, task.scratch, 0, bytes);
  const message: Message = { type, typeLow, typeHigh, text: new Uint8Array(task.scratch.bytes.subarray(0, bytes)) };
  const result = error < 0 ? error : send(task, id, message, sendFlags);
  if (result < 0) msg.freeMessage(message);
  return result === WAITING ? msgsnd(task, id, address, bytes, sendFlags) : result;
}

/** 0, -errno, or WAITING: the wait has been prepared. */
function send(task: Task, id: number, message: Message, sendFlags: number): number {
  const { msg } = task.kernel.ipc;
  const queue = msg.table.find(id);
  if (queue === undefined) return -EINVAL;
  if (!queue.permits(task.credentials, IPC_WRITE)) return -EACCES;
  const pid = task.pids.global(task.group.pid);
  if (queue.fits(message)) {
    queue.send(message, pid);
    return 0;
  }
  if ((sendFlags & IPC_NOWAIT) !== 0) return -EAGAIN;
  const waiting = new SendWait(message, pid, task.credentials);
  queue.addSender(waiting);
  task.wait.state = waiting;
  task.wait.interrupted = -ERESTARTNOHAND;
  task.wait.onFinish = () => {
    queue.removeSender(waiting);
    if (waiting.status !== 0) msg.freeMessage(message);
  };
  return WAITING;
}

function msgrcv(task: Task, id: number, address: number, bytes: number, type: number, receiveFlags: number): number {
  const { state } = task.wait;
  if (state instanceof ReceiveWait) return goOn(task, state, address, bytes);
  if (id < 0 || bytes > LONG_MAX) return -EINVAL;
  const copies = (receiveFlags & MSG_COPY) !== 0;
  if (copies && ((receiveFlags & MSG_EXCEPT) !== 0 || (receiveFlags & IPC_NOWAIT) === 0)) return -EINVAL;
  const { msg } = task.kernel.ipc;
  const queue = msg.table.find(id);
  if (queue === undefined) return -EINVAL;
  if (!queue.permits(task.credentials, IPC_READ)) return -EACCES;
  const search = searchOf(type, receiveFlags);
  const wanted = search === Search.LessEqual ? -type : type;
  const message = queue.find(search, wanted);
  const sizeMax = (receiveFlags & MSG_NOERROR) !== 0 ? Infinity : bytes;
  if (message === null) {
    return (receiveFlags & IPC_NOWAIT) !== 0 ? -ENOMSG : beginWait(task, queue, search, wanted, sizeMax, address, bytes);
  }
  if (message.text.length > sizeMax) return -E2BIG;
  if (copies) return message.text.length > bytes ? -EINVAL : store(task, message, address, bytes);
  queue.take(message, task.pids.global(task.group.pid));
  msg.freeMessage(message);
  return store(task, message, address, bytes);
}

function searchOf(type: number, receiveFlags: number): Search {
  if ((receiveFlags & MSG_COPY) !== 0) return Search.Number;
  if (type === 0) return Search.Any;
  if (type < 0) return Search.LessEqual;
  return (receiveFlags & MSG_EXCEPT) !== 0 ? Search.NotEqual : Search.Equal;
}

function beginWait(task: Task, queue: MessageQueue, search: Search, type: number, sizeMax: number, address: number, bytes: number): number {
  const waiting = new ReceiveWait(search, type, sizeMax, task.pids.global(task.group.pid), task.credentials);
  const { msg } = task.kernel.ipc;
  queue.addReceiver(waiting);
  task.wait.state = waiting;
  task.wait.interrupted = -ERESTARTNOHAND;
  task.wait.onFinish = () => {
    queue.removeReceiver(waiting);
    if (waiting.message !== null) msg.freeMessage(waiting.message);
  };
  return goOn(task, waiting, address, bytes);
}

function goOn(task: Task, { status, message, queue }: ReceiveWait, address: number, bytes: number): number {
  if (status === WAITING) return task.wait.on(queue, MESSAGE_DONE);
  return message === null ? status : store(task, message, address, bytes);
}

/** Type and text to the guest: the length of the text, which may be cut. A message whose place is inaccessible is lost, as on Linux. */
function store(task: Task, { typeLow, typeHigh, text }: Message, address: number, bytes: number): number {
  const { view, bytes: scratch } = task.scratch;
  const length = Math.min(text.length, bytes);
  view.setUint32(0, typeLow, true);
  view.setUint32(4, typeHigh, true);
  scratch.set(length < text.length ? text.subarray(0, length) : text, TYPE_SIZE);
  return task.memory.copyOut(address, task.scratch, 0, TYPE_SIZE + length) || length;
}

export const msgRows = family(
  syscall({
    name: 'msgget',
    nr: { x64: 68, arm64: 186 },
    args: { key: hex32, msgflg: hex32 },
    support: full,
    run: (task, key, getFlags) => task.kernel.ipc.msg.get(task, key | 0, getFlags),
  }),
  syscall({
    name: 'msgsnd',
    nr: { x64: 69, arm64: 189 },
    args: { msqid: i32, msgp: input(TYPE_SIZE), msgsz: size, msgflg: flags(FLAGS) },
    support: full,
    run: msgsnd,
  }),
  syscall({
    name: 'msgrcv',
    nr: { x64: 70, arm64: 188 },
    args: { msqid: i32, msgp: out(TYPE_SIZE), msgsz: size, msgtyp: i64, msgflg: flags(FLAGS) },
    support: partial('types above 2^53 are compared rounded to 53 bits'),
    run: msgrcv,
  }),
);
