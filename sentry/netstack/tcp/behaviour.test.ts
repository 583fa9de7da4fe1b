/** An established connection in time: acknowledgements, Nagle, probes, windows, urgent data, buffers, path MTU. */
import { describe, expect, it } from 'vitest';
import { EAGAIN, ECONNRESET, EINVAL, EMSGSIZE, ENETUNREACH, ENOBUFS, ETIMEDOUT } from '#sentry/abi/errno.ts';
import { POLLHUP, POLLPRI, POLLRDHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC } from '#sentry/abi/socket.ts';
import { IpHeader } from '../ip/header.ts';
import type { TcpConnection } from './connection.ts';
import { RST, TcpHeader } from './header.ts';
import { CLOSED, ESTABLISHED } from './states.ts';
import { checkInvariants } from './testing/invariants.ts';
import { World } from './testing/world.ts';

/** Counts what each side has sent since. */
function counting(world: World): { client: number; server: number; data: number; reset: () => void } {
  const counts = {
    client: 0,
    server: 0,
    data: 0,
    reset() {
      counts.client = 0;
      counts.server = 0;
      counts.data = 0;
    },
  };
  world.filter = (seen) => {
    if (seen.from === world.client) counts.client++;
    else counts.server++;
    if (seen.length > 0) counts.data++;
    return false;
  };
  return counts;
}

/** Past the quick acknowledgements of the beginning. */
function settled(world: World): [TcpConnection, TcpConnection] {
  const [client, server] = world.connected();
  for (let i = 0; i < 30; i++) {
    world.client.write(client, 'x');
    world.run(5);
    world.server.read(server);
  }
  world.run(500);
  world.server.read(server);
  world.run(500);
  return [client, server];
}

describe('acknowledgements', () => {
  it('ride on answers', () => {
    const world = new World();
    const [client, server] = settled(world);
    for (let i = 0; i < 3; i++) {
      world.client.write(client, 'q');
      world.run(1);
      world.server.read(server);
      world.server.write(server, 'a');
      world.run(1);
      world.client.read(client);
    }
    const counts = counting(world);
    for (let i = 0; i < 10; i++) {
      world.client.write(client, 'q');
      world.run(1);
      expect(world.server.read(server)).toBe('q');
      world.server.write(server, 'a');
      world.run(1);
      expect(world.client.read(client)).toBe('a');
    }
    expect([counts.client, counts.server]).toEqual([10, 10]);
  });

  it('come late when nobody answers, but they come', () => {
    const world = new World();
    const [client, server] = settled(world);
    server.setQuickAck(0);
    const counts = counting(world);
    world.client.write(client, 'x');
    world.run(20);
    expect(counts.server).toBe(0);
    world.run(200);
    expect(counts.server).toBe(1);
    expect(world.server.tcp.counters.DelayedACKs).toBeGreaterThan(0);
    expect(client.unackedBytes).toBe(0);
  });

  it('cover two segments each in bulk', () => {
    const world = new World({ delayUs: 5000 });
    const [client, server] = world.connected();
    const counts = counting(world);
    let received = 0;
    world.runUntil(() => {
      world.client.write(client, new Uint8Array(20_000));
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) received += n;
      return received > 5_000_000;
    });
    expect(counts.data / counts.server).toBeGreaterThan(1.5);
  });
});

describe('small segments', () => {
  it('wait for an acknowledgement (Nagle), unless TCP_NODELAY', () => {
    const world = new World({ delayUs: 5000 });
    const [client, server] = settled(world);
    const counts = counting(world);
    for (let i = 0; i < 5; i++) world.client.write(client, 'x');
    expect(counts.data).toBe(1);
    world.run(100);
    expect(counts.data).toBe(2);
    expect(world.server.read(server)).toBe('xxxxx');
    world.run(300);
    counts.reset();
    client.setNoDelay(1);
    for (let i = 0; i < 5; i++) world.client.write(client, 'y');
    expect(counts.data).toBe(5);
  });

  it('are joined by TCP_CORK and MSG_MORE, which last 200 ms at most', () => {
    const world = new World();
    const [client, server] = settled(world);
    const counts = counting(world);
    client.setCork(1);
    world.client.write(client, 'head');
    world.client.write(client, new Uint8Array(1444));
    world.client.write(client, 'tail');
    expect(counts.data).toBe(1);
    world.run(100);
    expect(world.server.readInto(server, 1 << 20)).toBe(1448);
    world.run(200);
    expect(world.server.read(server)).toBe('tail');
    world.client.write(client, 'a');
    client.setCork(0);
    world.run(1);
    expect(world.server.read(server)).toBe('a');
    world.run(100);
    world.client.write(client, 'b', MSG_MORE);
    world.run(1);
    expect(world.server.read(server)).toBe(-EAGAIN);
    world.client.write(client, 'c');
    world.run(1);
    expect(world.server.read(server)).toBe('bc');
  });
});

