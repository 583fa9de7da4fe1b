/**
 * For the unit tests of files without a path: the shared state over a given host, a caller, and text in and out of files.
 */
import type { Host, HostMemory } from '#platform/contract/host.ts';
import { TimerQueue } from '../../lib/timer-queue.ts';
import type { WaitQueue, Waiter } from '../../lib/wait-queue.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import { KernelIo } from '../../mm/io.ts';
import { ALL_CAPABILITIES, initialCredentials } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { AnonymousFiles } from './anonymous-files.ts';

export class Bench {
  readonly files: AnonymousFiles;
  readonly timers = new TimerQueue();
  readonly memory: HostMemory;
  readonly caller = {
    credentials: initialCredentials(0, 0, [], ALL_CAPABILITIES),
    task: null as unknown,
    group: { pid: 7 },
    pids: { global: (pid: number) => pid, local: (pid: number) => pid },
  };

  constructor(host: Host) {
    this.files = new AnonymousFiles(host, this.timers);
    this.memory = host.allocate(1 << 20);
    this.caller.task = this.caller;
  }

  /** An `Io` over `text`. */
  source(text: string): KernelIo {
    this.memory.writeLatin1(text, 0);
    return new KernelIo(this.memory, 0, text.length);
  }

  write(file: FileDescription, text: string): number {
    return file.write(this.source(text), -1, this.caller);
  }

  /** What a read of `length` bytes brings, or -errno. */
  read(file: FileDescription, length: number): string | number {
    const n = file.read(new KernelIo(this.memory, 0, length), -1, this.caller);
    return n < 0 ? n : this.memory.latin1(0, n);
  }
}

/** Counts the wake-ups of a queue. */
export class Listener implements Waiter {
  events = 0;
  count = 0;

  constructor(queue: WaitQueue, mask: number) {
    queue.add(new WaitEntry(this), mask);
  }

  wake(_entry: WaitEntry, events: number): void {
    this.events |= events;
    this.count++;
  }
}
