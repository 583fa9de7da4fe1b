import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN } from '#sentry/abi/errno.ts';
import { READABLE } from '#sentry/abi/fs.ts';
import { TFD_TIMER_ABSTIME } from '#sentry/abi/event-files.ts';
import { Bench } from '../anonymous/testing.ts';
import { TimerFile } from './timer-file.ts';

function fixture(clock: number): { host: FakeHost; bench: Bench; file: TimerFile; pass: (ns: number) => void; ticks: () => number } {
  const host = new FakeHost();
  const bench = new Bench(host);
  const file = new TimerFile(bench.files, clock, 0);
  return {
    host,
    bench,
    file,
    pass: (ns) => {
      host.nowNs += ns;
      bench.timers.expire(host.nowNs);
    },
    ticks: () => {
      const text = bench.read(file, 8);
      return typeof text === 'number' ? text : text.charCodeAt(0) + 256 * text.charCodeAt(1);
    },
  };
}

const left = { valueNs: 0, intervalNs: 0 };

describe('timerfd', () => {
  test('fires once', () => {
    const { file, pass, ticks } = fixture(1);
    file.set(0, 500, 0, 0);
    expect(ticks()).toBe(-EAGAIN);
    pass(499);
    expect(file.poll()).toBe(0);
    file.setting(left);
    expect(left).toEqual({ valueNs: 1, intervalNs: 0 });
    pass(1);
    expect(file.poll()).toBe(READABLE);
    expect(ticks()).toBe(1);
    pass(10_000);
    expect(ticks()).toBe(-EAGAIN);
    file.setting(left);
    expect(left.valueNs).toBe(0);
  });

  test('counts periods that nobody read', () => {
    const { file, pass, ticks } = fixture(1);
    file.set(0, 100, 10, 0);
    pass(135);
    expect(ticks()).toBe(4);
    file.setting(left);
    expect(left).toEqual({ valueNs: 5, intervalNs: 10 });
    pass(5);
    expect(ticks()).toBe(1);
    file.set(0, 0, 0, 0);
    pass(1000);
    expect(ticks()).toBe(-EAGAIN);
  });

  test('takes absolute times, past ones too', () => {
    const { host, file, pass, ticks } = fixture(1);
    file.set(0, host.nowNs - 5, 0, TFD_TIMER_ABSTIME);
    pass(0);
    expect(ticks()).toBe(1);
    const real = fixture(0);
    const now = { sec: 0, nsec: 0 };
    real.host.realtime(now);
    real.file.set(now.sec + 1, now.nsec, 0, TFD_TIMER_ABSTIME);
    real.pass(999_999_999);
    expect(real.ticks()).toBe(-EAGAIN);
    real.pass(1);
    expect(real.ticks()).toBe(1);
  });
});