describe('windows', () => {
  it('close, are probed, and open again', () => {
    const world = new World({ delayUs: 1000 });
    const [client, server] = world.connected(80, (connection) => connection.setReceiveBuffer(20_000));
    let written = 0;
    for (let i = 0; i < 40; i++) {
      const n = world.client.write(client, new Uint8Array(10_000));
      if (n > 0) written += n;
      world.run(10);
      checkInvariants(server);
    }
    expect(server.unreadBytes).toBeLessThan(30_000);
    expect(client.events & WRITABLE).toBe(0);
    const counts = counting(world);
    world.run(30_000);
    expect(counts.client).toBeGreaterThan(3);
    expect(counts.client).toBeLessThan(12);
    expect(client.state).toBe(ESTABLISHED);
    expect(world.client.tcp.counters.TCPWinProbe).toBeGreaterThan(0);
    let read = 0;
    world.runUntil(() => {
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) read += n;
      return read === written;
    });
    expect(read).toBe(written);
    expect(client.events & WRITABLE).not.toBe(0);
  });

  it('are never taken back', () => {
    const world = new World({ delayUs: 2000, seed: 4, loss: 0.05 });
    const [client, server] = world.connected();
    let edge = 0;
    let seenEdges = 0;
    let taken = 0;
    world.filter = (seen) => {
      if (seen.from !== world.server || (seen.flags & RST) !== 0) return false;
      const right = (seen.ack + (seen.window << server.receiveScale)) | 0;
      if (seenEdges++ > 0) taken = Math.min(taken, (right - edge) | 0);
      edge = right;
      return false;
    };
    for (let i = 0; i < 300; i++) {
      world.client.write(client, new Uint8Array(5000));
      world.run(3);
      if (i % 7 === 0) world.server.readInto(server, 9000);
      if (i === 150) server.options.receiveBuffer = 8000;
    }
    world.run(10_000);
    expect(seenEdges).toBeGreaterThan(100);
    expect(taken).toBe(0);
  });

  it('do not go silly when the guest reads octet by octet', () => {
    const world = new World({ delayUs: 100 });
    const [client, server] = world.connected(80, (connection) => connection.setReceiveBuffer(8000));
    const counts = counting(world);
    let received = 0;
    let written = 0;
    for (let i = 0; i < 20_000 && received < 20_000; i++) {
      const n = world.client.write(client, new Uint8Array(4000));
      if (n > 0) written += n;
      const r = world.server.readInto(server, 1);
      if (r > 0) received += r;
      world.run(1);
    }
    expect(written).toBeGreaterThanOrEqual(received);
    expect(received / counts.data).toBeGreaterThan(400);
  });

  it('grow with a long fat path', () => {
    const world = new World({ delayUs: 50_000, bytesPerSecond: 12_500_000, queueBytes: 500_000 });
    const [client, server] = world.connected();
    const began = world.nowNs;
    let received = 0;
    world.runUntil(() => {
      world.client.write(client, new Uint8Array(100_000));
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) received += n;
      return received > 40_000_000;
    });
    const seconds = (world.nowNs - began) / 1e9;
    expect(server.options.receiveBuffer).toBeGreaterThan(1_500_000);
    expect(40 / seconds).toBeGreaterThan(8);
  });
});

