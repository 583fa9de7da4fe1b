/**
 * msgctl(2): states, limits and the end of a message queue.
 */
import { EACCES, EFAULT, EINVAL, EPERM } from '#sentry/abi/errno.ts';
import * as ipc from '#sentry/abi/ipc.ts';
import { CAP_SYS_RESOURCE, capable } from '../vfs/credentials.ts';
import type { MessageQueue } from '../kernel/ipc/message-queue.ts';
import type { Task } from '../kernel/task.ts';
import { addr, family, full, i32, oneOf, syscall } from './row.ts';

const { MsgInfo, MsqidDs } = ipc;
const COMMANDS = {
  IPC_RMID: ipc.IPC_RMID,
  IPC_SET: ipc.IPC_SET,
  IPC_STAT: ipc.IPC_STAT,
  IPC_INFO: ipc.IPC_INFO,
  MSG_STAT: ipc.MSG_STAT,
  MSG_INFO: ipc.MSG_INFO,
  MSG_STAT_ANY: ipc.MSG_STAT_ANY,
} as const;
// Figures that IPC_INFO has always shown and nothing goes by.
const MSGPOOL = 512_000;
const MSGMAP = 16_384;
const MSGTQL = 16_384;
const MSGSSZ = 16;
const MSGSEG = 0xffff;

function msgctl(task: Task, id: number, command: number, address: number): number {
  if (id < 0 || command < 0) return -EINVAL;
  switch (command) {
    case ipc.IPC_INFO:
    case ipc.MSG_INFO:
      return info(task, command, address);
    case ipc.IPC_STAT:
    case ipc.MSG_STAT:
    case ipc.MSG_STAT_ANY:
      return status(task, id, command, address);
    case ipc.IPC_SET:
      return change(task, id, address);
    case ipc.IPC_RMID:
      return remove(task, id);
    default:
      return -EINVAL;
  }
}

function info(task: Task, command: number, address: number): number {
  const { limits, msg } = task.kernel.ipc;
  const { msgmax, msgmnb, msgmni } = limits;
  const figures = { msgpool: MSGPOOL, msgmap: MSGMAP, msgmax, msgmnb, msgmni, msgssz: MSGSSZ, msgtql: MSGTQL, msgseg: MSGSEG };
  if (command === ipc.MSG_INFO) {
    figures.msgpool = msg.table.inUse;
    figures.msgmap = figures.msgtql = 0;
    for (const queue of msg.table.all()) {
      figures.msgmap += queue.length;
      figures.msgtql += queue.bytes;
    }
  }
  MsgInfo.encode(task.scratch.view, 0, figures);
  return task.memory.copyOut(address, task.scratch, 0, MsgInfo.size) || msg.table.highestIndex;
}

/** IPC_STAT by id; MSG_STAT and MSG_STAT_ANY by index, with the id as the result. */
function status(task: Task, id: number, command: number, address: number): number {
  const { table } = task.kernel.ipc.msg;
  const queue = command === ipc.IPC_STAT ? table.find(id) : table.at(id);
  if (queue === undefined) return -EINVAL;
  if (command !== ipc.MSG_STAT_ANY && !queue.permits(task.credentials, ipc.IPC_READ)) return -EACCES;
  MsqidDs.encode(task.scratch.view, 0, {
    perm: queue.permissions,
    stime: queue.sendTime,
    rtime: queue.receiveTime,
    ctime: queue.changeTime,
    cbytes: queue.bytes,
    qnum: queue.length,
    qbytes: queue.bytesMax,
    lspid: task.pids.local(queue.lastSender),
    lrpid: task.pids.local(queue.lastReceiver),
    unused4: 0,
    unused5: 0,
  });
  return task.memory.copyOut(address, task.scratch, 0, MsqidDs.size) || (command === ipc.IPC_STAT ? 0 : queue.id);
}

function change(task: Task, id: number, address: number): number {
  const { limits, msg } = task.kernel.ipc;
  if (task.memory.copyIn(address, task.scratch, 0, MsqidDs.size) < 0) return -EFAULT;
  const { perm, qbytes } = MsqidDs.decode(task.scratch.view, 0);
  const queue = controlled(task, id);
  if (typeof queue === 'number') return queue;
  if (qbytes > limits.msgmnb && !capable(task.credentials, CAP_SYS_RESOURCE)) return -EPERM;
  const error = queue.updatePermissions(perm);
  if (error < 0) return error;
  queue.bytesMax = qbytes;
  msg.touch(queue);
  queue.reconsider();
  return 0;
}

function remove(task: Task, id: number): number {
  const queue = controlled(task, id);
  if (typeof queue === 'number') return queue;
  task.kernel.ipc.msg.remove(queue);
  return 0;
}

function controlled(task: Task, id: number): MessageQueue | number {
  const queue = task.kernel.ipc.msg.table.find(id);
  if (queue === undefined) return -EINVAL;
  return queue.isControlledBy(task.credentials) ? queue : -EPERM;
}

export const msgControlRows = family(
  syscall({
    name: 'msgctl',
    nr: { x64: 71, arm64: 187 },
    args: { msqid: i32, cmd: oneOf(COMMANDS), buf: addr },
    support: full,
    run: msgctl,
  }),
);
