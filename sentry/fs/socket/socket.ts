/**
 * A socket of any family: the operations system calls need, with the answers of a family that lacks them, and the options of SOL_SOCKET.
 *
 * Addresses are the bytes of a sockaddr as a latin1 string. Like other files a socket never blocks: an operation that has to wait returns
 * -EAGAIN, and `waitQueue` says where news will come (the socket's own queue, unless the operation waits for somebody else's).
 *
 * Another family is a class derived from this one and a `SocketFamily` in the registry.
 */
import { EAFNOSUPPORT, EAGAIN, EINVAL, ENODEV, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { O_NONBLOCK, O_RDWR } from '#sentry/abi/fs.ts';
import { SO_ATTACH_FILTER, SOL_SOCKET } from '#sentry/abi/socket.ts';
import type { PacketFilter } from '../../bpf/packet-filter.ts';
import type { WaitQueue } from '../../lib/wait-queue.ts';
import type { Io } from '../../mm/io.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { VfsCaller } from '../../vfs/walk.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { FILTER_INSTRUCTIONS_MAX, SOCKET_BUFFER_DEFAULT } from '../anonymous/limits.ts';
import type { OptionValue } from './option-table.ts';
import { Incoming, Outgoing } from './transfer.ts';

const S_IFSOCK = 0o140000;

/** Who calls, as sockets need to know it. The kernel's task satisfies it. */
export interface SocketCaller extends VfsCaller {
  readonly group: { readonly pid: number };
  /** comm. */
  readonly name: string;
  /** The caller's PID namespace. Sockets keep numbers that mean the same in all of them: `global`. */
  readonly pids: { global(pid: number): number; local(global: number): number };
}

export function socketCaller(caller: Caller): SocketCaller {
  return caller.task as SocketCaller;
}

/** Identity that SO_PEERCRED reports. */
export interface PeerCredentials {
  /** Global. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Options every socket has; families that give one a meaning look here. */
export class SocketOptions {
  sendBuffer = SOCKET_BUFFER_DEFAULT;
  receiveBuffer = SOCKET_BUFFER_DEFAULT;
  passCredentials = false;
  /** Infinity: wait for ever. */
  receiveTimeoutNs = Infinity;
  sendTimeoutNs = Infinity;
  receiveLowWater = 1;
  lingerOn = 0;
  lingerSeconds = 0;
  priority = 0;
  mark = 0;
  busyPollMicros = 0;
  /** SO_BINDTODEVICE: index of an interface, 0 none. */
  boundInterface = 0;
  /** SO_ATTACH_FILTER; set by `Socket.setFilter`. */
  filter: PacketFilter | null = null;
  /** Those that are on or off, by option number: SO_REUSEADDR, SO_KEEPALIVE … */
  readonly switches = new Map<number, number>();

  /** An accepted connection has its listener's options, but buffers of its own. */
  inherit(from: SocketOptions): void {
    this.receiveTimeoutNs = from.receiveTimeoutNs;
    this.sendTimeoutNs = from.sendTimeoutNs;
    this.receiveLowWater = from.receiveLowWater;
    this.lingerOn = from.lingerOn;
    this.lingerSeconds = from.lingerSeconds;
    this.priority = from.priority;
    this.mark = from.mark;
    this.busyPollMicros = from.busyPollMicros;
    this.boundInterface = from.boundInterface;
    for (const [option, on] of from.switches) this.switches.set(option, on);
  }
}

export abstract class Socket extends FileDescription {
  readonly domain: number;
  readonly type: number;
  readonly protocol: number;
  readonly options = new SocketOptions();
  /** Pending SO_ERROR, positive. */
  error = 0;
  /** Where to wait after the last -EAGAIN. */
  waitQueue: WaitQueue = this.queue;
  protected readonly files: AnonymousFiles;

  /** `flags`: O_NONBLOCK. */
  constructor(files: AnonymousFiles, domain: number, type: number, protocol: number, flags: number, caller: Caller) {
    super(files.sockfs.dentry('socket', S_IFSOCK | 0o777, caller), null, O_RDWR | (flags & O_NONBLOCK));
    this.files = files;
    this.domain = domain;
    this.type = type;
    this.protocol = protocol;
  }

  bind(_address: string, _caller: SocketCaller): number {
    return -EOPNOTSUPP;
  }
  listen(_backlog: number, _caller: SocketCaller): number {
    return -EOPNOTSUPP;
  }
  /** 0, -EAGAIN when it has to wait for the other side, or -errno. */
  connect(_address: string, _caller: SocketCaller): number {
    return -EOPNOTSUPP;
  }
  /** The next connection, with one reference; -EAGAIN when there is none yet. `flags`: O_NONBLOCK of the new file. */
  accept(_flags: number, _caller: SocketCaller): Socket | number {
    return -EOPNOTSUPP;
  }
  /** SHUT_RD, SHUT_WR or SHUT_RDWR. */
  shutdown(_how: number): number {
    return -EOPNOTSUPP;
  }
  abstract localAddress(): string;
  /** -ENOTCONN without a peer. */
  abstract peerAddress(): string | number;
  /** Sends as much of `io` as fits. `flags`: MSG_*. */
  abstract send(io: Io, message: Outgoing, flags: number, caller: SocketCaller): number;
  /** Receives; fills `into`. */
  abstract receive(io: Io, into: Incoming, flags: number, caller: SocketCaller): number;

  get isListening(): boolean {
    return false;
  }
  /** Whether messages keep their boundaries. */
  abstract get keepsBoundaries(): boolean;
  /** SO_PEERCRED. */
  get peerCredentials(): PeerCredentials | null {
    return null;
  }
  /** An option of one of the family's own levels: 0 or -errno. */
  setOption(_level: number, _name: number, _value: OptionValue, _caller: SocketCaller): number {
    return -EOPNOTSUPP;
  }
  /** Stores the option in `value`: its size or -errno. */
  getOption(_level: number, _name: number, _value: OptionValue, _caller: SocketCaller): number {
    return -EOPNOTSUPP;
  }
  /** Whether `setOption` and `getOption` are asked for SOL_SOCKET, too, instead of the table that all sockets share. */
  get hasOwnSocketLevel(): boolean {
    return false;
  }
  /** An option of SOL_SOCKET has a new value in `options`. */
  optionChanged(_name: number): void {}
  /** Brings `options` up to date before SOL_SOCKET is read. */
  refreshOptions(): void {}
  /** Whether it is of AF_INET or AF_INET6. */
  get isInternet(): boolean {
    return false;
  }
  /** For SO_BINDTODEVICE. -ENODEV: there is none of that name. */
  interfaceIndex(_name: string): number {
    return -ENODEV;
  }
  interfaceName(_index: number): string | null {
    return null;
  }
  /** Bytes that wait to be read, and that were written and not yet consumed by the other side. */
  get receiveQueued(): number {
    return 0;
  }
  get sendQueued(): number {
    return 0;
  }

  /** A control message of sendmsg(2), `length` bytes at `at` of `view`: kept in `into`. 0 or -errno. SOL_SOCKET's files and credentials do not come here. */
  takeControl(level: number, _type: number, _view: DataView, _at: number, _length: number, _into: Outgoing, _caller: SocketCaller): number {
    return level === SOL_SOCKET ? -EINVAL : 0;
  }
  /** recvmsg(2) with MSG_ERRQUEUE. */
  receiveError(_io: Io, _into: Incoming, _flags: number): number {
    return -EAGAIN;
  }

  override get writesWhole(): boolean {
    return !this.keepsBoundaries;
  }

  /** Linux: sockets with message boundaries do not. */
  override get signalsBrokenPipe(): boolean {
    return !this.keepsBoundaries;
  }
  override get readTimeoutNs(): number {
    return this.options.receiveTimeoutNs;
  }
  override get writeTimeoutNs(): number {
    return this.options.sendTimeoutNs;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    return this.files.interfaceIoctl(request, argument, caller);
  }

  override read(io: Io, _position: number, caller: Caller): number {
    // Linux: sock_read_iter, as System V did it; recv(2) of nothing asks the socket.
    if (io.remaining === 0) return 0;
    plainIncoming.reset();
    const n = this.receive(io, plainIncoming, 0, socketCaller(caller));
    releaseRights(plainIncoming.rights); // read(2) cannot take descriptors: they are lost
    return n;
  }

  override write(io: Io, _position: number, caller: Caller): number {
    const sender = socketCaller(caller);
    plainOutgoing.reset();
    plainOutgoing.pid = sender.pids.global(sender.group.pid);
    plainOutgoing.uid = sender.credentials.uid;
    plainOutgoing.gid = sender.credentials.gid;
    return this.send(io, plainOutgoing, 0, sender);
  }

  /** SO_ERROR: the pending error, forgotten by asking. */
  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  /** Another filter, or none. All of a sandbox are counted together. */
  setFilter(filter: PacketFilter | null): void {
    const { options } = this;
    this.files.filterInstructions += (filter?.length ?? 0) - (options.filter?.length ?? 0);
    options.filter = filter;
    this.optionChanged(SO_ATTACH_FILTER);
  }

  /** Whether a filter of so many instructions more may be kept. */
  mayKeepFilter(instructions: number): boolean {
    return this.files.filterInstructions + instructions <= FILTER_INSTRUCTIONS_MAX;
  }

  protected override destroy(): void {
    this.files.filterInstructions -= this.options.filter?.length ?? 0;
  }
}

const plainOutgoing = new Outgoing();
const plainIncoming = new Incoming();

export function releaseRights(rights: readonly FileDescription[] | null): void {
  if (rights !== null) for (const file of rights) file.release();
}

/** Makes sockets of one domain. */
export interface SocketFamily {
  /** A new socket with one reference, or -errno. `flags`: O_NONBLOCK. */
  create(type: number, protocol: number, flags: number, caller: SocketCaller): Socket | number;
  /** Two connected ones. */
  createPair(type: number, protocol: number, flags: number, caller: SocketCaller): readonly [Socket, Socket] | number;
}

/** Families by domain (AF_*). */
export class SocketFamilies {
  private readonly families = new Map<number, SocketFamily>();

  register(domain: number, family: SocketFamily): void {
    this.families.set(domain, family);
  }

  /** -EAFNOSUPPORT for domains nobody has registered. */
  get(domain: number): SocketFamily | number {
    return this.families.get(domain) ?? -EAFNOSUPPORT;
  }
}
