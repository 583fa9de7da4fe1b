/**
 * pidfd_open(2): a file that stands for a process. It becomes readable when the process has ended. Sending and waiting through it belong to
 * the kernel, which knows what `target` is.
 */
import { ENOTTY } from '#sentry/abi/errno.ts';
import { O_RDWR, POLLHUP, READABLE } from '#sentry/abi/fs.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import type { Waiter, WaitQueue } from '../../lib/wait-queue.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';

/** The process, as far as its file needs to know it: a thread group. */
export interface PidTarget {
  readonly pid: number;
  /** Ended, waited for or not. */
  readonly isZombie: boolean;
}

export class PidFile<Target extends PidTarget = PidTarget> extends FileDescription implements Waiter {
  readonly target: Target;
  private readonly entry = new WaitEntry(this);

  /** `ended` is notified with READABLE when the process ends. `flags`: O_NONBLOCK (PIDFD_NONBLOCK). */
  constructor(files: AnonymousFiles, target: Target, ended: WaitQueue, flags: number) {
    super(files.anonymous('[pidfd]'), null, O_RDWR | flags);
    this.target = target;
    if (!target.isZombie) ended.add(this.entry, READABLE);
  }

  override poll(): number {
    return this.target.isZombie ? READABLE | POLLHUP : 0;
  }

  override ioctl(): number {
    return -ENOTTY;
  }

  override fdinfo(): string {
    const pid = this.target.isZombie ? -1 : this.target.pid;
    return `Pid:\t${pid}\nNSpid:\t${pid}\n`;
  }

  wake(): void {
    this.entry.queue?.remove(this.entry);
    this.queue.notify(READABLE | POLLHUP);
  }

  protected override destroy(): void {
    this.entry.queue?.remove(this.entry);
  }
}