describe('a silent peer', () => {
  it('is given up after TCP_USER_TIMEOUT', () => {
    const world = new World();
    const [client] = world.connected(80, (connection) => (connection.options.userTimeoutMs = 5000));
    world.run(1000);
    world.filter = () => true;
    world.client.write(client, 'x');
    const began = world.nowNs;
    world.runUntil(() => client.state === CLOSED);
    expect((world.nowNs - began) / 1e6).toBeCloseTo(5000, -3);
    expect(client.takeError()).toBe(ETIMEDOUT);
  });

  it('is given up after all retries', () => {
    const world = new World();
    const [client] = world.connected();
    world.filter = () => true;
    world.client.write(client, 'x');
    const began = world.nowNs;
    world.runUntil(() => client.state === CLOSED, 3_600_000);
    const seconds = (world.nowNs - began) / 1e9;
    // Linux: 924.6 s with the least timeout.
    expect(seconds).toBeGreaterThan(800);
    expect(seconds).toBeLessThan(1100);
  });

  it('is found by keepalive', () => {
    const world = new World();
    const [client, server] = world.connected();
    Object.assign(client.options, { keepAlive: 1, keepIdleMs: 10_000, keepIntervalMs: 1000, keepCount: 3 });
    client.keepAliveChanged();
    const counts = counting(world);
    world.run(35_000);
    expect([client.state, server.state]).toEqual([ESTABLISHED, ESTABLISHED]);
    expect([counts.client, counts.server]).toEqual([3, 3]);
    world.filter = () => true;
    const began = world.nowNs;
    world.runUntil(() => client.state === CLOSED);
    expect((world.nowNs - began) / 1e6).toBeLessThan(14_000);
    expect(client.takeError()).toBe(ETIMEDOUT);
    world.filter = null;
    world.server.write(server, 'x');
    world.run(1000);
    expect(world.server.read(server)).toBe(-ECONNRESET);
  });
});

describe('urgent data', () => {
  it('is one octet beside the stream, behind a mark', () => {
    const world = new World();
    const [client, server] = world.connected();
    let seen = 0;
    server.observer = { onChange: (events) => (seen |= events) };
    world.client.write(client, 'abc');
    world.client.write(client, 'de!', MSG_OOB);
    world.client.write(client, 'fg');
    world.run(100);
    expect(seen & POLLPRI).not.toBe(0);
    expect(server.events & POLLPRI).not.toBe(0);
    expect(server.isAtMark).toBe(false);
    expect(server.unreadBytes).toBe(5);
    expect(world.server.read(server, 100, MSG_PEEK)).toBe('abcde');
    expect(world.server.read(server)).toBe('abcde');
    expect(server.isAtMark).toBe(true);
    expect(world.server.read(server, 10, MSG_OOB)).toBe('!');
    expect(world.server.read(server, 10, MSG_OOB)).toBe(-EINVAL);
    expect(world.server.read(server)).toBe('fg');
    expect(server.isAtMark).toBe(false);
  });

  it('stays in the stream with SO_OOBINLINE', () => {
    const world = new World();
    const [client, server] = world.connected();
    server.options.oobInline = 1;
    world.client.write(client, 'ab!', MSG_OOB);
    world.client.write(client, 'cd');
    world.run(100);
    expect(world.server.read(server, 10, MSG_OOB)).toBe(-EINVAL);
    expect(world.server.read(server)).toBe('ab');
    expect(server.isAtMark).toBe(true);
    expect(world.server.read(server)).toBe('!cd');
  });

  it('is announced before it fits the window', () => {
    const world = new World();
    const [client, server] = world.connected(80, (connection) => connection.setReceiveBuffer(4000));
    world.client.write(client, new Uint8Array(20_000));
    world.client.write(client, '!', MSG_OOB);
    world.run(1000);
    expect(world.server.read(server, 10, MSG_OOB)).toBe(-EAGAIN);
    let read = 0;
    world.runUntil(() => {
      const n = world.server.readInto(server, 1000);
      if (n > 0) read += n;
      return read === 20_000;
    });
    world.run(1000);
    expect(world.server.read(server, 10, MSG_OOB)).toBe('!');
  });
});

