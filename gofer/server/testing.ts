/**
 * For tests: a server and a client in one process, joined by a socket pair. The client sends, lets the server take one step, and
 * receives; so nothing waits for anything.
 */
import { HEADER_SIZE, Hello, REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import type { Message } from '#gofer/protocol/messages.ts';
import { Reader, Writer } from '#gofer/protocol/codec.ts';
import { isReplyTo, replyErrno, writeHeader } from '#gofer/protocol/header.ts';
import { MESSAGE_MAX } from '#gofer/protocol/limits.ts';
import { close } from '#platform/host/files.ts';
import { socketpair } from '#platform/host/libc.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { received, receiveMessage, sendMessage } from '#platform/host/messages.ts';
import type { IdMap } from './id-map.ts';
import { openRoots } from './roots.ts';
import { Connection } from './serve.ts';
import { Server } from './server.ts';
import { openWatches } from './watch.ts';
import type { MountConfig } from './config.ts';

const AF_UNIX = 1;
const SOCK_SEQPACKET_CLOEXEC = 5 | 0o2000000;

export interface Answer<P> {
  readonly errno: number;
  readonly body: P;
  /** The donated descriptor, or -1. */
  readonly fd: number;
  /** All of them. */
  readonly fds: readonly number[];
}

/** The body of an error reply is not there: asking for it is a mistake of the test. */
const NO_BODY: unknown = new Proxy(
  {},
  {
    get: (_, key) => {
      throw new Error(`an error reply has no ${String(key)}`);
    },
  },
);

export class TestGofer {
  readonly server: Server;
  readonly connection: Connection;
  readonly socket: number;
  readonly memory = allocateMemory(2 * 65_536);
  private readonly serverSocket: number;
  private readonly descriptors = new Int32Array(8);
  private tag = 0;

  constructor(mounts: readonly MountConfig[], fids = 64, ids: IdMap | null = null) {
    const opened = openRoots(mounts);
    if (!('roots' in opened)) throw new Error(`cannot open ${opened.path}: errno ${opened.errno}`);
    socketpair(AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0, this.memory.address);
    this.socket = this.memory.view.getInt32(0, true);
    this.serverSocket = this.memory.view.getInt32(4, true);
    const uid = process.geteuid!();
    process.umask(0); // as a gofer does
    this.server = new Server({
      ...opened,
      fids,
      mayChown: uid === 0,
      uid,
      users: ids,
      groups: ids,
      watches: openWatches(),
      selfPrefix: '/proc/self/fd/',
    });
    this.connection = new Connection(this.server, this.serverSocket);
    this.connection.sayHello(['for tests']);
  }

  hello(): ReturnType<typeof Hello.reply.read> {
    const { body, fds } = this.takeReply(Hello, 0);
    for (const fd of fds) close(fd);
    return body;
  }

  /** The descriptors that came with it, the caller's now. */
  helloWithDescriptors(): readonly number[] {
    return this.takeReply(Hello, 0).fds;
  }

  /** One request and its reply. */
  ask<Q, P>(message: Message<Q, P>, request: Q): Answer<P> {
    this.post(message, request);
    this.connection.serveOne();
    return this.takeReply(message, this.tag);
  }

  post<Q, P>(message: Message<Q, P>, request: Q): void {
    const writer = new Writer();
    writer.begin(this.memory, HEADER_SIZE, MESSAGE_MAX);
    message.request.write(writer, request);
    if (writer.overflow) throw new Error('request too long');
    this.tag = (this.tag + 1) & 0xffff;
    writeHeader(this.memory, 0, writer.at, message.type, this.tag);
    sendMessage(this.socket, this.memory, 0, writer.at, []);
  }

  /** Sends bytes as they are; whether the server goes on serving. */
  postRaw(bytes: Uint8Array): boolean {
    this.memory.bytes.set(bytes, 0);
    sendMessage(this.socket, this.memory, 0, bytes.length, []);
    return this.connection.serveOne();
  }

  /** Takes whatever reply lies in the socket: its length, or -errno. Donated descriptors are closed. */
  drain(): number {
    const length = receiveMessage(this.socket, this.memory, 65_536, 65_536, this.descriptors, 0).length;
    const count = length < 0 ? 0 : received.descriptors;
    for (let i = 0; i < count; i++) close(this.descriptors[i]!);
    return length;
  }

  private takeReply<Q, P>(message: Message<Q, P>, tag: number): Answer<P> {
    const at = 65_536;
    const { length } = receiveMessage(this.socket, this.memory, at, 65_536, this.descriptors, 1_000);
    if (!isReplyTo(this.memory, at, length, message.type | REPLY, tag)) throw new Error(`no reply to ${message.name}: ${length}`);
    const fds = Array.from(this.descriptors.subarray(0, received.descriptors));
    const fd = fds[0] ?? -1;
    const errno = replyErrno(this.memory, at);
    if (errno !== 0) return { errno, body: NO_BODY as P, fd, fds };
    const reader = new Reader();
    reader.begin(this.memory, at + REPLY_HEADER_SIZE, length - REPLY_HEADER_SIZE);
    const body = message.reply.read(reader);
    if (!reader.complete) throw new Error(`malformed reply to ${message.name}`);
    return { errno, body, fd, fds };
  }

  close(): void {
    this.server.table.releaseAll();
    for (const root of this.server.roots) close(root.fd);
    close(this.server.selfFd);
    if (this.server.watches >= 0) close(this.server.watches);
    close(this.socket);
    close(this.serverSocket);
  }
}
