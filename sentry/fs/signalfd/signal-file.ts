/**
 * signalfd(2): signals of whoever reads, as records. The file belongs to nobody: a reader takes its own pending signals, a poller learns of
 * its own (so after fork each process sees its own through the shared description).
 *
 * Arrivals are announced on a queue of the process's signal handlers, which lies above this layer: `SignalOwner` is what is needed of a
 * task. The file listens there from the first time a process makes, reads or polls it.
 */
import { EAGAIN, EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import { O_RDWR, READABLE } from '#sentry/abi/fs.ts';
import { SignalfdSiginfo } from '#sentry/abi/event-files.ts';
import { SignalSet, UNBLOCKABLE_LOW } from '#sentry/abi/signal.ts';
import { SiginfoKind } from '#sentry/abi/siginfo.ts';
import type { SignalInfo } from '#sentry/abi/siginfo.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import type { Waiter, WaitQueue } from '../../lib/wait-queue.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import { AnonymousFile } from '../anonymous/anonymous-file.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';

const { size: SIZE, offsets: AT } = SignalfdSiginfo;

/** The part of a task that has signals. */
export interface SignalOwner {
  readonly signals: {
    hasPending(set: SignalSet): boolean;
    dequeue(set: SignalSet): SignalInfo | null;
  };
  readonly group: { readonly handlers: { readonly arrivals: WaitQueue } };
}

export class SignalFile extends AnonymousFile implements Waiter {
  private readonly files: AnonymousFiles;
  private readonly set = new SignalSet();
  private readonly listening: WaitEntry[] = [];

  /** `flags`: O_NONBLOCK. */
  constructor(files: AnonymousFiles, owner: SignalOwner, low: number, high: number, flags: number) {
    super(files.anonymous('[signalfd]'), null, O_RDWR | flags);
    this.files = files;
    this.setMask(low, high);
    this.listen(owner);
  }

  setMask(low: number, high: number): void {
    this.set.set((low & ~UNBLOCKABLE_LOW) >>> 0, high >>> 0);
    this.queue.notify(READABLE);
  }

  override read(io: Io, _position: number, caller: Caller): number {
    const owner = caller.task as SignalOwner;
    this.listen(owner);
    if (io.remaining < SIZE) return -EINVAL;
    let total = 0;
    while (io.remaining >= SIZE) {
      const info = owner.signals.dequeue(this.set);
      if (info === null) break;
      encode(this.files.cell.view, info);
      if (io.put(this.files.cell, 0, SIZE) < SIZE) return total === 0 ? -EFAULT : total;
      total += SIZE;
    }
    return total === 0 ? -EAGAIN : total;
  }

  /** For the task that polls now. */
  override poll(): number {
    const owner = this.files.poller as SignalOwner | null;
    if (owner === null) return 0;
    this.listen(owner);
    return owner.signals.hasPending(this.set) ? READABLE : 0;
  }

  override fdinfo(): string {
    return `sigmask:\t${this.set.high.toString(16).padStart(8, '0')}${this.set.low.toString(16).padStart(8, '0')}\n`;
  }

  wake(): void {
    this.queue.notify(READABLE);
  }

  protected override destroy(): void {
    for (const entry of this.listening) entry.queue?.remove(entry);
  }

  private listen(owner: SignalOwner): void {
    const { arrivals } = owner.group.handlers;
    for (const entry of this.listening) if (entry.queue === arrivals) return;
    const entry = new WaitEntry(this);
    this.listening.push(entry);
    arrivals.add(entry, READABLE);
  }
}

function encode(view: DataView, info: SignalInfo): void {
  for (let i = 0; i < SIZE; i += 4) view.setUint32(i, 0, true);
  view.setUint32(AT.signo, info.signo, true);
  view.setInt32(AT.errno, info.errno, true);
  view.setInt32(AT.code, info.code, true);
  switch (info.kind) {
    case SiginfoKind.Kill:
      setSender(view, info);
      return;
    case SiginfoKind.Timer:
      view.setUint32(AT.tid, info.timerId, true);
      view.setUint32(AT.overrun, info.overrun, true);
      setValue(view, info);
      return;
    case SiginfoKind.Rt:
      setSender(view, info);
      setValue(view, info);
      return;
    case SiginfoKind.Child:
      setSender(view, info);
      view.setInt32(AT.status, info.status, true);
      view.setUint32(AT.utime, info.utime, true);
      view.setUint32(AT.stime, info.stime, true);
      return;
    case SiginfoKind.Poll:
      view.setUint32(AT.band, info.band, true);
      view.setInt32(AT.fd, info.fd, true);
      return;
    case SiginfoKind.Fault:
    case SiginfoKind.Sys:
      view.setUint32(AT.addr, info.addressLow, true);
      view.setUint32(AT.addr + 4, info.addressHigh, true);
      return;
    default:
      info.kind satisfies never;
  }
}

function setSender(view: DataView, info: SignalInfo): void {
  view.setInt32(AT.pid, info.pid, true);
  view.setUint32(AT.uid, info.uid, true);
}

function setValue(view: DataView, info: SignalInfo): void {
  view.setInt32(AT.int, info.valueLow | 0, true);
  view.setUint32(AT.ptr, info.valueLow, true);
  view.setUint32(AT.ptr + 4, info.valueHigh, true);
}
