/**
 * The network helper of `--net=host`: makes the host's socket for each socket of a guest, gives the sentry a copy and keeps one, on which it does what the
 * sentry may not: everything that names an address or an option (gofer/protocol/host-socket-messages.ts). Bytes do not pass through here, but for
 * datagrams to an address and data with flags.
 *
 *     const server = new HostSocketServer(socket);
 *     server.sayHello(report);  while (server.isOpen) server.serveOne();
 *
 * The sentry is not trusted: it names sockets by handles that were given out here, lengths are checked, and what it may ask for is what an ordinary user of
 * this network may have. No socket blocks, and none lingers when it is closed, so one guest cannot hold up another. A message that is not framed as one
 * ends the helper; one that makes no sense gets an error.
 */
import { EBADF, EFAULT, EINTR, EINVAL, EMFILE, ENFILE, ENOPROTOOPT, ENOSYS, ETOOMANYREFS } from '#sentry/abi/errno.ts';
import { isGetPassed, isSetPassed } from '#sentry/abi/passed-options.ts';
import * as abi from '#sentry/abi/socket.ts';
import { Writer } from '#gofer/protocol/codec.ts';
import { isFramed, messageTag, messageType, writeReplyHeader } from '#gofer/protocol/header.ts';
import * as messages from '#gofer/protocol/host-socket-messages.ts';
import { REPORT_LINE_MAX, REPORT_LINES_MAX } from '#gofer/protocol/limits.ts';
import { REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import { NETWORK_PROTOCOL_VERSION, NetworkHello } from '#gofer/protocol/network-messages.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { close, receive, setsockopt } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { sendMessage } from '#platform/host/messages.ts';
import * as sockets from '#platform/host/sockets.ts';

const REQUEST_ROOM = 2 * 65_536;
const REPLY_AT = REQUEST_ROOM;
const REPLY_ROOM = 65_536;
/** A socklen_t for calls that return an address or a value. */
const LENGTH_AT = REQUEST_ROOM + REPLY_ROOM;
const REPLY_BYTES_AT = REPLY_AT + messages.REPLY_BYTES_AT;

const SOCKET_FLAGS = abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC;
/** Flags of send(2) that may be asked for; never MSG_FASTOPEN, which connects. */
const SEND_FLAGS = abi.MSG_OOB | abi.MSG_DONTROUTE | abi.MSG_CONFIRM | abi.MSG_MORE | abi.MSG_EOR;
const LINGER_SIZE = 8;

export class HostSocketServer {
  isOpen = true;
  private readonly socket: number;
  private readonly memory: HostMemory = allocateMemory(REQUEST_ROOM + REPLY_ROOM + 4096);
  /** Descriptors by handle. Handles only grow, so none means another socket soon after it was closed. */
  private readonly descriptors = new Map<number, number>();
  private lastHandle = 0;

  // The current request.
  private fd = -1;
  private a = 0;
  private b = 0;
  /** Bytes behind the fixed part. */
  private length = 0;
  // Its reply.
  private value = 0;
  private replyLength = 0;
  private donated = -1;

  /** `socket`: to the sentry. */
  constructor(socket: number) {
    this.socket = socket;
  }

  /** `report`: how it is confined. */
  sayHello(report: readonly string[]): void {
    const writer = new Writer();
    writer.begin(this.memory, REPLY_AT + REPLY_HEADER_SIZE, REPLY_AT + REPLY_ROOM);
    const lines = report.slice(0, REPORT_LINES_MAX).map((line) => line.slice(0, REPORT_LINE_MAX));
    NetworkHello.reply.write(writer, { version: NETWORK_PROTOCOL_VERSION, problem: '', report: lines });
    this.send(NetworkHello.type, 0, 0, writer.at - REPLY_AT, -1);
  }

  /** Waits for a request and answers it. */
  serveOne(): void {
    const { memory } = this;
    const received = receive(this.socket, memory.address, messages.HOST_MESSAGE_MAX + 1);
    if (received > messages.HOST_MESSAGE_MAX || received < messages.REQUEST_BYTES_AT || !isFramed(memory, 0, received)) {
      this.isOpen = false;
      return;
    }
    const { view } = memory;
    const type = messageType(memory, 0);
    const handle = view.getUint32(messages.HANDLE_AT, true);
    this.fd = this.descriptors.get(handle) ?? -1;
    this.a = view.getInt32(messages.A_AT, true);
    this.b = view.getInt32(messages.B_AT, true);
    this.length = received - messages.REQUEST_BYTES_AT;
    this.answer(type, handle);
  }

  private answer(type: number, handle: number): void {
    this.value = 0;
    this.replyLength = 0;
    this.donated = -1;
    const result = this.fd < 0 && type !== messages.SOCKET ? -EBADF : this.perform(type, handle);
    const length = messages.REPLY_BYTES_AT + (result < 0 ? 0 : this.replyLength);
    this.memory.view.setUint32(REPLY_AT + messages.VALUE_AT, this.value, true);
    this.send(type, messageTag(this.memory, 0), result < 0 ? -result : 0, length, result < 0 ? -1 : this.donated);
  }

  /** Does what was asked: 0 or -errno. */
  private perform(type: number, handle: number): number {
    switch (type) {
      case messages.SOCKET:
        return this.open();
      case messages.BIND:
        return this.withAddress(sockets.bind);
      case messages.CONNECT:
        return this.withAddress(sockets.connect);
      case messages.LISTEN:
        return sockets.listen(this.fd, this.a);
      case messages.ACCEPT:
        return this.accept();
      case messages.NAME:
        return this.name();
      case messages.SET_OPTION:
        return this.setOption();
      case messages.GET_OPTION:
        return this.getOption();
      case messages.SEND:
        return this.sendData();
      case messages.CLOSE:
        return this.forget(handle);
      default:
        return -ENOSYS;
    }
  }

  private get bytesAddress(): number {
    return this.memory.address + messages.REQUEST_BYTES_AT;
  }

  private open(): number {
    const { a: domain, b: type } = this;
    if (domain !== abi.AF_INET && domain !== abi.AF_INET6) return -EINVAL;
    if (type !== abi.SOCK_STREAM && type !== abi.SOCK_DGRAM) return -EINVAL;
    if (this.descriptors.size >= messages.HOST_SOCKETS_MAX) return -ENFILE;
    return this.keep(sockets.socket(domain, type | SOCKET_FLAGS, 0));
  }

  /** A new descriptor gets a handle and is given away. */
  private keep(fd: number): number {
    if (fd < 0) return fd;
    do this.lastHandle = (this.lastHandle + 1) >>> 0;
    while (this.descriptors.has(this.lastHandle));
    this.value = this.lastHandle;
    this.descriptors.set(this.value, fd);
    this.donated = fd;
    return 0;
  }

  private withAddress(call: (fd: number, addressAt: number, length: number) => number): number {
    return this.length > messages.ADDRESS_MAX ? -EINVAL : call(this.fd, this.bytesAddress, this.length);
  }

  private accept(): number {
    if (this.descriptors.size >= messages.HOST_SOCKETS_MAX) return -ENFILE;
    const fd = this.askAddress((at, lengthAt) => sockets.accept(this.fd, at, lengthAt, SOCKET_FLAGS));
    return this.keep(fd);
  }

  private name(): number {
    const call = this.a === messages.NAME_PEER ? sockets.getpeername : sockets.getsockname;
    return this.askAddress((at, lengthAt) => call(this.fd, at, lengthAt));
  }

  /** A call that stores an address: it becomes the bytes of the reply. */
  private askAddress(call: (at: number, lengthAt: number) => number): number {
    const { memory } = this;
    memory.view.setUint32(LENGTH_AT, messages.ADDRESS_MAX, true);
    const result = call(memory.address + REPLY_BYTES_AT, memory.address + LENGTH_AT);
    if (result >= 0) this.replyLength = Math.min(memory.view.getUint32(LENGTH_AT, true), messages.ADDRESS_MAX);
    return result;
  }

  private setOption(): number {
    const { a: level, b: name, length } = this;
    if (!isSetPassed(level, name)) return -ENOPROTOOPT;
    if (length > messages.OPTION_MAX) return -EINVAL;
    if (level === abi.SOL_SOCKET && name === abi.SO_LINGER && this.lingers()) return -EINVAL;
    return setsockopt(this.fd, level, name, this.bytesAddress, length);
  }

  /** Whether a struct linger would make close(2) wait. */
  private lingers(): boolean {
    const { view } = this.memory;
    const at = messages.REQUEST_BYTES_AT;
    return this.length < LINGER_SIZE || (view.getInt32(at, true) !== 0 && view.getInt32(at + 4, true) !== 0);
  }

  private getOption(): number {
    const { a: level, b: name, length, memory } = this;
    if (!isGetPassed(level, name)) return -ENOPROTOOPT;
    if (length > messages.OPTION_MAX) return -EINVAL;
    memory.view.setUint32(LENGTH_AT, length, true);
    memory.bytes.copyWithin(REPLY_BYTES_AT, messages.REQUEST_BYTES_AT, messages.REQUEST_BYTES_AT + length);
    const result = sockets.getsockopt(this.fd, level, name, memory.address + REPLY_BYTES_AT, memory.address + LENGTH_AT);
    if (result >= 0) this.replyLength = Math.min(memory.view.getUint32(LENGTH_AT, true), length);
    return result;
  }

  private sendData(): number {
    const { a: flags, b: addressLength, length } = this;
    if (addressLength < 0 || addressLength > messages.ADDRESS_MAX || addressLength > length) return -EFAULT;
    const dataAddress = this.bytesAddress + addressLength;
    const sent = sockets.sendto(
      this.fd,
      dataAddress,
      length - addressLength,
      (flags & SEND_FLAGS) | abi.MSG_NOSIGNAL | abi.MSG_DONTWAIT,
      addressLength === 0 ? 0 : this.bytesAddress,
      addressLength,
    );
    if (sent < 0) return sent;
    this.value = sent;
    return 0;
  }

  private forget(handle: number): number {
    this.descriptors.delete(handle);
    close(this.fd);
    return 0;
  }

  private send(type: number, tag: number, errno: number, length: number, fd: number): void {
    writeReplyHeader(this.memory, REPLY_AT, length, type | REPLY, tag, errno);
    for (;;) {
      const sent = sendMessage(this.socket, this.memory, REPLY_AT, length, fd < 0 ? [] : [fd]);
      if (sent === -EINTR) continue;
      // The sentry left too many descriptors lying in the socket (unix(7), ETOOMANYREFS).
      if (sent === -ETOOMANYREFS && fd >= 0) return this.takeBack(type, tag);
      if (sent !== length) this.isOpen = false;
      return;
    }
  }

  private takeBack(type: number, tag: number): void {
    this.fd = this.donated;
    this.forget(this.value);
    this.send(type, tag, EMFILE, messages.REPLY_BYTES_AT, -1);
  }
}
