/**
 * The forwarder against resolvers of the test's own, by UDP and TCP on the loopback.
 */
import { createSocket } from 'node:dgram';
import type { Socket as DatagramSocket } from 'node:dgram';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { parseAddress } from '#sentry/netstack/address.ts';
import { EventLoop } from '../event-loop.ts';
import { QUESTIONS_MAX, RESOLVER_ROUNDS } from '../limits.ts';
import { Forwarder } from './forwarder.ts';
import type { DnsMessage } from './message.ts';
import { readMessage } from './message.ts';

const QUESTION = Uint8Array.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0x61, 4, ...Buffer.from('test'), 0, 0, 1, 0, 1]);
const query = readMessage(QUESTION)!;
const loop = new EventLoop();
let closers: (() => void)[] = [];
let id = 0x4000;

afterEach(() => {
  for (const close of closers) close();
  closers = [];
});

/** The question as an answer with one address, with other flags and another id if wanted. */
function answerTo(question: Uint8Array, lastByte: number, flags = 0x8180, idOffset = 0): Buffer {
  const { question: asked } = readMessage(question)!;
  const head = Buffer.from(question.subarray(0, asked.end));
  head.writeUInt16BE((head.readUInt16BE(0) + idOffset) & 0xffff, 0);
  head.writeUInt16BE(flags, 2);
  head.fill(0, 6, 12);
  if ((flags & 0x0200) !== 0) return head;
  head.writeUInt16BE(1, 6);
  return Buffer.concat([head, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, lastByte])]);
}

async function resolver(
  host: string,
  port: number,
  onQuestion: (question: Buffer, reply: (answer: Buffer) => void) => void,
): Promise<number> {
  const socket: DatagramSocket = createSocket('udp4');
  socket.on('message', (question, from) => onQuestion(question, (answer) => socket.send(answer, from.port, from.address)));
  await new Promise<void>((done) => socket.bind(port, host, done));
  closers.push(() => socket.close());
  return socket.address().port;
}

/** Nobody else's ports are in use there, so that one number is free for UDP and TCP. */
const QUIET_HOST = '127.0.53.53';

async function tcpResolver(port: number, answer: (question: Buffer) => Buffer, pieces: number): Promise<void> {
  const server: Server = createServer((socket) => {
    socket.once('data', (data: Buffer) => {
      const body = answer(data.subarray(2));
      const whole = Buffer.concat([Buffer.from([body.length >> 8, body.length & 255]), body]);
      const size = Math.ceil(whole.length / pieces);
      for (let i = 0; i < pieces; i++) setTimeout(() => socket.write(whole.subarray(i * size, (i + 1) * size)), i * 5);
    });
  });
  await new Promise<void>((done) => server.listen(port, QUIET_HOST, done));
  closers.push(() => server.close());
  expect((server.address() as AddressInfo).port).toBe(port);
}

interface Answer {
  readonly bytes: Uint8Array | null;
  readonly message: DnsMessage | null;
}

const make = (port: number, ...resolvers: readonly string[]): Forwarder =>
  new Forwarder({ loop, port, resolvers: resolvers.map((text) => parseAddress(text)!), randomId: () => id++ & 0xffff });

/** Lets the loop and this process's own servers take turns until an answer comes. */
async function ask(forwarder: Forwarder): Promise<Answer> {
  const answers: Answer[] = [];
  forwarder.ask(QUESTION, query, (bytes, message) => answers.push({ bytes, message }));
  for (let i = 0; i < 3_000 && answers.length === 0; i++) {
    loop.step(1e6);
    await new Promise((done) => setImmediate(done));
  }
  if (answers.length !== 1) throw new Error(`${answers.length} answers`);
  return answers[0]!;
}

const lastByteOf = ({ bytes }: Answer): number | undefined => bytes?.at(-1);

describe('the forwarder', () => {
  test('brings the answer of a resolver, and asks with an id of its own', async () => {
    const ids: number[] = [];
    const port = await resolver('127.0.0.1', 0, (question, reply) => {
      ids.push(question.readUInt16BE(0));
      reply(answerTo(question, 1));
    });
    const answer = await ask(make(port, '127.0.0.1'));
    expect(lastByteOf(answer)).toBe(1);
    expect(answer.message?.answers.length).toBe(1);
    expect(ids).toEqual([id - 1]);
  });

  test('ignores what does not answer its question', async () => {
    const port = await resolver('127.0.0.1', 0, (question, reply) => {
      reply(answerTo(question, 66, 0x8180, 1));
      reply(Buffer.from('garbage'));
      reply(answerTo(question, 66, 0x0100));
      const other = Buffer.from(question);
      other[13] = 0x62;
      reply(answerTo(other, 66));
      reply(answerTo(question, 2));
    });
    expect(lastByteOf(await ask(make(port, '127.0.0.1')))).toBe(2);
  });

  test.each([1, 7])('asks again by TCP what was cut, in %i pieces', async (pieces) => {
    const port = await resolver(QUIET_HOST, 0, (question, reply) => reply(answerTo(question, 0, 0x8380)));
    await tcpResolver(port, (question) => answerTo(question, 3), pieces);
    expect(lastByteOf(await ask(make(port, QUIET_HOST)))).toBe(3);
  });

  test('goes on to the next resolver when one fails or is not there', async () => {
    const port = await resolver('127.0.0.1', 0, (question, reply) => reply(answerTo(question, 0, 0x8182)));
    await resolver('127.0.0.3', port, (question, reply) => reply(answerTo(question, 4)));
    expect(lastByteOf(await ask(make(port, '127.0.0.1', '127.0.0.2', '127.0.0.3')))).toBe(4);
  });

  test('gives up in the end', async () => {
    let asked = 0;
    const port = await resolver('127.0.0.1', 0, (question, reply) => {
      asked++;
      reply(answerTo(question, 0, 0x8182));
    });
    expect(await ask(make(port, '127.0.0.1'))).toEqual({ bytes: null, message: null });
    expect(asked).toBe(RESOLVER_ROUNDS);
  });

  test('has so many questions under way and no more', async () => {
    const port = await resolver('127.0.0.1', 0, () => undefined);
    const forwarder = make(port, '127.0.0.1');
    let refused = 0;
    for (let i = 0; i < QUESTIONS_MAX + 3; i++) forwarder.ask(QUESTION, query, () => refused++);
    expect(refused).toBe(3);
  });
});
