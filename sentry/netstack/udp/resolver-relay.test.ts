/** Questions to 127.0.0.11 and their answers, without a host: its socket is a list of datagrams each way. */
import { beforeEach, describe, expect, test } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { EAGAIN, ECONNREFUSED } from '#sentry/abi/errno.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { KernelIo } from '../../mm/io.ts';
import { ReceivedDatagram } from '../endpoint/datagram.ts';
import { Stack } from '../stack.ts';
import { SeededRandom } from '../testing/random.ts';
import { ipAddress, socketAddress } from '../testing/stack-pair.ts';
import { ResolverRelay } from './resolver-relay.ts';
import type { UdpEndpoint } from './udp-endpoint.ts';

const SERVER = socketAddress('127.0.0.11', 53);
const FD = 7;

let stack: Stack;
let relay: ResolverRelay;
/** What went to the server and was not looked at yet, what it will say, and an error that comes first. */
let asked: number[][];
let answers: number[][];
let failure: number;

const host = {
  allocate: (bytes: number): HostMemory => new FakeMemory(new Uint8Array(bytes)),
  write(_fd: number, memory: HostMemory, offset: number, length: number): number {
    if (failure !== 0) {
      const error = failure;
      failure = 0;
      return -error;
    }
    asked.push(Array.from(memory.bytes.subarray(offset, offset + length)));
    return length;
  },
  read(_fd: number, memory: HostMemory, offset: number): number {
    const answer = answers.shift();
    if (answer === undefined) return -EAGAIN;
    memory.bytes.set(answer, offset);
    return answer.length;
  },
};

beforeEach(() => {
  [asked, answers, failure] = [[], [], 0];
  stack = new Stack({ allocate: host.allocate, random: new SeededRandom(3).word });
  stack.setTime(1e9);
  relay = new ResolverRelay(stack, host, FD);
  relay.start();
});

function asker(port = 0): UdpEndpoint {
  const endpoint = stack.udp.endpoint(4) as UdpEndpoint;
  expect(endpoint.bind(socketAddress('0.0.0.0', port))).toBe(0);
  return endpoint;
}

/** A message with that identifier; `rest` behind a header of zeros. */
function message(identifier: number, ...rest: number[]): number[] {
  return [identifier >> 8, identifier & 255, ...Array.from({ length: 10 }, () => 0), ...rest];
}

function ask(from: UdpEndpoint, bytes: readonly number[], to = SERVER): void {
  const memory = new FakeMemory(Uint8Array.from(bytes));
  expect(from.send(new KernelIo(memory, 0, bytes.length), to, null, 0)).toBe(bytes.length);
  stack.poll(1e9);
}

function answered(by: UdpEndpoint, from = new ReceivedDatagram()): number[] | number {
  relay.receive();
  stack.poll(1e9);
  const memory = new FakeMemory(new Uint8Array(600));
  const n = by.receive(new KernelIo(memory, 0, 600), from, 0);
  return n < 0 ? n : Array.from(memory.bytes.subarray(0, n));
}

const identifierOf = ([high, low]: readonly number[]): number => (high! << 8) | low!;

describe('a question', () => {
  test('is carried on, and its answer comes from the server', () => {
    const one = asker();
    ask(one, message(0x1234, 1, 2, 3));
    expect(asked[0]!.slice(12)).toEqual([1, 2, 3]);
    answers.push(message(identifierOf(asked[0]!), 9));
    const from = new ReceivedDatagram();
    expect(answered(one, from)).toEqual(message(0x1234, 9));
    expect(from.from).toMatchObject({ address: ipAddress('127.0.0.11'), port: 53 });
  });

  test('of two with the same identifier: each gets its own answer', () => {
    const [one, other] = [asker(), asker()];
    ask(one, message(5, 1));
    ask(other, message(5, 2));
    const [first, second] = asked.map(identifierOf);
    expect(first).not.toBe(second);
    answers.push(message(second!, 2), message(first!, 1));
    expect(answered(one)).toEqual(message(5, 1));
    expect(answered(other)).toEqual(message(5, 2));
  });

  test('reaches the server also where a guest has the port', () => {
    const [server, one] = [asker(53), asker()];
    ask(one, message(1));
    expect(asked).toHaveLength(1);
    expect(answered(server)).toBe(-EAGAIN);
    ask(one, message(2), socketAddress('127.0.0.1', 53));
    expect(asked).toHaveLength(1);
    expect(answered(server)).toEqual(message(2));
  });

  test('is sent again when an earlier one’s error is told instead', () => {
    failure = ECONNREFUSED;
    ask(asker(), message(1));
    expect(asked).toHaveLength(1);
  });

  test('that is none is lost', () => {
    ask(asker(), [1, 2, 3]);
    expect(asked).toEqual([]);
  });
});

describe('an answer', () => {
  test('that nobody waits for, a second one, and one that is too short go nowhere', () => {
    const one = asker();
    ask(one, message(1));
    const identifier = identifierOf(asked[0]!);
    answers.push([1, 2], message(identifier ^ 1), message(identifier), message(identifier));
    expect(answered(one)).toEqual(message(1));
    expect(answered(one)).toBe(-EAGAIN);
  });

  test('to a question that had to make room goes nowhere', () => {
    const one = asker();
    for (let i = 0; i <= 1024; i++) ask(one, message(i & 0xffff));
    const numbers = asked.map(identifierOf);
    expect(new Set(numbers.slice(1)).size).toBe(1024);
    answers.push(message(numbers[1]!));
    expect(answered(one)).toEqual(message(1));
    answers.push(message(numbers[0]!));
    expect(answered(one)).toBe(-EAGAIN);
  });
});

test('what name servers answer to others is not complained of', () => {
  const header = { sourcePort: 53, destinationPort: 40_000 };
  expect(stack.udp.interceptor!.input(null as never, header.sourcePort, header.destinationPort, null as never)).toBe(true);
  expect(stack.udp.interceptor!.input(null as never, 54, header.destinationPort, null as never)).toBe(false);
});
