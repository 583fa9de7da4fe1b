/**
 * POSIX message queues: mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_getsetattr(2). mq_notify(2) is in mq-notify.ts, the
 * queues are in fs/mqueue.
 */
import { EACCES, EAGAIN, EBADF, EEXIST, EFAULT, EINVAL, EMSGSIZE, ENAMETOOLONG, ENOENT, ENOMEM, ETIMEDOUT } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, R_OK, W_OK, X_OK } from '#sentry/abi/fs.ts';
import { MQ_PRIO_MAX, MqAttr } from '#sentry/abi/mqueue.ts';
import { RLIMIT_MSGQUEUE } from '#sentry/abi/resource.ts';
import type { Timestamp } from '#platform/contract/host.ts';
import { QUEUE_DONE, QueueWait } from '../fs/mqueue/message-queue.ts';
import type { MessageQueueInode } from '../fs/mqueue/message-queue.ts';
import type { Message } from '../fs/mqueue/message-list.ts';
import { MqueueFile } from '../fs/mqueue/mqueue-file.ts';
import type { MqueueFileSystem, QueueSize } from '../fs/mqueue/mqueue-file-system.ts';
import { CAP_SYS_RESOURCE, capable } from '../vfs/credentials.ts';
import { Dentry } from '../vfs/dentry.ts';
import { checkSticky, permission } from '../vfs/permission.ts';
import type { Task } from '../kernel/task.ts';
import { installFile, openFile } from './file-args.ts';
import { OPEN_FLAGS } from './open.ts';
import { addr, buffer, family, fd, flags, full, input, mode, out, path, size, syscall, u32 } from './row.ts';
import { readTimespec } from './timeout.ts';

const NAME_MAX = 255;
/** Status flags that the open file keeps. */
const KEPT_FLAGS = O_ACCMODE | O_NONBLOCK;

function fileSystemOf(task: Task): MqueueFileSystem {
  return task.kernel.ipc.messageQueues(task.fs.namespace.vfs);
}

/** One component that is a name, as it was given, or -errno. */
function readName(task: Task, address: number): string | number {
  const name = task.memory.readString(address);
  if (typeof name === 'number') return name;
  if (name === '') return -ENOENT;
  if (name === '.' || name === '..' || name.includes('/')) return -EACCES;
  return name.length > NAME_MAX ? -ENAMETOOLONG : name;
}

function mqOpen(task: Task, nameAddress: number, openFlags: number, permissions: number, attributes: number): number {
  let wished: QueueSize | null = null;
  if (attributes !== 0) {
    if (task.memory.copyIn(attributes, task.scratch, 0, MqAttr.size) < 0) return -EFAULT;
    const { maxmsg, msgsize } = MqAttr.decode(task.scratch.view, 0);
    wished = { maxMessages: maxmsg, messageSize: msgsize };
  }
  const { nextFree } = task.files;
  const name = readName(task, nameAddress);
  // Linux looks whether there is a descriptor between reading the name and looking at it.
  if (name === -EFAULT || name === -ENOENT) return name;
  if (nextFree < 0) return nextFree;
  if (typeof name === 'number') return name;
  const existing = fileSystemOf(task).root.lookup(name);
  const queue = existing === -ENOENT ? makeQueue(task, name, openFlags, permissions, wished) : mayOpen(task, existing, openFlags);
  if (typeof queue === 'number') return queue;
  return installFile(task, queue.open(new Dentry(`/${name}`, null, queue), openFlags & KEPT_FLAGS), true);
}

function makeQueue(task: Task, name: string, openFlags: number, permissions: number, wished: QueueSize | null): MessageQueueInode | number {
  if ((openFlags & O_CREAT) === 0) return -ENOENT;
  const fileSystem = fileSystemOf(task);
  const { credentials } = task;
  const denied = permission(credentials, fileSystem.root, W_OK | X_OK);
  if (denied < 0) return denied;
  const maker = {
    uid: credentials.fsuid,
    gid: credentials.fsgid,
    isPrivileged: capable(credentials, CAP_SYS_RESOURCE),
    limit: task.group.limits.soft(RLIMIT_MSGQUEUE),
  };
  const queue = fileSystem.make(permissions & ~task.fs.umask & 0o7777, maker, wished);
  if (typeof queue !== 'number') fileSystem.root.add(name, queue);
  return queue;
}

