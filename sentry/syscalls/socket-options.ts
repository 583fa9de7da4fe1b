/**
 * setsockopt(2) and getsockopt(2): the value in and out of guest memory. Which options there are say the tables of the levels
 * (sentry/fs/socket/socket-level.ts, and those of the families).
 */
import { EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import { SO_GET_FILTER, SOL_SOCKET } from '#sentry/abi/socket.ts';
import { getFilter } from '../fs/socket/filters.ts';
import { OPTION_BYTES_MAX, OptionValue } from '../fs/socket/option-table.ts';
import { SOCKET_LEVEL } from '../fs/socket/socket-level.ts';
import type { Socket } from '../fs/socket/socket.ts';
import { SCRATCH_SIZE } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';

let shared: OptionValue | null = null;

/** The value at the start of the scratch memory. */
function valueOf(task: Task, length: number): OptionValue {
  shared ??= new OptionValue(task.scratch);
  shared.memory = task.scratch;
  shared.length = length;
  return shared;
}

export function setOption(task: Task, socket: Socket, level: number, name: number, address: number, length: number): number {
  if (length < 0) return -EINVAL;
  const copied = Math.min(length, OPTION_BYTES_MAX);
  if (copied > 0 && task.memory.copyIn(address, task.scratch, 0, copied) < 0) return -EFAULT;
  const value = valueOf(task, copied);
  if (level !== SOL_SOCKET || socket.hasOwnSocketLevel) return socket.setOption(level, name, value, task);
  return SOCKET_LEVEL.set(socket, name, value, task);
}

export function getOption(task: Task, socket: Socket, level: number, name: number, address: number, lengthAddress: number): number {
  const word = task.memory.loadU32(lengthAddress);
  if (word < 0) return -EFAULT;
  const room = word | 0;
  if (room < 0) return -EINVAL;
  if (level === SOL_SOCKET && name === SO_GET_FILTER && !socket.hasOwnSocketLevel) {
    const instructions = getFilter(socket, task, address, room);
    return instructions < 0 ? instructions : task.memory.storeU32(lengthAddress, instructions);
  }
  const value = valueOf(task, Math.min(room, SCRATCH_SIZE));
  let size: number;
  if (level === SOL_SOCKET && !socket.hasOwnSocketLevel) {
    socket.refreshOptions();
    size = SOCKET_LEVEL.get(socket, name, value, task);
  } else {
    // Some options are a question: the value says what is asked.
    if (value.length > 0) task.memory.copyInPartial(address, task.scratch, 0, Math.min(value.length, OPTION_BYTES_MAX));
    size = socket.getOption(level, name, value, task);
  }
  if (size < 0) return size;
  const n = Math.min(size, room);
  if (n > 0 && task.memory.copyOut(address, task.scratch, 0, n) < 0) return -EFAULT;
  return task.memory.storeU32(lengthAddress, n);
}
