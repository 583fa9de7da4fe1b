/**
 * Ancillary data, cmsg(3): from guest memory into `outgoing`, and from `incoming` to guest memory.
 */
import { EBADF, EFAULT, EINVAL, ENOBUFS, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { getU64, putI64 } from '#sentry/abi/layout.ts';
import {
  AF_NETLINK,
  AF_UNIX,
  CmsgHdr,
  cmsgAlign,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  SCM_CREDENTIALS,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SOL_SOCKET,
  Ucred,
  UCRED_SIZE,
} from '#sentry/abi/socket.ts';
import { releaseRights } from '../fs/socket/socket.ts';
import type { Socket } from '../fs/socket/socket.ts';
import { capable, CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN } from '../vfs/credentials.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import type { Task } from '../kernel/task.ts';
import { incoming, outgoing } from './socket-calls.ts';

const HEADER = CmsgHdr.size;
/** Where control data lies in the scratch memory, beyond what headers, iovecs and addresses use. */
const AT = 1 << 19;
/** net.core.optmem_max. */
const CONTROL_MAX = 1 << 17;

/** Reads the control data of sendmsg: 0 or -errno. On failure `outgoing` holds no files. */
export function readControl(task: Task, socket: Socket, address: number, length: number): number {
  if (length > CONTROL_MAX) return -ENOBUFS;
  if (length < HEADER || address === 0) return 0;
  if (task.memory.copyIn(address, task.scratch, AT, length) < 0) return -EFAULT;
  const result = parse(task, socket, length);
  if (result < 0) {
    releaseRights(outgoing.rights);
    outgoing.rights = null;
  }
  return result;
}

function parse(task: Task, socket: Socket, length: number): number {
  const { view } = task.scratch;
  for (let at = 0; at + HEADER <= length; ) {
    const size = getU64(view, AT + at);
    if (size < HEADER || size > length - at) return -EINVAL;
    const level = view.getInt32(AT + at + CmsgHdr.offsets.level, true);
    const type = view.getInt32(AT + at + CmsgHdr.offsets.type, true);
    const result = takeOne(task, socket, level, type, at + HEADER, size - HEADER);
    if (result < 0) return result;
    at += cmsgAlign(size);
  }
  return 0;
}

function takeOne(task: Task, socket: Socket, level: number, type: number, at: number, length: number): number {
  if (level === SOL_SOCKET && takesScm(socket.domain)) {
    if (type === SCM_RIGHTS && socket.domain === AF_UNIX) return takeRights(task, at, length);
    if (type === SCM_CREDENTIALS) return takeCredentials(task, at, length);
    if (type === SCM_RIGHTS) return -EINVAL;
  }
  return socket.takeControl(level, type, task.scratch.view, AT + at, length, outgoing, task);
}

function takesScm(domain: number): boolean {
  return domain === AF_UNIX || domain === AF_NETLINK;
}

function takeRights(task: Task, at: number, length: number): number {
  const count = Math.floor(length / 4);
  if (count === 0) return 0;
  const files: FileDescription[] = outgoing.rights ?? [];
  if (files.length + count > SCM_MAX_FD) return -EINVAL;
  outgoing.rights = files;
  for (let i = 0; i < count; i++) {
    const file = task.files.get(task.scratch.view.getInt32(AT + at + 4 * i, true));
    if (file === undefined) return -EBADF;
    files.push(file.acquire());
  }
  return 0;
}

/** Only those with capabilities may claim to be somebody else. */
function takeCredentials(task: Task, at: number, length: number): number {
  if (length !== UCRED_SIZE) return -EINVAL;
  const claimed = Ucred.decode(task.scratch.view, AT + at);
  const { credentials } = task;
  const { uid, euid, suid, gid, egid, sgid } = credentials;
  if (claimed.pid !== task.group.pid) {
    if (!capable(credentials, CAP_SYS_ADMIN)) return -EPERM;
    if (!task.pids.tasks.has(claimed.pid)) return -ESRCH;
  }
  if (claimed.uid !== uid && claimed.uid !== euid && claimed.uid !== suid && !capable(credentials, CAP_SETUID)) return -EPERM;
  if (claimed.gid !== gid && claimed.gid !== egid && claimed.gid !== sgid && !capable(credentials, CAP_SETGID)) return -EPERM;
  outgoing.pid = task.pids.global(claimed.pid);
  outgoing.uid = claimed.uid;
  outgoing.gid = claimed.gid;
  return 0;
}

/**
 * Stores credentials and files of `incoming`, files becoming descriptors. Returns the bytes used or -EFAULT; what had no room is let go
 * and MSG_CTRUNC set.
 */
export function storeControl(task: Task, address: number, size: number, flags: number): number {
  const room = address === 0 ? 0 : size;
  let used = storeMessages(task, address, room);
  if (used < 0) return used;
  if (incoming.hasCredentials) {
    incoming.pid = task.pids.local(incoming.pid);
    Ucred.encode(task.scratch.view, AT + HEADER, incoming);
    const n = storeOne(task, address + used, room - used, SOL_SOCKET, SCM_CREDENTIALS, UCRED_SIZE);
    if (n < 0) return n;
    used += n;
  }
  if (incoming.rights === null) return used;
  const n = storeRights(task, address + used, room - used, (flags & MSG_CMSG_CLOEXEC) !== 0);
  return n < 0 ? n : used + n;
}

/** What the family told: bytes used or -EFAULT. */
function storeMessages(task: Task, address: number, room: number): number {
  const { control } = incoming;
  let used = 0;
  for (let i = 0; i < control.count; i++) {
    const length = control.lengths[i]!;
    const from = control.offsets[i]!;
    for (let j = 0; j < length; j++) task.scratch.view.setUint8(AT + HEADER + j, control.view.getUint8(from + j));
    const n = storeOne(task, address + used, room - used, control.levels[i]!, control.types[i]!, length);
    if (n < 0) return n;
    used += n;
  }
  return used;
}

/** The data lies behind the header's place in the scratch memory. */
function storeOne(task: Task, address: number, room: number, level: number, type: number, length: number): number {
  const { view } = task.scratch;
  let size = HEADER + length;
  if (room < HEADER) {
    incoming.flags |= MSG_CTRUNC;
    return 0;
  }
  if (room < size) {
    incoming.flags |= MSG_CTRUNC;
    size = room;
  }
  putI64(view, AT, size);
  view.setInt32(AT + CmsgHdr.offsets.level, level, true);
  view.setInt32(AT + CmsgHdr.offsets.type, type, true);
  if (task.memory.copyOut(address, task.scratch, AT, size) < 0) return -EFAULT;
  return Math.min(cmsgAlign(size), room);
}

function storeRights(task: Task, address: number, room: number, cloexec: boolean): number {
  const rights = incoming.rights!;
  incoming.rights = null;
  const fits = room < HEADER ? 0 : Math.min(rights.length, Math.floor((room - HEADER) / 4));
  let count = 0;
  while (count < fits) {
    const fd = task.files.install(rights[count]!, cloexec);
    if (fd < 0) break;
    task.scratch.view.setInt32(AT + HEADER + 4 * count, fd, true);
    count++;
  }
  if (count < rights.length) {
    incoming.flags |= MSG_CTRUNC;
    releaseRights(rights.slice(count));
  }
  const stored = count === 0 ? 0 : storeOne(task, address, room, SOL_SOCKET, SCM_RIGHTS, 4 * count);
  if (stored >= 0) return stored;
  // Linux: descriptors whose numbers cannot be told are not given out; the message comes without them.
  for (let i = 0; i < count; i++) task.files.close(task.scratch.view.getInt32(AT + HEADER + 4 * i, true));
  incoming.flags |= MSG_CTRUNC;
  return 0;
}
