/**
 * A socket of a guest that is one of the host's stack (`--net=host`). The sentry has a descriptor of it, on which it reads, writes, polls and shuts down; the
 * network helper has another of the same socket, on which it does what names an address or an option (socket-helper.ts). State is the host's: nothing
 * is kept here that the host can be asked for.
 *
 *     HostSocket ── HostStreamSocket      TCP
 *                └─ HostDatagramSocket    UDP
 *
 * The descriptor never blocks. `SocketQueue` has it watched while a guest waits.
 */
import { EACCES, EFAULT, EINVAL, ENODEV, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { POLLPRI, POLLRDBAND, POLLRDHUP, POLLWRBAND, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { SIOCATMARK, SOL_IP, SOL_IPV6, SOL_UDP } from '#sentry/abi/inet.ts';
import { isGetPassed, isSetPassed } from '#sentry/abi/passed-options.ts';
import * as abi from '#sentry/abi/socket.ts';
import * as messages from '#gofer/protocol/host-socket-messages.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import type { NetworkSettings } from '../../netstack/settings.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { HostEvents } from '../host-file/host-events.ts';
import { mayBindPort } from '../inet/ports.ts';
import { Socket } from '../socket/socket.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { OptionValue } from '../socket/option-table.ts';
import { SOCKET_LEVEL } from '../socket/socket-level.ts';
import type { Outgoing } from '../socket/transfer.ts';
import { BYTES_AT } from './socket-helper.ts';
import type { SocketHelper } from './socket-helper.ts';
import { SocketQueue } from './socket-queue.ts';

/** What all these sockets of a sandbox share. */
export interface HostSocketDomain {
  readonly host: Host;
  readonly events: HostEvents;
  readonly files: AnonymousFiles;
  readonly helper: SocketHelper;
  readonly settings: NetworkSettings;
  /** Valid within one call. */
  readonly staging: HostMemory;
}

/** One end of the host's socket each, of the sentry and of the helper. */
export interface HostSocketEnds {
  readonly fd: HostFd;
  readonly handle: number;
}

const POLLED = READABLE | WRITABLE | POLLPRI | POLLRDBAND | POLLWRBAND | POLLRDHUP;
/** sa_family and the port: so much of an address has a port. */
const PORT_END = 4;
/** Options of SOL_SOCKET that are the sentry's to answer; everything that makes a guest wait, and what only names the socket. */
const OWN_OPTIONS: ReadonlySet<number> = new Set([
  abi.SO_TYPE,
  abi.SO_DOMAIN,
  abi.SO_PROTOCOL,
  abi.SO_ERROR,
  abi.SO_RCVTIMEO,
  abi.SO_SNDTIMEO,
  abi.SO_PEERNAME,
  abi.SO_COOKIE,
  abi.SO_LINGER,
  abi.SO_RCVLOWAT,
]);
/** Flags of sending that the helper has to see to: the sentry's descriptor takes none. */
export const FLAGS_OF_HELPER: number = abi.MSG_OOB | abi.MSG_DONTROUTE | abi.MSG_CONFIRM | abi.MSG_MORE;

export abstract class HostSocket extends Socket {
  override readonly queue: SocketQueue;
  protected readonly shared: HostSocketDomain;
  protected readonly fd: HostFd;
  protected readonly handle: number;

  constructor(
    shared: HostSocketDomain,
    ends: HostSocketEnds,
    domain: number,
    type: number,
    protocol: number,
    flags: number,
    caller: Caller,
  ) {
    super(shared.files, domain, type, protocol, flags, caller);
    this.shared = shared;
    this.fd = ends.fd;
    this.handle = ends.handle;
    this.queue = new SocketQueue(shared.events, ends.fd);
    this.waitQueue = this.queue;
  }

  override get isInternet(): boolean {
    return true;
  }

  override get hasOwnSocketLevel(): boolean {
    return true;
  }

  /** Asks the helper to do something to the socket: 0 or -errno. */
  protected change(type: number, a: number, text: string): number {
    return this.shared.helper.ask(type, this.handle, a, 0, text);
  }

  // Names and connections.
  override bind(address: string, caller: SocketCaller): number {
    const port = (address.charCodeAt(2) << 8) | address.charCodeAt(3);
    // The helper may have a right that this caller has not.
    if (address.length >= PORT_END && !mayBindPort(this.shared.settings, port, caller)) return -EACCES;
    return this.change(messages.BIND, 0, address);
  }

  override connect(address: string): number {
    return this.change(messages.CONNECT, 0, address);
  }

  override shutdown(how: number): number {
    if (how < 0 || how > 2) return -EINVAL;
    return this.shared.host.shutdown(this.fd, how);
  }

  override localAddress(): string {
    const { helper } = this.shared;
    return helper.ask(messages.NAME, this.handle, messages.NAME_OWN, 0, '') < 0 ? '' : helper.bytes;
  }

  override peerAddress(): string | number {
    const { helper } = this.shared;
    return helper.ask(messages.NAME, this.handle, messages.NAME_PEER, 0, '') < 0 ? -ENOTCONN : helper.bytes;
  }

  // Data.
  /** At most `length` bytes of `io`, with an address or flags: bytes sent or -errno. */
  protected sendByHelper(io: Io, length: number, address: string, flags: number): number {
    const { helper } = this.shared;
    const at = helper.memory.writeLatin1(address, BYTES_AT);
    const taken = length === 0 ? 0 : io.take(helper.memory, BYTES_AT + at, length);
    if (taken < 0) return taken;
    const result = this.keepsBoundaries && taken < length ? -EFAULT : helper.post(messages.SEND, this.handle, flags, at, at + taken);
    const sent = result < 0 ? 0 : helper.value;
    if (sent < taken) this.refused(io, taken - sent);
    return result < 0 ? result : sent;
  }

  /** The last `bytes` taken from `io` did not go. */
  protected refused(io: Io, bytes: number): void {
    io.giveBack?.(bytes);
  }

  /** Control messages that say something of packets are not carried: they are refused rather than lost. */
  override takeControl(level: number, type: number, _view: DataView, _at: number, _length: number, _into: Outgoing): number {
    if (level === abi.SOL_SOCKET) return type === abi.SCM_RIGHTS || type === abi.SCM_CREDENTIALS ? 0 : -EINVAL;
    return level === SOL_IP || level === SOL_IPV6 || level === SOL_UDP ? -EINVAL : 0;
  }

  // Options.
  override setOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    if (level === abi.SOL_SOCKET && OWN_OPTIONS.has(name)) {
      const kept = SOCKET_LEVEL.set(this, name, value, caller);
      if (kept < 0 || !isSetPassed(level, name)) return kept;
      return name === abi.SO_LINGER ? this.passLinger() : this.passOn(level, name, value);
    }
    if (!this.hasLevel(level) || !isSetPassed(level, name)) return -ENOPROTOOPT;
    return this.passOn(level, name, value);
  }

  /** Linux: close waits with SO_LINGER. Here it does not, for the helper must not: the host is told to send a reset, or to take leave in its own time. */
  private passLinger(): number {
    const { helper } = this.shared;
    const resets = this.options.lingerOn !== 0 && this.options.lingerSeconds === 0;
    helper.memory.view.setInt32(BYTES_AT, resets ? 1 : 0, true);
    helper.memory.view.setInt32(BYTES_AT + 4, 0, true);
    return helper.post(messages.SET_OPTION, this.handle, abi.SOL_SOCKET, abi.SO_LINGER, 8);
  }

  private passOn(level: number, name: number, value: OptionValue): number {
    const { helper } = this.shared;
    const length = Math.min(value.length, messages.OPTION_MAX);
    helper.memory.bytes.set(value.memory.bytes.subarray(0, length), BYTES_AT);
    return helper.post(messages.SET_OPTION, this.handle, level, name, length);
  }

  override getOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    if (level === abi.SOL_SOCKET && OWN_OPTIONS.has(name)) return SOCKET_LEVEL.get(this, name, value, caller);
    // Linux: a level that is not there is another error for reading than for setting.
    if (!this.hasLevel(level)) return -EOPNOTSUPP;
    if (!isGetPassed(level, name)) return -ENOPROTOOPT;
    const { helper } = this.shared;
    const length = Math.min(value.length, messages.OPTION_MAX);
    helper.memory.bytes.set(value.memory.bytes.subarray(0, length), BYTES_AT);
    const result = helper.post(messages.GET_OPTION, this.handle, level, name, length);
    if (result < 0) return result;
    const { bytesAt, bytesLength } = helper;
    value.memory.bytes.set(helper.memory.bytes.subarray(bytesAt, bytesAt + bytesLength), 0);
    return bytesLength;
  }

  private hasLevel(level: number): boolean {
    if (level === SOL_IPV6) return this.domain === abi.AF_INET6;
    return level === abi.SOL_SOCKET || level === SOL_IP || level === this.protocol;
  }

  override takeError(): number {
    return Math.max(0, this.shared.host.socketError(this.fd));
  }

  override interfaceIndex(): number {
    return -ENODEV;
  }

  // Readiness.
  override poll(): number {
    // Before the host is asked: what becomes ready in between is told.
    this.queue.update();
    const events = this.shared.host.poll(this.fd, POLLED);
    return events < 0 ? READABLE | WRITABLE : events;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    if (request !== abi.FIONREAD && request !== abi.SIOCOUTQ && request !== SIOCATMARK) return super.ioctl(request, argument, caller);
    const { host, staging } = this.shared;
    const result = host.ioctl(this.fd, request, staging, 0);
    if (result < 0) return result;
    const here = request === abi.FIONREAD ? this.unreadHere : 0;
    return guestOf(caller).memory.storeU32(argument, staging.view.getInt32(0, true) + here);
  }

  /** Bytes that were read from the host and that the guest has not got. */
  protected get unreadHere(): number {
    return 0;
  }

  protected override destroy(): void {
    super.destroy();
    this.queue.close();
    this.shared.host.close(this.fd);
    this.shared.helper.forget(this.handle);
  }
}