function mayOpen({ credentials }: Task, queue: MessageQueueInode | number, openFlags: number): MessageQueueInode | number {
  if (typeof queue === 'number') return queue;
  if ((openFlags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) return -EEXIST;
  const access = openFlags & O_ACCMODE;
  if (access === O_ACCMODE) return -EINVAL;
  const wanted = access === O_RDONLY ? R_OK : access === O_WRONLY ? W_OK : R_OK | W_OK;
  return permission(credentials, queue, wanted) || queue;
}

function mqUnlink(task: Task, nameAddress: number): number {
  const name = readName(task, nameAddress);
  if (typeof name === 'number') return name;
  const { root } = fileSystemOf(task);
  const queue = root.lookup(name);
  if (typeof queue === 'number') return queue;
  const { credentials } = task;
  const error = permission(credentials, root, W_OK | X_OK) || checkSticky(credentials, root, queue);
  return error < 0 ? error : root.unlink(name);
}

/** The open queue behind `descriptor`, if it may be used so. */
function queueFile(task: Task, descriptor: number, access: number): MqueueFile | number {
  const file = openFile(task, descriptor);
  if (!(file instanceof MqueueFile)) return -EBADF;
  const mode = file.flags & O_ACCMODE;
  return mode === access || mode === O_RDWR ? file : -EBADF;
}

// ---- sending and receiving

const now: Timestamp = { sec: 0, nsec: 0 };

/** Notes the absolute time at which a wait ends: 0 or -errno. */
function noteDeadline(task: Task, address: number): number {
  if (address === 0) return 0;
  const untilNs = readTimespec(task, address);
  if (untilNs < 0) return untilNs;
  if (untilNs === Infinity) return 0;
  const { host } = task.kernel;
  host.realtime(now);
  const left = untilNs - (now.sec * 1e9 + now.nsec);
  task.wait.deadlineNs = left > 0 ? host.monotonicNs() + left : 0;
  return 0;
}

function timedSend(task: Task, descriptor: number, address: number, length: number, priority: number, timeout: number): number {
  const { state } = task.wait;
  if (state instanceof QueueWait) return goOn(task, state);
  const invalid = noteDeadline(task, timeout);
  if (invalid < 0) return invalid;
  if (priority >= MQ_PRIO_MAX) return -EINVAL;
  const file = queueFile(task, descriptor, O_WRONLY);
  if (typeof file === 'number') return file;
  const { messages } = file;
  if (length > messages.messageSize) return -EMSGSIZE;
  const text = load(task, messages.fileSystem, address, length);
  if (typeof text === 'number') return text;
  const message: Message = { priority, text };
  if (!messages.isFull) {
    messages.send(message, task);
    return 0;
  }
  if ((file.flags & O_NONBLOCK) !== 0) {
    messages.fileSystem.freeMessage(message);
    return -EAGAIN;
  }
  const waiting = new QueueWait(message);
  messages.addSender(waiting);
  return beginWait(task, file, waiting);
}

/** The text of a message, with the memory for it; or -errno. */
function load(task: Task, fileSystem: MqueueFileSystem, address: number, length: number): Uint8Array | number {
  if (!fileSystem.takeMessage(length)) return -ENOMEM;
  const text = new Uint8Array(length);
  const { scratch } = task;
  for (let done = 0; done < length; ) {
    const piece = Math.min(length - done, scratch.bytes.length);
    if (task.memory.copyIn(address + done, scratch, 0, piece) < 0) {
      fileSystem.freeMessage({ priority: 0, text });
      return -EFAULT;
    }
    text.set(piece < scratch.bytes.length ? scratch.bytes.subarray(0, piece) : scratch.bytes, done);
    done += piece;
  }
  return text;
}

function beginWait(task: Task, file: MqueueFile, waiting: QueueWait): number {
  const { messages } = file;
  task.wait.state = waiting;
  task.wait.hold(file.acquire());
  task.wait.onFinish = () => {
    messages.remove(waiting);
    if (waiting.message !== null) messages.fileSystem.freeMessage(waiting.message);
  };
  return goOn(task, waiting);
}

/** 0 once it is done: a sender's message has been taken. */
function goOn({ wait }: Task, { done, queue }: QueueWait): number {
  if (done) return 0;
  return wait.mayWait ? wait.on(queue, QUEUE_DONE) : -ETIMEDOUT;
}

function timedReceive(task: Task, descriptor: number, address: number, length: number, priorityAddress: number, timeout: number): number {
  const { state } = task.wait;
  if (state instanceof QueueWait) return goOnReceiving(task, state, address, priorityAddress);
  const invalid = noteDeadline(task, timeout);
  if (invalid < 0) return invalid;
  const file = queueFile(task, descriptor, O_RDONLY);
  if (typeof file === 'number') return file;
  const { messages } = file;
  if (length < messages.messageSize) return -EMSGSIZE;
  const message = messages.receive();
  if (message !== null) {
    messages.fileSystem.freeMessage(message);
    return store(task, message, address, priorityAddress);
  }
  if ((file.flags & O_NONBLOCK) !== 0) return -EAGAIN;
  const waiting = new QueueWait(null);
  messages.addReceiver(waiting);
  const result = beginWait(task, file, waiting);
  return result < 0 ? result : goOnReceiving(task, waiting, address, priorityAddress);
}

function goOnReceiving(task: Task, waiting: QueueWait, address: number, priorityAddress: number): number {
  const result = goOn(task, waiting);
  return result < 0 || waiting.message === null ? result : store(task, waiting.message, address, priorityAddress);
}

/** A message whose place is inaccessible is lost, as on Linux. */
function store(task: Task, { priority, text }: Message, address: number, priorityAddress: number): number {
  if (priorityAddress !== 0 && task.memory.storeU32(priorityAddress, priority) < 0) return -EFAULT;
  const { scratch } = task;
  for (let done = 0; done < text.length; ) {
    const piece = Math.min(text.length - done, scratch.bytes.length);
    scratch.bytes.set(text.subarray(done, done + piece));
    if (task.memory.copyOut(address + done, scratch, 0, piece) < 0) return -EFAULT;
    done += piece;
  }
  return text.length;
}

// ---- attributes

function getsetattr(task: Task, descriptor: number, newAddress: number, oldAddress: number): number {
  const { view } = task.scratch;
  let nonBlocking: boolean | null = null;
  if (newAddress !== 0) {
    if (task.memory.copyIn(newAddress, task.scratch, 0, MqAttr.size) < 0) return -EFAULT;
    const wished = MqAttr.decode(view, 0).flags;
    if (wished !== 0 && wished !== O_NONBLOCK) return -EINVAL;
    nonBlocking = wished === O_NONBLOCK;
  }
  const file = openFile(task, descriptor);
  if (!(file instanceof MqueueFile)) return -EBADF;
  const { messages } = file;
  const before = file.flags & O_NONBLOCK;
  if (nonBlocking !== null) {
    file.flags = nonBlocking ? file.flags | O_NONBLOCK : file.flags & ~O_NONBLOCK;
    messages.touchAccessed();
    messages.touchChanged();
  }
  if (oldAddress === 0) return 0;
  const { maxMessages: maxmsg, messageSize: msgsize, length: curmsgs } = messages;
  MqAttr.encode(view, 0, { flags: before, maxmsg, msgsize, curmsgs, reserved1: 0, reserved2: 0, reserved3: 0, reserved4: 0 });
  return task.memory.copyOut(oldAddress, task.scratch, 0, MqAttr.size);
}

export const mqueueRows = family(
  syscall({
    name: 'mq_open',
    nr: { x64: 240, arm64: 180 },
    args: { name: path, oflag: flags(OPEN_FLAGS), mode, attr: addr },
    support: full,
    run: mqOpen,
  }),
  syscall({ name: 'mq_unlink', nr: { x64: 241, arm64: 181 }, args: { name: path }, support: full, run: mqUnlink }),
  syscall({
    name: 'mq_timedsend',
    nr: { x64: 242, arm64: 182 },
    args: { mqdes: fd, msg_ptr: buffer('in', 'msg_len'), msg_len: size, msg_prio: u32, timeout: input(16, 'timespec') },
    support: full,
    run: timedSend,
  }),
  syscall({
    name: 'mq_timedreceive',
    nr: { x64: 243, arm64: 183 },
    args: { mqdes: fd, msg_ptr: buffer('out', 'msg_len'), msg_len: size, msg_prio: out(4), timeout: input(16, 'timespec') },
    support: full,
    run: timedReceive,
  }),
  syscall({
    name: 'mq_getsetattr',
    nr: { x64: 245, arm64: 185 },
    args: { mqdes: fd, newattr: addr, oldattr: addr },
    support: full,
    run: getsetattr,
  }),
);
