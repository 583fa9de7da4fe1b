/** Netlink requests and answers: what a dump looks like, errors, and that nothing a guest writes breaks anything. */
import { array, assert, constantFrom, nat, property, tuple, uint8Array } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN, EBUSY, ENODEV, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { SOCK_RAW } from '#sentry/abi/socket.ts';
import { NO_CAPABILITIES } from '../../vfs/credentials.ts';
import { Bench } from '../anonymous/testing.ts';
import { Network } from '../inet/network.ts';
import type { SocketCaller } from '../socket/socket.ts';
import { NetlinkFamily } from './netlink-family.ts';
import type { NetlinkSocket } from './netlink-socket.ts';

interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: DataView;
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not so: ${what}`);
}

class Route {
  readonly host = new FakeHost();
  readonly bench = new Bench(this.host);
  readonly network = new Network(this.host, this.bench.timers);
  readonly socket: NetlinkSocket;
  private readonly family: NetlinkFamily;

  constructor(protocol: number = abi.NETLINK_ROUTE) {
    this.family = new NetlinkFamily({ files: this.bench.files, network: this.network });
    this.socket = this.another(protocol);
  }

  another(protocol: number = abi.NETLINK_ROUTE): NetlinkSocket {
    return this.family.create(SOCK_RAW, protocol, 0, this.bench.caller as unknown as SocketCaller) as NetlinkSocket;
  }

  ask(type: number, flags: number, body: readonly number[]): void {
    const header = new DataView(new ArrayBuffer(16));
    header.setUint32(0, 16 + body.length, true);
    header.setUint16(4, type, true);
    header.setUint16(6, abi.NLM_F_REQUEST | flags, true);
    header.setUint32(8, 5, true);
    const bytes = [...new Uint8Array(header.buffer), ...body];
    must(this.bench.write(this.socket, String.fromCharCode(...bytes)) === bytes.length, 'a request is taken whole');
  }

  /** Everything that waits to be read. */
  answers(socket = this.socket): Message[] {
    const messages: Message[] = [];
    for (;;) {
      const text = this.bench.read(socket, 32_768);
      if (typeof text === 'number') {
        must(text === -EAGAIN, 'the queue ends');
        return messages;
      }
      const view = new DataView(Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer);
      for (let at = 0; at < text.length; ) {
        const length = view.getUint32(at, true);
        must(length >= 16 && at + length <= text.length, 'messages are whole');
        messages.push({
          type: view.getUint16(at + 4, true),
          flags: view.getUint16(at + 6, true),
          sequence: view.getUint32(at + 8, true),
          body: new DataView(view.buffer, at + 16, length - 16),
        });
        at += (length + 3) & ~3;
      }
    }
  }

  errors(): number[] {
    return this.answers().map(({ type, body }) => (type === abi.NLMSG_ERROR ? body.getInt32(0, true) : 1));
  }
}

const NO_LINK = [0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

describe('route', () => {
  test('dumps end, and all their parts say that they are parts', () => {
    const route = new Route();
    for (const type of [abi.RTM_GETLINK, abi.RTM_GETADDR, abi.RTM_GETROUTE, abi.RTM_GETNEIGH, abi.RTM_GETRULE]) {
      route.ask(type, abi.NLM_F_DUMP, [0, 0, 0, 0]);
      const answers = route.answers();
      expect(answers.every(({ flags, sequence }) => (flags & abi.NLM_F_MULTI) !== 0 && sequence === 5)).toBe(true);
      expect(answers.at(-1)?.type).toBe(abi.NLMSG_DONE);
    }
    route.ask(abi.RTM_GETLINK, abi.NLM_F_DUMP, [0, 0, 0, 0]);
    expect(route.answers()[0]!.body.getInt32(4, true)).toBe(1);
  });

  test('one dump at a time', () => {
    const route = new Route();
    route.ask(abi.RTM_GETLINK, abi.NLM_F_DUMP, [0]);
    route.ask(abi.RTM_GETADDR, abi.NLM_F_DUMP, [0]);
    expect(route.errors().filter((error) => error <= 0)).toEqual([-EBUSY]);
  });

  test('what is not there or not known is an error, and who asked for it is told of success', () => {
    const route = new Route();
    route.ask(abi.RTM_GETLINK, 0, NO_LINK);
    expect(route.errors()).toEqual([-ENODEV]);
    route.ask(999, 0, [0]);
    expect(route.errors()).toEqual([-EOPNOTSUPP]);
    const address = [2, 8, 0, 0, 1, 0, 0, 0, 8, 0, abi.IFA_LOCAL, 0, 10, 0, 0, 1];
    route.ask(abi.RTM_NEWADDR, abi.NLM_F_ACK, address);
    expect(route.errors()).toEqual([0]);
    expect(route.network.stack.interfaces.loopback.addresses.length).toBe(3);
    route.ask(abi.RTM_DELADDR, abi.NLM_F_ACK, address);
    expect(route.errors()).toEqual([0]);
  });

  test('members of a group hear of changes, others do not', () => {
    const route = new Route();
    const other = route.another();
    must(other.setMembership(abi.RTNLGRP_IPV4_IFADDR, true) === 0, 'a group can be joined');
    route.ask(abi.RTM_NEWADDR, 0, [2, 8, 0, 0, 1, 0, 0, 0, 8, 0, abi.IFA_LOCAL, 0, 10, 0, 0, 1]);
    expect(route.answers()).toEqual([]);
    expect(route.answers(other).map(({ type, sequence }) => [type, sequence])).toEqual([[abi.RTM_NEWADDR, 0]]);
    must(other.setMembership(abi.RTNLGRP_IPV4_IFADDR, false) === 0, 'and left');
    route.ask(abi.RTM_DELADDR, 0, [2, 8, 0, 0, 1, 0, 0, 0, 8, 0, abi.IFA_LOCAL, 0, 10, 0, 0, 1]);
    expect(route.answers(other)).toEqual([]);
  });

  test('changes need the capability', () => {
    const route = new Route();
    const { caller } = route.bench;
    Object.assign(caller, { credentials: { ...caller.credentials, effective: NO_CAPABILITIES } });
    route.ask(abi.RTM_NEWADDR, 0, NO_LINK);
    expect(route.errors()).toEqual([-EPERM]);
  });
});

test('requests of any bytes are answered with whole messages', () => {
  const types = constantFrom(...Array.from({ length: 40 }, (_, i) => 14 + i));
  const body = uint8Array({ maxLength: 90 }).map((bytes) => [...bytes]);
  assert(
    property(
      constantFrom(abi.NETLINK_ROUTE, abi.NETLINK_SOCK_DIAG),
      array(tuple(types, nat(0xfff), body), { maxLength: 10 }),
      (protocol, requests) => {
        const route = new Route(protocol);
        for (const [type, flags, bytes] of requests) {
          route.ask(type, flags, bytes);
          expect(route.answers().length).toBeLessThan(100);
        }
        route.socket.release();
      },
    ),
    { numRuns: 200 },
  );
});
