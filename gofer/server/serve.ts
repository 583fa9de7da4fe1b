/**
 * The gofer's loop: receive a message, do what it says, reply; until the sentry closes its end.
 *
 * The sentry is not trusted. A datagram that is not framed as a message, or is too long, ends the connection. A message whose body does
 * not decode, or of unknown type, gets an error reply. Requests are served in their order and wait in the socket; a sentry that asks without
 * taking replies blocks itself, and after SEND_TIMEOUT_S the gofer gives up.
 */
import { E2BIG, EINTR, EMFILE, ENOSYS, EPROTO, ETOOMANYREFS } from '#sentry/abi/errno.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import { Reader, Writer } from '#gofer/protocol/codec.ts';
import type { WireField } from '#gofer/protocol/codec.ts';
import { isFramed, messageTag, messageType, writeReplyHeader } from '#gofer/protocol/header.ts';
import { MESSAGE_MAX, REPORT_LINE_MAX, REPORT_LINES_MAX } from '#gofer/protocol/limits.ts';
import * as messages from '#gofer/protocol/messages.ts';
import { HEADER_SIZE, Hello, PROTOCOL_VERSION, Release, REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import type { Message } from '#gofer/protocol/messages.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { receive, setsockopt } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { sendMessage } from '#platform/host/messages.ts';
import { create, fsync, link, mkdir, mknod, rename, setAttributes, symlink, tmpfile, unlink } from './change.ts';
import { readdir } from './directory.ts';
import { fetch } from './fetch.ts';
import type { Server } from './server.ts';
import { tree } from './tree.ts';
import { attach, getAttributes, makeReadOnly, open, readlink, statfs, walk } from './walk.ts';
import { watch } from './watch.ts';
import { getxattr, listxattr, removexattr, setxattr } from './xattr.ts';

/** Does what a decoded request says and writes the body of the reply. Returns 0 or -errno; then the body is dropped. */
type Run<Q> = (server: Server, request: Q, reply: Writer) => number;

interface Operation {
  readonly request: WireField<unknown>;
  readonly run: Run<never>;
}

const operations: Operation[] = [];

function serveBy<Q, P>(message: Message<Q, P>, run: Run<Q>): void {
  operations[message.type] = { request: message.request, run };
}

serveBy(messages.Attach, attach);
serveBy(messages.Walk, walk);
serveBy(messages.GetAttributes, getAttributes);
serveBy(messages.Open, open);
serveBy(messages.Create, create);
serveBy(messages.Mkdir, mkdir);
serveBy(messages.Symlink, symlink);
serveBy(messages.Link, link);
serveBy(messages.Mknod, mknod);
serveBy(messages.Unlink, unlink);
serveBy(messages.Rename, rename);
serveBy(messages.Readlink, readlink);
serveBy(messages.SetAttributes, setAttributes);
serveBy(messages.Statfs, statfs);
serveBy(messages.Readdir, readdir);
serveBy(messages.Getxattr, getxattr);
serveBy(messages.Setxattr, setxattr);
serveBy(messages.Listxattr, listxattr);
serveBy(messages.Removexattr, removexattr);
serveBy(messages.Fsync, fsync);
serveBy(messages.Tree, tree);
serveBy(messages.Fetch, fetch);
serveBy(messages.MakeReadOnly, makeReadOnly);
serveBy(messages.Tmpfile, tmpfile);
serveBy(messages.Watch, watch);

/** Requests begin here in the connection's memory, replies there. */
const REQUEST = 0;
const REPLY_AT = 65_536;
const TIMEOUT = 2 * 65_536;
const SEND_TIMEOUT_S = 30;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;

const SO_SNDBUF = 7;

/**
 * Makes room for the replies to all requests that a sentry may have under way (three, and the one that it waits for), so that the gofer does not wait
 * for it to take them. To be called before the confinement, which allows only the time limit to be set.
 */
export function enlargeSendBuffer(socket: number): void {
  const memory = allocateMemory(16);
  memory.view.setInt32(0, 4 * MESSAGE_MAX, true);
  // Without it the default, which is as large where nobody changed it, has to do.
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, memory.address, 4);
}

