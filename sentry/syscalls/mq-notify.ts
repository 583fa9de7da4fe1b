/**
 * mq_notify(2): one process hears once that a message has come to the empty queue, by a signal or, for SIGEV_THREAD, by a message to a netlink
 * socket, where the C library has a thread read it. Linux: ipc/mqueue.c (do_mq_notify, __do_notify).
 */
import { EBADF, EBUSY, EFAULT, EINVAL, ENOTSOCK } from '#sentry/abi/errno.ts';
import { NOTIFY_COOKIE_LEN, NOTIFY_REMOVED, NOTIFY_WOKENUP } from '#sentry/abi/mqueue.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import { isValidSignal, SI_MESGQ, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEVENT_SIZE, SigeventLayout } from '#sentry/abi/signal.ts';
import type { Notification } from '../fs/mqueue/message-queue.ts';
import { MqueueFile } from '../fs/mqueue/mqueue-file.ts';
import { NetlinkSocket } from '../fs/netlink/netlink-socket.ts';
import { Socket } from '../fs/socket/socket.ts';
import type { Caller } from '../vfs/inode.ts';
import type { PidNamespace } from '../kernel/pid-namespace.ts';
import { sendToGroup } from '../kernel/signals/send.ts';
import type { Task } from '../kernel/task.ts';
import type { ThreadGroup } from '../kernel/thread-group.ts';
import { openFile } from './file-args.ts';
import { family, fd, full, input, syscall } from './row.ts';

type Wish = Readonly<ReturnType<typeof SigeventLayout.decode>>;

/** The number of `group` for somebody in `reader`: 0 when it is in another namespace. */
function numberIn(reader: PidNamespace, { container, pid }: ThreadGroup): number {
  return reader.local(container.pids.global(pid));
}

class Registration implements Notification {
  readonly table: unknown;
  readonly notify: number;
  readonly signo: number;
  private readonly group: ThreadGroup;
  private readonly value: readonly [number, number];
  private readonly socket: NetlinkSocket | null;
  private readonly cookie: Uint8Array;

  /** Takes a reference to `socket`. */
  constructor(task: Task, { notify, signo, value }: Wish, socket: NetlinkSocket | null, cookie: Uint8Array) {
    this.table = task.files;
    this.group = task.group;
    this.notify = notify;
    this.signo = notify === SIGEV_SIGNAL ? signo : 0;
    this.value = value;
    this.socket = socket === null ? null : socket.acquire();
    this.cookie = cookie;
  }

  isOf(task: Task): boolean {
    return this.group === task.group;
  }

  pidSeenBy(caller: Caller): number {
    return numberIn((caller.task as Task).pids, this.group);
  }

  arrived(sender: unknown): void {
    if (this.notify === SIGEV_SIGNAL && this.signo !== 0) this.signal(sender as Task);
    this.finish(NOTIFY_WOKENUP);
  }

  removed(): void {
    this.finish(NOTIFY_REMOVED);
  }

  private signal(sender: Task): void {
    const pid = numberIn(this.group.container.pids, sender.group);
    const info = new SignalInfo(this.signo, SI_MESGQ);
    info.words[4] = pid;
    info.words[5] = sender.credentials.uid;
    info.words[6] = this.value[0];
    info.words[7] = this.value[1];
    sendToGroup(this.group, info);
  }

  private finish(what: number): void {
    if (this.socket === null) return;
    this.cookie[NOTIFY_COOKIE_LEN - 1] = what;
    this.socket.tell(this.cookie, 0);
    this.socket.release();
  }
}

interface Prepared {
  readonly wish: Wish;
  readonly socket: NetlinkSocket | null;
  readonly cookie: Uint8Array;
}

function mqNotify(task: Task, descriptor: number, address: number): number {
  const prepared = address === 0 ? null : prepare(task, address);
  if (typeof prepared === 'number') return prepared;
  const file = openFile(task, descriptor);
  if (!(file instanceof MqueueFile)) return -EBADF;
  const { messages } = file;
  const { notification } = messages;
  if (prepared === null) {
    if (notification instanceof Registration && notification.isOf(task)) messages.removeNotification();
    return 0;
  }
  if (notification !== null) return -EBUSY;
  messages.notification = new Registration(task, prepared.wish, prepared.socket, prepared.cookie);
  messages.touchAccessed();
  messages.touchChanged();
  return 0;
}

/** Reads the sigevent and what it leads to. */
function prepare(task: Task, address: number): Prepared | number {
  const { view } = task.scratch;
  if (task.memory.copyIn(address, task.scratch, 0, SIGEVENT_SIZE) < 0) return -EFAULT;
  const wish = SigeventLayout.decode(view, 0);
  const { notify, signo, value } = wish;
  if (notify !== SIGEV_NONE && notify !== SIGEV_SIGNAL && notify !== SIGEV_THREAD) return -EINVAL;
  if (notify === SIGEV_SIGNAL && signo !== 0 && !isValidSignal(signo)) return -EINVAL;
  if (notify !== SIGEV_THREAD) return { wish, socket: null, cookie: NO_COOKIE };
  if (task.memory.copyIn(value[1] * 2 ** 32 + value[0], task.scratch, 0, NOTIFY_COOKIE_LEN) < 0) return -EFAULT;
  const cookie = new Uint8Array(task.scratch.bytes.subarray(0, NOTIFY_COOKIE_LEN));
  // Here `sigev_signo` is the descriptor of the socket.
  const socket = openFile(task, signo);
  if (socket === undefined) return -EBADF;
  if (!(socket instanceof Socket)) return -ENOTSOCK;
  return socket instanceof NetlinkSocket ? { wish, socket, cookie } : -EINVAL;
}

const NO_COOKIE = new Uint8Array();

export const mqNotifyRows = family(
  syscall({
    name: 'mq_notify',
    nr: { x64: 244, arm64: 184 },
    args: { mqdes: fd, sevp: input(SIGEVENT_SIZE) },
    support: full,
    run: mqNotify,
  }),
);
