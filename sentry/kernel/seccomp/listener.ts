/**
 * User notification: calls that a filter leaves to another process to decide. The filter's listener is a file; whoever holds it receives the calls and
 * answers them.
 *
 *     the caller        listener.ask(task, data) → BLOCKED … the same handler again → waitForAnswer(task, notification)
 *     the supervisor    ioctl(fd, NOTIF_RECV) → what the call is; NOTIF_SEND → its result, or "go on"; NOTIF_ADDFD → a descriptor for the caller
 *
 * A notification is new, then received, then answered; its number tells the supervisor in time that the caller has given up (a signal, its end).
 * Specification: seccomp_unotify(2); Linux kernel/seccomp.c seccomp_do_user_notification, seccomp_notify_ioctl.
 */
import { EBADF, EFAULT, EINPROGRESS, EINVAL, ENOENT, ENOSYS } from '#sentry/abi/errno.ts';
import { O_CLOEXEC, O_RDWR, POLLHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { Reg } from '#sentry/abi/x64/registers.ts';
import { AnonymousFile } from '../../fs/anonymous/anonymous-file.ts';
import type { AnonymousFiles } from '../../fs/anonymous/anonymous-files.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { Task } from '../task.ts';
import { REGISTERS_SET } from '../wait.ts';
import type { FilterListener } from './filter.ts';

const { offsets: NOTIFICATION } = s.SeccompNotif;
const { offsets: ANSWER } = s.SeccompNotifResp;
const { offsets: ADDITION } = s.SeccompNotifAddfd;
const WORD = 0x1_0000_0000;

const State = { New: 0, Received: 1, Answered: 2 } as const;
type State = (typeof State)[keyof typeof State];

let lastId = 0;

/** One call that somebody else decides. */
export class Notification {
  readonly id = ++lastId;
  readonly task: Task;
  readonly data: Int32Array;
  readonly answered = new WaitQueue();
  state: State = State.New;
  /** The result, as two words. */
  low = -ENOSYS | 0;
  high = -1;
  /** The call is made after all. */
  goesOn = false;

  constructor(task: Task, data: Int32Array) {
    this.task = task;
    this.data = data.slice();
  }

  answer(low: number, high: number): void {
    this.low = low;
    this.high = high;
    this.state = State.Answered;
    this.answered.notify(READABLE);
  }
}

/** `goOn` when the call is to be made, BLOCKED, or REGISTERS_SET with the result in place. */
export function waitForAnswer(task: Task, notification: Notification, goOn: number): number {
  if (notification.state !== State.Answered) return task.wait.on(notification.answered, READABLE);
  if (notification.goesOn) {
    // Back to the state a new call starts from.
    task.wait.finish();
    return goOn;
  }
  storeResult(task, notification);
  return REGISTERS_SET;
}

/** All 64 bits: the supervisor may say anything, also what means something else between handlers and the loop. */
function storeResult({ thread }: Task, { low, high }: Notification): void {
  const value = high * WORD + (low >>> 0);
  if (Number.isSafeInteger(value)) {
    thread.setResult(value);
    return;
  }
  const registers = thread.registers();
  registers[Reg.rax] = low;
  registers[Reg.rax + 1] = high;
  thread.registersChanged();
}

export class SeccompListener extends AnonymousFile implements FilterListener {
  /** Those that wait, in their order. */
  private readonly notifications = new Map<number, Notification>();
  /** Only SIGKILL ends the wait for an answer to what has been received. */
  private readonly waitsKillable: boolean;
  private readonly onClose: () => void;
  private hasFilter = true;

  /** `flags`: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. `onClose`: nobody will answer any more. */
  constructor(files: AnonymousFiles, flags: number, onClose: () => void) {
    super(files.anonymous('seccomp notify'), null, O_RDWR);
    this.waitsKillable = (flags & s.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) !== 0;
    this.onClose = onClose;
  }

  /** Puts the call that `task` is stopped at before the supervisor. */
  ask(task: Task, data: Int32Array, goOn: number): number {
    const notification = new Notification(task, data);
    this.notifications.set(notification.id, notification);
    task.wait.state = notification;
    task.wait.onFinish = () => this.notifications.delete(notification.id);
    this.queue.notify(READABLE);
    return waitForAnswer(task, notification, goOn);
  }

  filterGone(): void {
    this.hasFilter = false;
    this.queue.notify(READABLE | POLLHUP);
  }

  override poll(): number {
    let events = this.hasFilter ? 0 : POLLHUP;
    for (const { state } of this.notifications.values()) {
      if (state === State.New) events |= READABLE;
      else if (state === State.Received) events |= WRITABLE;
    }
    return events;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    const task = caller.task as Task;
    switch (request) {
      case s.SECCOMP_IOCTL_NOTIF_RECV:
        return this.receive(task, argument);
      case s.SECCOMP_IOCTL_NOTIF_SEND:
        return this.send(task, argument);
      case s.SECCOMP_IOCTL_NOTIF_ID_VALID:
      case s.SECCOMP_IOCTL_NOTIF_ID_VALID_WRONG_DIR: {
        const id = task.memory.loadU64(argument);
        if (id < 0) return -EFAULT;
        return this.notifications.get(id)?.state === State.Received ? 0 : -ENOENT;
      }
      case s.SECCOMP_IOCTL_NOTIF_SET_FLAGS:
        // A wish about the scheduler, which is the host's.
        return argument === 0 || argument === s.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP ? 0 : -EINVAL;
      case s.SECCOMP_IOCTL_NOTIF_ADDFD:
        return this.addDescriptor(task, argument);
      default:
        return -EINVAL;
    }
  }

  private receive(task: Task, address: number): number {
    const { memory, scratch } = task;
    const { size } = s.SeccompNotif;
    if (memory.copyIn(address, scratch, 0, size) < 0) return -EFAULT;
    for (let i = 0; i < size; i++) if (scratch.bytes[i] !== 0) return -EINVAL;
    const next = [...this.notifications.values()].find(({ state }) => state === State.New);
    if (next === undefined) {
      if (!this.hasFilter) return -ENOENT;
      if (task.wait.first) task.wait.hold(this.acquire());
      return task.wait.on(this.queue, READABLE | POLLHUP);
    }
    encode(scratch.view, next, next.task.pids === task.pids ? next.task.tid : 0);
    if (memory.copyOut(address, scratch, 0, size) < 0) return -EFAULT;
    next.state = State.Received;
    if (this.waitsKillable) next.task.wait.uninterruptible = true;
    this.queue.notify(WRITABLE);
    return 0;
  }

  private send(task: Task, address: number): number {
    const { memory, scratch } = task;
    if (memory.copyIn(address, scratch, 0, s.SeccompNotifResp.size) < 0) return -EFAULT;
    const { view } = scratch;
    const flags = view.getUint32(ANSWER.flags, true);
    const error = view.getInt32(ANSWER.error, true);
    const low = view.getUint32(ANSWER.val, true);
    const high = view.getInt32(ANSWER.val + 4, true);
    if ((flags & ~s.SECCOMP_USER_NOTIF_FLAG_CONTINUE) !== 0) return -EINVAL;
    if (flags !== 0 && (error !== 0 || low !== 0 || high !== 0)) return -EINVAL;
    const notification = this.find(idAt(view, ANSWER.id));
    if (typeof notification === 'number') return notification;
    notification.goesOn = flags !== 0;
    if (error !== 0) notification.answer(error, error >> 31);
    else notification.answer(low, high);
    return 0;
  }

  /** Gives the caller a descriptor for a file of the supervisor's. Returns its number, in the caller's table. */
  private addDescriptor(task: Task, address: number): number {
    const { memory, scratch } = task;
    if (memory.copyIn(address, scratch, 0, s.SeccompNotifAddfd.size) < 0) return -EFAULT;
    const { view } = scratch;
    const flags = view.getUint32(ADDITION.flags, true);
    const newFd = view.getUint32(ADDITION.newfd, true);
    const newFdFlags = view.getUint32(ADDITION.newfdFlags, true);
    if ((newFdFlags & ~O_CLOEXEC) !== 0) return -EINVAL;
    if ((flags & ~(s.SECCOMP_ADDFD_FLAG_SETFD | s.SECCOMP_ADDFD_FLAG_SEND)) !== 0) return -EINVAL;
    const isGivenNumber = (flags & s.SECCOMP_ADDFD_FLAG_SETFD) !== 0;
    if (newFd !== 0 && !isGivenNumber) return -EINVAL;
    const file = task.files.get(view.getUint32(ADDITION.srcfd, true));
    if (file === undefined) return -EBADF;
    const notification = this.find(idAt(view, ADDITION.id));
    if (typeof notification === 'number') return notification;
    const { files } = notification.task;
    if (isGivenNumber && newFd >= files.limit) return -EBADF;
    const isCloexec = newFdFlags !== 0;
    file.acquire();
    const fd = isGivenNumber ? files.replace(newFd, file, isCloexec) : files.install(file, isCloexec);
    if (fd < 0) file.release();
    else if ((flags & s.SECCOMP_ADDFD_FLAG_SEND) !== 0) notification.answer(fd, 0);
    return fd;
  }

  /** The notification that waits for an answer under this number, or -errno. */
  private find(id: number): Notification | number {
    const notification = this.notifications.get(id);
    if (notification === undefined) return -ENOENT;
    return notification.state === State.Received ? notification : -EINPROGRESS;
  }

  override read(): number {
    return -EINVAL;
  }

  /** The last descriptor is closed: what waits, and what will ask, finds nobody. */
  protected override destroy(): void {
    this.onClose();
    for (const notification of this.notifications.values()) {
      if (notification.state !== State.Answered) notification.answer(-ENOSYS, -1);
    }
  }
}

function idAt(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * WORD;
}

function encode(view: DataView, { id, data }: Notification, pid: number): void {
  view.setUint32(NOTIFICATION.id, id >>> 0, true);
  view.setUint32(NOTIFICATION.id + 4, Math.floor(id / WORD), true);
  view.setUint32(NOTIFICATION.pid, pid, true);
  view.setUint32(NOTIFICATION.flags, 0, true);
  for (let i = 0; i < data.length; i++) view.setInt32(NOTIFICATION.data + 4 * i, data[i]!, true);
}