export class Connection {
  private readonly server: Server;
  private readonly socket: number;
  private readonly memory: HostMemory;
  private readonly reader = new Reader();
  private readonly writer = new Writer();

  constructor(server: Server, socket: number) {
    this.server = server;
    this.socket = socket;
    this.memory = allocateMemory(TIMEOUT + 16);
    putI64(this.memory.view, TIMEOUT, SEND_TIMEOUT_S);
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, this.memory.address + TIMEOUT, 16);
  }

  /** Says hello and serves until the other side is gone or misbehaves. */
  run(report: readonly string[]): void {
    if (!this.sayHello(report)) return;
    while (this.serveOne());
  }

  sayHello(report: readonly string[]): boolean {
    const lines = report.slice(0, REPORT_LINES_MAX).map((line) => line.slice(0, REPORT_LINE_MAX));
    const { window, watches } = this.server;
    this.beginReply();
    Hello.reply.write(this.writer, {
      version: PROTOCOL_VERSION,
      fids: this.server.table.size,
      mounts: this.server.roots.length,
      window: window?.size ?? 0,
      watches: watches < 0 ? 0 : 1,
      report: lines,
    });
    if (window !== null) this.server.donate(window.fd);
    if (watches >= 0) this.server.donate(watches);
    const sent = this.sendReply(Hello.type, 0, 0);
    // The instance stays open here, too.
    if (watches >= 0) this.server.donated.pop();
    this.server.settle();
    return sent;
  }

  /** One request. False ends the connection. */
  serveOne(): boolean {
    const { memory, server } = this;
    const received = receive(this.socket, memory.address + REQUEST, MESSAGE_MAX + 1);
    if (received > MESSAGE_MAX || received < 0 || !isFramed(memory, REQUEST, received)) return false;
    const type = messageType(memory, REQUEST);
    const tag = messageTag(memory, REQUEST);
    this.reader.begin(memory, REQUEST + HEADER_SIZE, received - HEADER_SIZE);
    if (type === Release.type) return this.release();
    this.beginReply();
    const result = this.perform(operations[type]);
    const sent = this.sendReply(type, tag, this.writer.overflow ? E2BIG : -result);
    server.settle();
    return sent;
  }

  private perform(operation: Operation | undefined): number {
    if (operation === undefined) return -ENOSYS;
    const request = operation.request.read(this.reader);
    return this.reader.complete ? operation.run(this.server, request as never, this.writer) : -EPROTO;
  }

  /** The only message without a reply; so a malformed one ends the connection. */
  private release(): boolean {
    const { fids } = Release.request.read(this.reader);
    if (!this.reader.complete) return false;
    for (const fid of fids) this.server.table.release(fid);
    return true;
  }

  private beginReply(): void {
    this.writer.begin(this.memory, REPLY_AT + REPLY_HEADER_SIZE, REPLY_AT + MESSAGE_MAX);
  }

  private sendReply(type: number, tag: number, errno: number): boolean {
    const { memory, server } = this;
    const length = errno === 0 ? this.writer.at - REPLY_AT : REPLY_HEADER_SIZE;
    writeReplyHeader(memory, REPLY_AT, length, type | REPLY, tag, errno);
    const passed = errno === 0 ? server.donated : [];
    for (;;) {
      const sent = sendMessage(this.socket, memory, REPLY_AT, length, passed);
      if (sent === -EINTR) continue;
      // The sentry left too many descriptors lying in the socket (unix(7), ETOOMANYREFS).
      if (sent === -ETOOMANYREFS && passed.length > 0) return this.sendReply(type, tag, EMFILE);
      return sent === length;
    }
  }
}
