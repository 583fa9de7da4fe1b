import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EEXIST, EINVAL, ELOOP, ENOENT } from '#sentry/abi/errno.ts';
import { EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EpollEvent } from '#sentry/abi/epoll.ts';
import { POLLHUP, POLLIN, POLLOUT, READABLE } from '#sentry/abi/fs.ts';
import { Bench, Listener } from '../anonymous/testing.ts';
import type { PipeFile } from '../pipe/pipe-file.ts';
import { createPipe } from '../pipe/pipe-file.ts';
import { Epoll } from './epoll.ts';

interface Fixture {
  readonly bench: Bench;
  readonly epoll: Epoll;
  readonly reader: PipeFile;
  readonly writer: PipeFile;
}

function fixture(): Fixture {
  const bench = new Bench(new FakeHost());
  const [reader, writer] = createPipe(bench.files, bench.caller, 0);
  return { bench, epoll: new Epoll(bench.files), reader, writer };
}

/** [events, data] of everything ready. */
function collect(epoll: Epoll, max = 8): [number, number][] {
  const view = new DataView(new ArrayBuffer(EpollEvent.size * max));
  const count = epoll.collect(view, 0, max);
  return Array.from({ length: count }, (_, i) => [view.getUint32(12 * i, true), view.getUint32(12 * i + 4, true)]);
}

describe('epoll', () => {
  test('level: again and again', () => {
    const { bench, epoll, reader, writer } = fixture();
    expect(epoll.add(3, reader, POLLIN, 10, 0)).toBe(0);
    expect(epoll.add(3, reader, POLLIN, 10, 0)).toBe(-EEXIST);
    expect(epoll.modify(4, writer, POLLOUT, 0, 0)).toBe(-ENOENT);
    expect(collect(epoll)).toEqual([]);
    const seen = new Listener(epoll.queue, READABLE);
    bench.write(writer, 'ab');
    expect(seen.count).toBe(1);
    expect(collect(epoll)).toEqual([[POLLIN, 10]]);
    expect(collect(epoll)).toEqual([[POLLIN, 10]]);
    bench.read(reader, 2);
    expect(collect(epoll)).toEqual([]);
    expect(epoll.poll()).toBe(0);
  });

  test('edge: once for each news', () => {
    const { bench, epoll, reader, writer } = fixture();
    epoll.add(3, reader, POLLIN | EPOLLET, 1, 0);
    bench.write(writer, 'ab');
    expect(collect(epoll)).toEqual([[POLLIN, 1]]);
    expect(collect(epoll)).toEqual([]);
    bench.write(writer, 'c');
    expect(collect(epoll)).toEqual([[POLLIN, 1]]);
    epoll.modify(3, reader, POLLIN | EPOLLET, 2, 0);
    expect(collect(epoll)).toEqual([[POLLIN, 2]]);
  });

  test('one shot: silent until armed again, and put back when the guest could not be told', () => {
    const { bench, epoll, reader, writer } = fixture();
    epoll.add(3, reader, POLLIN | EPOLLONESHOT, 1, 0);
    bench.write(writer, 'a');
    expect(collect(epoll)).toEqual([[POLLIN, 1]]);
    epoll.putBack(0);
    expect(collect(epoll)).toEqual([[POLLIN, 1]]);
    bench.write(writer, 'b');
    expect(collect(epoll)).toEqual([]);
    epoll.modify(3, reader, POLLIN, 5, 0);
    expect(collect(epoll)).toEqual([[POLLIN, 5]]);
  });

  test('reports hang-up unasked and forgets files that are closed', () => {
    const { epoll, reader, writer } = fixture();
    epoll.add(3, reader, 0, 1, 0);
    writer.release();
    expect(collect(epoll)).toEqual([[POLLHUP, 1]]);
    reader.release();
    expect(collect(epoll)).toEqual([]);
    expect(epoll.fdinfo()).toBe('');
  });

  test('gives everybody a turn', () => {
    const { bench, epoll } = fixture();
    for (let i = 0; i < 3; i++) {
      const [reader, writer] = createPipe(bench.files, bench.caller, 0);
      bench.write(writer, 'x');
      epoll.add(10 + i, reader, POLLIN, i, 0);
    }
    const seen = Array.from({ length: 6 }, () => collect(epoll, 1)[0]![1]);
    expect(seen).toEqual([0, 1, 2, 0, 1, 2]);
  });

  test('nests, within limits', () => {
    const { bench, epoll, reader, writer } = fixture();
    const outer = new Epoll(bench.files);
    epoll.add(3, reader, POLLIN, 1, 0);
    expect(outer.add(4, epoll, POLLIN, 2, 0)).toBe(0);
    expect(epoll.add(5, outer, POLLIN, 3, 0)).toBe(-ELOOP);
    bench.write(writer, 'x');
    expect(collect(outer)).toEqual([[POLLIN, 2]]);
    bench.read(reader, 1);
    expect(collect(outer)).toEqual([]);
    let top = new Epoll(bench.files);
    let depth = 0;
    for (; depth < 10; depth++) {
      const above = new Epoll(bench.files);
      if (above.add(1, top, POLLIN, 0, 0) < 0) break;
      top = above;
    }
    expect(depth).toBe(4);
  });

  test('exclusive watches cannot be modified', () => {
    const { epoll, reader } = fixture();
    epoll.add(3, reader, POLLIN | EPOLLEXCLUSIVE, 1, 0);
    expect(epoll.modify(3, reader, POLLIN, 1, 0)).toBe(-EINVAL);
    expect(epoll.delete(3, reader)).toBe(0);
    expect(epoll.delete(3, reader)).toBe(-ENOENT);
  });
});
