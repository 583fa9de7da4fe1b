import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN, EINVAL } from '#sentry/abi/errno.ts';
import { READABLE } from '#sentry/abi/fs.ts';
import { SignalfdSiginfo } from '#sentry/abi/event-files.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { SignalSet } from '#sentry/abi/signal.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import { Bench, Listener } from '../anonymous/testing.ts';
import { SignalFile } from './signal-file.ts';

const SIGUSR1 = 10;
const RECORD = SignalfdSiginfo.size;

class Owner {
  readonly pending: SignalInfo[] = [];
  readonly group = { handlers: { arrivals: new WaitQueue() } };
  readonly signals = {
    hasPending: (set: SignalSet) => this.pending.some((info) => set.has(info.signo)),
    dequeue: (set: SignalSet) => {
      const at = this.pending.findIndex((info) => set.has(info.signo));
      return at < 0 ? null : this.pending.splice(at, 1)[0]!;
    },
  };

  raise(info: SignalInfo): void {
    this.pending.push(info);
    this.group.handlers.arrivals.notify(READABLE);
  }
}

describe('signalfd', () => {
  test('hands signals of the reader out as records', () => {
    const bench = new Bench(new FakeHost());
    const owner = new Owner();
    bench.caller.task = owner;
    const file = new SignalFile(bench.files, owner, 1 << (SIGUSR1 - 1), 0, 0);
    const seen = new Listener(file.queue, READABLE);
    expect(bench.read(file, RECORD)).toBe(-EAGAIN);
    expect(bench.read(file, RECORD - 1)).toBe(-EINVAL);
    owner.raise(SignalInfo.queued(SIGUSR1, 42, 1000, 7, 0));
    owner.raise(SignalInfo.user(SIGUSR1 + 1, 0, 42, 1000));
    expect(seen.count).toBe(2);
    bench.files.poller = owner;
    expect(file.poll()).toBe(READABLE);
    expect(bench.read(file, 3 * RECORD)).toHaveLength(RECORD);
    expect(SignalfdSiginfo.decode(bench.memory.view, 0)).toMatchObject({ signo: SIGUSR1, code: -1, pid: 42, uid: 1000, int: 7, ptr: 7 });
    expect(file.poll()).toBe(0);
    file.release();
    expect(owner.group.handlers.arrivals.isEmpty).toBe(true);
  });

  test('each process sees its own', () => {
    const bench = new Bench(new FakeHost());
    const [parent, child] = [new Owner(), new Owner()];
    const file = new SignalFile(bench.files, parent, 1 << (SIGUSR1 - 1), 0, 0);
    bench.caller.task = child;
    expect(bench.read(file, RECORD)).toBe(-EAGAIN);
    const seen = new Listener(file.queue, READABLE);
    child.raise(SignalInfo.kernel(SIGUSR1));
    expect(seen.count).toBe(1);
    bench.files.poller = parent;
    expect(file.poll()).toBe(0);
    bench.files.poller = child;
    expect(file.poll()).toBe(READABLE);
  });
});
