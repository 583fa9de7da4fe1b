/**
 * Who is told when a file becomes ready for input or output: fcntl(2) F_SETOWN, F_SETSIG and O_ASYNC (Linux fown_struct and fasync).
 *
 * A `FileOwner` hangs on `FileDescription.owner` once one of these was used. While O_ASYNC is set it sits in the file's wait queue and
 * turns each notification into a signal: SIGIO, or what F_SETSIG chose, then with a siginfo that names descriptor and events. Urgent data of a
 * socket is told by SIGURG whether O_ASYNC is set or not (tcp(7)).
 */
import { F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID } from '#sentry/abi/fcntl.ts';
import { O_ASYNC, POLLERR, POLLHUP, POLLPRI, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { POLL_ERR, POLL_HUP, POLL_IN, POLL_OUT, SIGIO, SIGURG } from '#sentry/abi/signal.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import { WaitEntry } from '../lib/wait-queue.ts';
import type { Waiter } from '../lib/wait-queue.ts';
import type { Credentials } from '../vfs/credentials.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import type { PidNamespace } from './pid-namespace.ts';
import { sendToGroup, sendToProcessGroup, sendToTask } from './signals/send.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

export class FileOwner implements Waiter {
  type: number = F_OWNER_PID;
  /** 0: nobody. */
  id = 0;
  /** F_SETSIG: 0 means SIGIO without further information. */
  signal = 0;
  /** Descriptor to report, the one O_ASYNC was set through. */
  private fd = -1;
  /** Whose numbers `id` is one of. */
  private pids: PidNamespace | null = null;
  private credentials: Credentials | null = null;
  private readonly entry = new WaitEntry(this);
  private readonly urgent = new WaitEntry(this);

  constructor(file: FileDescription) {
    file.queue.add(this.urgent, POLLPRI);
  }

  set(type: number, id: number, { pids, credentials }: Task): void {
    this.type = type;
    this.id = id;
    this.pids = pids;
    this.credentials = credentials;
  }

  /** The id as somebody in `reader` sees it: 0 when it is nobody there. */
  numberIn(reader: PidNamespace): number {
    return this.pids === reader ? this.id : 0;
  }

  /** O_ASYNC was set or cleared. */
  setAsync(file: FileDescription, fd: number, on: boolean): void {
    if (!on) {
      file.flags &= ~O_ASYNC;
      this.entry.queue?.remove(this.entry);
      return;
    }
    file.flags |= O_ASYNC;
    this.fd = fd;
    if (this.entry.queue === null) file.queue.add(this.entry, READABLE | WRITABLE | POLLERR | POLLHUP);
  }

  wake(entry: WaitEntry, events: number): void {
    const { pids } = this;
    if (this.id === 0 || pids === null) return;
    const info = entry === this.urgent ? SignalInfo.kernel(SIGURG) : this.info(events);
    if (this.type === F_OWNER_TID) {
      const task = pids.tasks.get(this.id);
      if (task !== undefined && this.maySignal(task.group)) sendToTask(task, info);
    } else if (this.type === F_OWNER_PGRP) {
      const processGroup = pids.processGroups.get(this.id);
      if (processGroup !== undefined) sendToProcessGroup(processGroup, info);
    } else {
      const group = pids.groups.get(this.id);
      if (group !== undefined && this.maySignal(group)) sendToGroup(group, info);
    }
  }

  /** Linux sigio_perm: the one who set the owner must be allowed to kill it. */
  private maySignal(group: ThreadGroup): boolean {
    const { credentials } = this;
    if (credentials === null || credentials.euid === 0) return true;
    const target = group.leader.credentials;
    return [target.uid, target.suid].some((uid) => uid === credentials.euid || uid === credentials.uid);
  }

  private info(events: number): SignalInfo {
    if (this.signal === 0) return SignalInfo.kernel(SIGIO);
    const reason =
      (events & POLLHUP) !== 0 ? POLL_HUP : (events & POLLERR) !== 0 ? POLL_ERR : (events & READABLE) !== 0 ? POLL_IN : POLL_OUT;
    const info = new SignalInfo(this.signal, reason);
    info.words[4] = events;
    info.words[6] = this.fd;
    return info;
  }
}

export function ownerOf(file: FileDescription): FileOwner | null {
  return file.owner instanceof FileOwner ? file.owner : null;
}

export function makeOwner(file: FileDescription): FileOwner {
  const existing = ownerOf(file);
  if (existing !== null) return existing;
  const made = new FileOwner(file);
  file.owner = made;
  return made;
}

export function isOwnerType(type: number): boolean {
  return type === F_OWNER_TID || type === F_OWNER_PID || type === F_OWNER_PGRP;
}