describe('a guest', () => {
  it('peeks, throws away, and sees the end', () => {
    const world = new World();
    const [client, server] = world.connected();
    world.client.write(client, 'abcdef');
    world.run(10);
    expect(world.server.read(server, 3, MSG_PEEK)).toBe('abc');
    expect(world.server.readInto(server, 2, MSG_TRUNC)).toBe(2);
    expect(world.server.read(server, 2)).toBe('cd');
    client.close();
    world.run(10);
    expect(server.events & (READABLE | POLLRDHUP)).toBe(READABLE | POLLRDHUP);
    expect(world.server.read(server)).toBe('ef');
    expect(world.server.read(server)).toBe('');
    expect(server.events & POLLHUP).toBe(0);
    server.shutdown(1);
    expect(server.events & POLLHUP).not.toBe(0);
  });

  it('finds its send buffer full, and hears when there is room', () => {
    const world = new World({ delayUs: 1000 });
    const [client, server] = world.connected(80, (connection) => connection.setSendBuffer(30_000));
    let events = 0;
    client.observer = { onChange: (some) => (events |= some) };
    let written = 0;
    for (let n = 1; n > 0; ) {
      n = world.client.write(client, new Uint8Array(3000));
      if (n > 0) written += n;
    }
    expect(written).toBeGreaterThan(20_000);
    expect(written).toBeLessThan(34_000);
    expect(client.events & WRITABLE).toBe(0);
    world.run(100);
    expect(events & WRITABLE).not.toBe(0);
    expect(world.server.readInto(server, 1 << 20)).toBe(written);
  });

  it('resets with a linger of zero', () => {
    const world = new World();
    const [client, server] = world.connected();
    client.options.lingerSeconds = 0;
    world.client.tcp.setTime(world.nowNs);
    client.close();
    world.run(10);
    expect(server.state).toBe(CLOSED);
    expect(world.server.read(server)).toBe(-ECONNRESET);
    expect(world.client.tcp.context.table.size).toBe(0);
  });

  it('still reads what came before a reset on FIN', () => {
    const world = new World();
    const [client, server] = world.connected();
    world.client.write(client, 'last');
    client.close();
    world.run(10);
    world.server.write(server, 'nobody reads this');
    world.run(10);
    expect(world.server.read(server)).toBe('last');
    expect(world.server.read(server)).toBe('');
    expect(server.state).toBe(CLOSED);
  });
});

describe('a path that narrows', () => {
  it('makes segments smaller and sends the lost ones again', () => {
    const world = new World({ delayUs: 1000 });
    const [client, server] = world.connected();
    world.filter = (seen) => {
      if (seen.length <= 900 - 52) return false;
      const ip = new IpHeader();
      ip.source.copy(world.client.address);
      ip.destination.copy(world.server.address);
      const header = new TcpHeader();
      header.copy(seen.header);
      pending.push(() => world.client.tcp.packetTooBig(ip, header, 900, world.nowNs));
      return true;
    };
    const pending: (() => void)[] = [];
    const { cwnd } = client;
    world.client.write(client, new Uint8Array(12_000));
    for (const report of pending.splice(0)) report();
    world.run(50);
    expect(client.mss).toBe(900 - 52);
    expect(world.server.readInto(server, 1 << 20)).toBe(12_000);
    expect(client.cwnd).toBeGreaterThanOrEqual(cwnd);
    expect(world.client.tcp.counters.TCPTimeouts).toBe(0);
  });
});

describe('a layer below', () => {
  it('whose queue is full is tried again', () => {
    const world = new World({ delayUs: 1000 });
    const [client, server] = world.connected();
    let room = 3;
    world.refusal = (seen) => (seen.from === world.client && seen.length > 0 && --room < 0 ? -ENOBUFS : 0);
    world.client.write(client, new Uint8Array(20_000));
    checkInvariants(client);
    expect(client.unackedBytes - client.unsentBytes).toBe(3 * client.mss);
    let read = 0;
    const done = world.runUntil(() => {
      room = 3;
      checkInvariants(client);
      const n = world.server.readInto(server, 1 << 20);
      if (n > 0) read += n;
      return read === 20_000;
    }, 2000);
    expect([done, world.client.tcp.counters.RetransSegs]).toEqual([true, 0]);
  });

  it('that has no way any more is tried until the time is over', () => {
    const world = new World({ delayUs: 1000 });
    const [client] = world.connected(80, (connection) => (connection.options.userTimeoutMs = 20_000));
    world.run(1000);
    world.refusal = () => -ENETUNREACH;
    world.client.write(client, 'x');
    world.run(15_000);
    expect(client.state).toBe(ESTABLISHED);
    world.run(10_000);
    expect([client.state, client.takeError()]).toEqual([CLOSED, ETIMEDOUT]);
  });

  it('that finds the path narrower is given smaller segments at once', () => {
    const world = new World({ delayUs: 1000 });
    const [client, server] = world.connected();
    world.refusal = (seen) => {
      if (seen.from !== world.client || seen.length <= 1000) return 0;
      client.path.mtu = 1000;
      return -EMSGSIZE;
    };
    world.client.write(client, new Uint8Array(9000));
    world.run(100);
    expect(client.mss).toBe(948);
    expect(world.server.readInto(server, 1 << 20)).toBe(9000);
  });
});
