/**
 * Filters of sockets: SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER, SO_GET_FILTER of socket(7). What is done with one is the family's business,
 * which hears of it by `socket.optionChanged(SO_ATTACH_FILTER)`; streams of AF_UNIX have no use for it, as on Linux.
 *
 * Linux: net/core/filter.c sk_attach_filter, sk_detach_filter, sk_get_filter.
 */
import { SOCK_FILTER_SIZE, SOCK_FPROG_SIZE, BPF_MAXINSNS } from '#sentry/abi/bpf.ts';
import { EFAULT, EINVAL, ENOENT, ENOMEM, EPERM } from '#sentry/abi/errno.ts';
import { SO_LOCK_FILTER } from '#sentry/abi/socket.ts';
import { getI64 } from '#sentry/abi/layout.ts';
import { copyProgram } from '../../bpf/guest-program.ts';
import { PacketFilter } from '../../bpf/packet-filter.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { OptionRow, OptionValue } from './option-table.ts';
import type { Socket } from './socket.ts';

const FILTER_POINTER = 8;

function isLocked(socket: Socket): boolean {
  return socket.options.switches.get(SO_LOCK_FILTER) === 1;
}

function attach(socket: Socket, value: OptionValue, caller: Caller): number {
  if (value.length !== SOCK_FPROG_SIZE) return -EINVAL;
  if (isLocked(socket)) return -EPERM;
  const length = value.view.getUint16(0, true);
  const address = getI64(value.view, FILTER_POINTER);
  if (length === 0 || length > BPF_MAXINSNS || address === 0) return -EINVAL;
  const { memory, scratch } = guestOf(caller);
  const words = copyProgram(memory, scratch, address, length);
  if (typeof words === 'number') return words;
  const filter = PacketFilter.decode(words);
  if (filter === null) return -EINVAL;
  if (!socket.mayKeepFilter(length)) return -ENOMEM;
  socket.setFilter(filter);
  return 0;
}

function detach(socket: Socket): number {
  if (isLocked(socket)) return -EPERM;
  if (socket.options.filter === null) return -ENOENT;
  socket.setFilter(null);
  return 0;
}

function lock(socket: Socket, value: OptionValue): number {
  const on = value.int === 0 ? 0 : 1;
  if (on === 0 && isLocked(socket)) return -EPERM;
  socket.options.switches.set(SO_LOCK_FILTER, on);
  return 0;
}

/** setsockopt's rows; a filter is read by `getFilter`. */
export const attachRow: OptionRow<Socket> = { set: attach };
export const detachRow: OptionRow<Socket> = { set: detach };
export const lockRow: OptionRow<Socket> = { get: (socket, value) => value.putInt(isLocked(socket) ? 1 : 0), set: lock };

/**
 * The program back to where the guest wants it, as it was given.
 * @param room instructions that the guest has room for; 0: it asks how many there are.
 * @returns the number of instructions, -EINVAL when there is not room for all, -EFAULT.
 */
export function getFilter(socket: Socket, caller: Caller, address: number, room: number): number {
  const { filter } = socket.options;
  if (filter === null || room === 0) return filter?.length ?? 0;
  if (room < filter.length) return -EINVAL;
  const { memory, scratch } = guestOf(caller);
  filter.words.forEach((word, i) => {
    scratch.view.setUint32(4 * i, word, true);
  });
  return memory.copyOut(address, scratch, 0, filter.length * SOCK_FILTER_SIZE) < 0 ? -EFAULT : filter.length;
}
