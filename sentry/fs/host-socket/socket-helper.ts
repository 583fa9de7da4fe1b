/**
 * The sentry's end of the socket to the network helper that keeps the guests' sockets (gofer/protocol/host-socket-messages.ts). A question is answered at
 * once, for no socket there blocks: the kernel waits for it as it waits for the gofer.
 *
 *     const helper = new SocketHelper({ host, socket, onLost });  helper.awaitHello();
 *     helper.ask(BIND, handle, 0, 0, address)            0 or -errno; then helper.value, helper.bytes, helper.descriptor
 *     helper.begin(…); io.take(helper.memory, …); helper.post(SEND, …)     with bytes that need not become a string
 *
 * The helper is trusted as the gofer is: what is no answer to the question means that it is not the helper we know, and ends the sandbox, as does its end.
 */
import { EMFILE, EPROTO } from '#sentry/abi/errno.ts';
import { Reader } from '#gofer/protocol/codec.ts';
import type { ValueOf } from '#gofer/protocol/codec.ts';
import { isReplyTo, messageType, replyErrno, writeHeader } from '#gofer/protocol/header.ts';
import * as messages from '#gofer/protocol/host-socket-messages.ts';
import { REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import { NETWORK_PROTOCOL_VERSION, NetworkHello } from '#gofer/protocol/network-messages.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';

export interface SocketHelperSetup {
  readonly host: Pick<Host, 'allocate' | 'send' | 'receive' | 'receivedDescriptors' | 'close'>;
  readonly socket: HostFd;
  /** Ends the sandbox. */
  readonly onLost: (reason: string) => void;
}

const REPLY_AT = 2 * 65_536;
const REPLY_ROOM = 65_536;
const TIMEOUT_MS = 30_000;
/** Where bytes of a request begin in `memory`. */
export const BYTES_AT = messages.REQUEST_BYTES_AT;

export class SocketHelper {
  readonly memory: HostMemory;
  /** Of the last answer: a number, where its bytes begin in `memory` and how many there are, a descriptor that is now the caller's (-1: none). */
  value = 0;
  readonly bytesAt: number = REPLY_AT + messages.REPLY_BYTES_AT;
  bytesLength = 0;
  descriptor: HostFd = -1;
  private readonly setup: SocketHelperSetup;
  private readonly descriptors = new Int32Array(1);
  private tag = 0;

  constructor(setup: SocketHelperSetup) {
    this.setup = setup;
    this.memory = setup.host.allocate(REPLY_AT + REPLY_ROOM);
  }

  /** Waits for the helper to be ready. What it says of itself, or null: it did not start. */
  awaitHello(): ValueOf<typeof NetworkHello.reply> | null {
    const length = this.receive();
    if (length < REPLY_HEADER_SIZE || messageType(this.memory, REPLY_AT) !== (NetworkHello.type | REPLY)) return null;
    const reader = new Reader();
    reader.begin(this.memory, REPLY_AT + REPLY_HEADER_SIZE, length - REPLY_HEADER_SIZE);
    const hello = NetworkHello.reply.read(reader);
    return reader.complete && hello.version === NETWORK_PROTOCOL_VERSION ? hello : null;
  }

  /** Asks, with `text` as the bytes: 0 or -errno. */
  ask(type: number, handle: number, a: number, b: number, text: string): number {
    return this.post(type, handle, a, b, this.memory.writeLatin1(text, BYTES_AT));
  }

  /** The same with `length` bytes that lie at BYTES_AT of `memory` already. */
  post(type: number, handle: number, a: number, b: number, length: number): number {
    this.tag = (this.tag + 1) & 0xffff;
    this.value = 0;
    this.bytesLength = 0;
    this.descriptor = -1;
    if (!this.write(type, handle, a, b, length)) return -EPROTO;
    return this.takeReply(type, this.receive());
  }

  /** The guest is done with the socket. Waited for, too: afterwards its port is free and its peer is being told. */
  forget(handle: number): void {
    this.post(messages.CLOSE, handle, 0, 0, 0);
  }

  /** The bytes of the last answer. */
  get bytes(): string {
    return this.memory.latin1(this.bytesAt, this.bytesAt + this.bytesLength);
  }

  /** A new socket of the last answer: its descriptor, or -EMFILE when the process may have no more of them. */
  takeDescriptor(): HostFd | number {
    if (this.descriptor < 0) this.forget(this.value);
    return this.descriptor < 0 ? -EMFILE : this.descriptor;
  }

  private write(type: number, handle: number, a: number, b: number, length: number): boolean {
    const { memory, setup } = this;
    const size = messages.REQUEST_BYTES_AT + length;
    writeHeader(memory, 0, size, type, this.tag);
    memory.view.setUint32(messages.HANDLE_AT, handle, true);
    memory.view.setInt32(messages.A_AT, a, true);
    memory.view.setInt32(messages.B_AT, b, true);
    if (setup.host.send(setup.socket, memory, 0, size) === size) return true;
    setup.onLost('it cannot be reached');
    return false;
  }

  private receive(): number {
    const { host, socket } = this.setup;
    return host.receive(socket, this.memory, REPLY_AT, REPLY_ROOM, this.descriptors, TIMEOUT_MS);
  }

  private takeReply(type: number, length: number): number {
    const { memory, setup } = this;
    if (length < messages.REPLY_BYTES_AT || !isReplyTo(memory, REPLY_AT, length, type | REPLY, this.tag)) {
      setup.onLost(length <= 0 ? 'it ended or does not answer' : 'it does not speak our language');
      return -EPROTO;
    }
    this.descriptor = setup.host.receivedDescriptors > 0 ? this.descriptors[0]! : -1;
    this.value = memory.view.getUint32(REPLY_AT + messages.VALUE_AT, true);
    this.bytesLength = length - messages.REPLY_BYTES_AT;
    const errno = replyErrno(memory, REPLY_AT);
    return errno === 0 ? 0 : -errno;
  }
}
