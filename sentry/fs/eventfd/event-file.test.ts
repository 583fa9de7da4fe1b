import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN, EINVAL } from '#sentry/abi/errno.ts';
import { READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { EFD_SEMAPHORE } from '#sentry/abi/event-files.ts';
import { Bench } from '../anonymous/testing.ts';
import { EventFile } from './event-file.ts';

function bytes(value: bigint): string {
  const buffer = new Uint8Array(8);
  new DataView(buffer.buffer).setBigUint64(0, value, true);
  return String.fromCharCode(...buffer);
}

describe('eventfd', () => {
  test('adds up and is read as a whole', () => {
    const b = new Bench(new FakeHost());
    const file = new EventFile(b.files, 3, 0);
    expect(file.poll()).toBe(READABLE | WRITABLE);
    expect(b.write(file, bytes(0xffff_ffffn))).toBe(8);
    expect(b.read(file, 8)).toBe(bytes(0x1_0000_0002n));
    expect(b.read(file, 8)).toBe(-EAGAIN);
    expect(b.read(file, 7)).toBe(-EINVAL);
    expect(file.poll()).toBe(WRITABLE);
  });

  test('stops below 2^64 - 1', () => {
    const b = new Bench(new FakeHost());
    const file = new EventFile(b.files, 0, 0);
    expect(b.write(file, bytes(0xffff_ffff_ffff_ffffn))).toBe(-EINVAL);
    expect(b.write(file, bytes(0xffff_ffff_ffff_fffen))).toBe(8);
    expect(file.poll()).toBe(READABLE);
    expect(b.write(file, bytes(1n))).toBe(-EAGAIN);
    expect(b.write(file, bytes(0n))).toBe(8);
    expect(b.read(file, 8)).toBe(bytes(0xffff_ffff_ffff_fffen));
  });

  test('counts down as a semaphore', () => {
    const b = new Bench(new FakeHost());
    const file = new EventFile(b.files, 2, EFD_SEMAPHORE);
    expect(b.read(file, 8)).toBe(bytes(1n));
    expect(b.read(file, 8)).toBe(bytes(1n));
    expect(b.read(file, 8)).toBe(-EAGAIN);
  });
});
