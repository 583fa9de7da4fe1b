/**
 * Two TCPs joined by a simulated path, for unit tests: virtual time, and segments that are lost, delayed, reordered, duplicated or corrupted by a
 * seed. Segments cross as bytes (header written and parsed) with a copy of their payload, or, as on loopback, by reference.
 *
 *     const world = new World({ seed: 1, loss: 0.01, delayUs: 5000 });
 *     const [client, server] = world.connected();
 *     world.client.write(client, 'hello');  world.run();  world.server.read(server)
 */
import type { HostMemory } from '#platform/contract/host.ts';
import { KernelIo } from '../../../mm/io.ts';
import { IpAddress } from '../../address.ts';
import { IpHeader } from '../../ip/header.ts';
import type { Path } from '../../ip/path.ts';
import { PacketPool, Payload } from '../../packet.ts';
import { SocketAddress } from '../../socket-address.ts';
import { parseTcpHeader, TCP_HEADER_MAX, writeTcpHeader } from '../codec.ts';
import type { TcpConnection } from '../connection.ts';
import { FIN, PSH, TcpHeader } from '../header.ts';
import type { TcpListener } from '../listener.ts';
import type { TcpLower } from '../lower.ts';
import { Tcp } from '../tcp.ts';

/** `HostMemory` over an ordinary buffer. */
class PlainMemory implements HostMemory {
  readonly address = 0;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  latin1(start: number, end: number): string {
    let text = '';
    for (let i = start; i < end; i++) text += String.fromCharCode(this.bytes[i]!);
    return text;
  }

  writeLatin1(text: string, offset: number): number {
    for (let i = 0; i < text.length; i++) this.bytes[offset + i] = text.charCodeAt(i);
    return text.length;
  }
}

export interface PathOptions {
  readonly seed?: number;
  /** Probabilities. */
  readonly loss?: number;
  readonly duplicate?: number;
  readonly reorder?: number;
  readonly corrupt?: number;
  /** One way. */
  readonly delayUs?: number;
  /** Octets a second, 0: any. */
  readonly bytesPerSecond?: number;
  /** Octets that wait for a slow path; more are dropped. */
  readonly queueBytes?: number;
  readonly mtu?: number;
  /** Segments cross by reference, up to 64 KiB. */
  readonly loopback?: boolean;
  /** The device cuts what it is given into segments (TSO). */
  readonly tso?: boolean;
  readonly packetBytes?: number;
  readonly ipv6?: boolean;
  /** CLOCK_MONOTONIC at the beginning. */
  readonly startNs?: number;
}

/** A small generator with a seed (mulberry32): 32 bits a call, signed. */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return t ^ (t >>> 14);
  };
}

interface InTransit {
  readonly atNs: number;
  readonly order: number;
  readonly to: Host;
  readonly ip: IpHeader;
  readonly header: TcpHeader;
  readonly payload: Payload | null;
}

export const START_NS = 1_000_000_000_000;

/** What passed, for assertions: headers as they were sent. */
export interface Seen {
  readonly from: Host;
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly length: number;
  readonly header: TcpHeader;
}

export class Host implements TcpLower {
  readonly address: IpAddress;
  readonly packets: PacketPool;
  readonly tcp: Tcp;
  readonly world: World;
  private readonly buffer = new PlainMemory(new Uint8Array(1 << 20));

  constructor(world: World, address: IpAddress, random: () => number) {
    this.world = world;
    this.address = address;
    this.packets = new PacketPool((bytes) => new PlainMemory(new Uint8Array(bytes)), world.options.packetBytes ?? 64 << 20);
    this.tcp = new Tcp({ lower: this, packets: this.packets, random });
  }

  route(path: Path): number {
    const { loopback, mtu } = this.world.options;
    if (!path.isSourceGiven) path.source.copy(this.address);
    path.mtu = loopback === true ? 65_536 : (mtu ?? 1500);
    path.sendMax = this.world.options.tso === true ? 65_536 : path.mtu;
    path.isLoopback = loopback === true;
    path.generation = 1;
    return 0;
  }

  send(_path: Path, ip: IpHeader, tcp: TcpHeader, payload: Payload | null): number {
    return this.world.transmit(this, ip, tcp, payload);
  }

  /** Writes as much as fits; octets or -errno. */
  write(connection: TcpConnection, text: string | Uint8Array, flags = 0): number {
    if (typeof text === 'string') this.buffer.writeLatin1(text, 0);
    else this.buffer.bytes.set(text, 0);
    this.tcp.setTime(this.world.nowNs);
    return connection.send(new KernelIo(this.buffer, 0, text.length), flags);
  }

  /** What can be read, at most `most` octets; -errno instead. '' is the end of the stream. */
  read(connection: TcpConnection, most = 1 << 20, flags = 0): string | number {
    const n = this.readInto(connection, most, flags);
    return n < 0 ? n : this.buffer.latin1(0, n);
  }

  /** Octets read, or -errno; they are thrown away. */
  readInto(connection: TcpConnection, most: number, flags = 0): number {
    this.tcp.setTime(this.world.nowNs);
    return connection.receive(new KernelIo(this.buffer, 0, most), flags);
  }

  get lastRead(): Uint8Array {
    return this.buffer.bytes;
  }

  listen(port: number, backlog = 16, prepare: (connection: TcpConnection) => void = () => undefined): TcpListener {
    const connection = this.tcp.connection();
    prepare(connection);
    this.tcp.setTime(this.world.nowNs);
    const error = connection.bind(this.address, port);
    if (error < 0) throw new Error(`bind: ${error}`);
    const listener = connection.listen(backlog);
    if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
    return listener;
  }

  /** Begins to connect. */
  connect(to: Host, port: number, prepare: (connection: TcpConnection) => void = () => undefined): TcpConnection {
    const connection = this.tcp.connection();
    prepare(connection);
    this.tcp.setTime(this.world.nowNs);
    const error = connection.connect(new SocketAddress().set(to.address, port));
    if (error !== -115) throw new Error(`connect: ${error}`);
    return connection;
  }
}

export class World {
  readonly options: PathOptions;
  readonly client: Host;
  readonly server: Host;
  nowNs = START_NS;
  /** Everything that was sent, if asked for. */
  seen: Seen[] | null = null;
  /** What the layer below answers instead of sending, 0: it sends. */
  refusal: ((seen: Seen) => number) | null = null;
  /** May drop what is sent: true drops it. */
  filter: ((seen: Seen) => boolean) | null = null;
  /** May change headers on their way, to play a peer without some option. */
  tamper: ((header: TcpHeader, from: Host) => void) | null = null;
  /** Whose arriving segments are held back. */
  holding: Host | null = null;
  private readonly held: InTransit[] = [];
  sent = 0;
  private readonly random: () => number;
  private readonly transit: InTransit[] = [];
  private order = 0;
  private readonly busyUntilNs = [0, 0];

  constructor(options: PathOptions = {}) {
    this.options = options;
    this.nowNs = options.startNs ?? START_NS;
    this.random = seeded(options.seed ?? 1);
    this.client = new Host(this, hostAddress(options, 1), seeded((options.seed ?? 1) ^ 0x1111));
    this.server = new Host(this, hostAddress(options, 2), seeded((options.seed ?? 1) ^ 0x2222));
  }

  private chance(probability: number | undefined): boolean {
    return probability !== undefined && probability > 0 && (this.random() >>> 0) / 2 ** 32 < probability;
  }

  transmit(from: Host, ip: IpHeader, tcp: TcpHeader, payload: Payload | null): number {
    if (payload === null || tcp.segmentSize === 0 || this.options.tso !== true) return this.transmitOne(from, ip, tcp, payload);
    const piece = new Payload();
    const header = new TcpHeader();
    for (let at = 0; at < payload.length; at += tcp.segmentSize) {
      const length = Math.min(tcp.segmentSize, payload.length - at);
      header.copy(tcp);
      header.segmentSize = 0;
      header.seq = (tcp.seq + at) | 0;
      if (at + length < payload.length) header.flags &= ~(FIN | PSH);
      this.transmitOne(from, ip, header, piece.set(payload.packet!, payload.offset + at, length));
    }
    return 0;
  }

  private transmitOne(from: Host, ip: IpHeader, tcp: TcpHeader, payload: Payload | null): number {
    this.sent++;
    const header = new TcpHeader();
    header.copy(tcp);
    const { flags, seq, ack, window } = tcp;
    const seen = { from, flags, seq, ack, window, length: payload === null ? 0 : payload.length, header };
    const error = this.refusal === null ? 0 : this.refusal(seen);
    if (error < 0) return error;
    this.seen?.push(seen);
    if (this.filter !== null && this.filter(seen)) return 0;
    const { loss, duplicate, corrupt } = this.options;
    // A checksum finds what is corrupted, so it is lost.
    if (this.chance(loss) || this.chance(corrupt)) return 0;
    this.enqueue(from, ip, tcp, payload);
    if (this.chance(duplicate)) this.enqueue(from, ip, tcp, payload);
    return 0;
  }

  private enqueue(from: Host, ip: IpHeader, tcp: TcpHeader, payload: Payload | null): void {
    const to = ip.destination.equals(this.client.address) ? this.client : this.server;
    const { delayUs, reorder, loopback } = this.options;
    let atNs = this.departure(from, payload === null ? 60 : payload.length + 60);
    if (atNs < 0) return;
    atNs += (delayUs ?? 100) * 1000;
    if (this.chance(reorder)) atNs += ((this.random() >>> 0) % 4000) * 1000;
    const copied = loopback === true ? reference(payload) : this.copyOf(to, payload);
    if (payload !== null && copied === null) return;
    const header = loopback === true ? copyHeader(tcp) : crossed(tcp);
    this.tamper?.(header, from);
    const segment = { atNs, order: this.order++, to, ip: new IpHeader().copy(ip), header, payload: copied };
    this.insert(segment);
  }

  /** When the segment has left a slow path's queue; -1: the queue is full. */
  private departure(from: Host, bytes: number): number {
    const { bytesPerSecond, queueBytes } = this.options;
    if (bytesPerSecond === undefined || bytesPerSecond === 0) return this.nowNs;
    const side = from === this.client ? 0 : 1;
    const begins = Math.max(this.nowNs, this.busyUntilNs[side]!);
    const waitingBytes = ((begins - this.nowNs) / 1e9) * bytesPerSecond;
    if (waitingBytes > (queueBytes ?? 100_000)) return -1;
    this.busyUntilNs[side] = begins + (bytes / bytesPerSecond) * 1e9;
    return this.busyUntilNs[side];
  }

  private copyOf(to: Host, payload: Payload | null): Payload | null {
    if (payload === null) return null;
    const packet = to.packets.takeUrgent(payload.length);
    if (packet === null) return null;
    const from = payload.packet!.memory.bytes.subarray(payload.offset, payload.offset + payload.length);
    packet.memory.bytes.set(from, packet.end);
    packet.end += payload.length;
    return new Payload().set(packet, packet.start, payload.length);
  }

  private insert(segment: InTransit): void {
    const { transit } = this;
    let at = transit.length;
    while (at > 0 && transit[at - 1]!.atNs > segment.atNs) at--;
    transit.splice(at, 0, segment);
  }

  /** What arrives for `holding` from now on waits until `letGo`. */
  letGo(): void {
    this.holding = null;
    for (const segment of this.held.splice(0)) this.deliver(segment);
  }

  get inTransit(): number {
    return this.transit.length;
  }

  /** Delivers a hand-made segment at once. */
  inject(to: Host, ip: IpHeader, header: TcpHeader, payload: Payload | null = null): void {
    to.tcp.input(ip, header, payload, this.nowNs);
  }

  /** Does the next thing that is due, not after `untilNs`. False: there is none. */
  step(untilNs = Infinity): boolean {
    const first = this.transit[0];
    const arrival = first === undefined ? Infinity : first.atNs;
    const timer = Math.min(this.client.tcp.nextDeadline, this.server.tcp.nextDeadline);
    const next = Math.min(arrival, timer);
    if (next > untilNs || next === Infinity) return false;
    this.nowNs = Math.max(this.nowNs, next);
    if (arrival <= timer) this.deliver(this.transit.shift()!);
    else {
      this.client.tcp.expire(this.nowNs);
      this.server.tcp.expire(this.nowNs);
    }
    return true;
  }

  private deliver(segment: InTransit): void {
    if (segment.to === this.holding) {
      this.held.push(segment);
      return;
    }
    segment.to.tcp.input(segment.ip, segment.header, segment.payload, this.nowNs);
    segment.payload?.packet?.release();
  }

  /** Lets `ms` pass. */
  run(ms = 1000): void {
    const until = this.nowNs + ms * 1e6;
    while (this.step(until));
    this.nowNs = until;
  }

  /** Lets time pass until `isDone`, at most `ms`; whether it was. */
  runUntil(isDone: () => boolean, ms = 600_000): boolean {
    const until = this.nowNs + ms * 1e6;
    while (!isDone()) if (!this.step(until)) return isDone();
    return true;
  }

  /** A connection from client to server, and the server's end of it. */
  connected(port = 80, prepare: (connection: TcpConnection) => void = () => undefined): [TcpConnection, TcpConnection] {
    const listener = this.server.listen(port, 16, prepare);
    const client = this.client.connect(this.server, port, prepare);
    let accepted: TcpConnection | null = null;
    this.runUntil(() => (accepted ??= this.server.tcp.accept(listener)) !== null, 200_000);
    if (accepted === null) throw new Error('not connected');
    return [client, accepted];
  }
}

function hostAddress(options: PathOptions, host: number): IpAddress {
  const address = new IpAddress();
  return options.ipv6 === true ? address.set(0xfd000000, 0, 0, host) : address.setIpv4(0x0a000000 + host);
}

function reference(payload: Payload | null): Payload | null {
  if (payload === null) return null;
  return new Payload().set(payload.packet!.hold(), payload.offset, payload.length);
}

function copyHeader(tcp: TcpHeader): TcpHeader {
  const header = new TcpHeader();
  header.copy(tcp);
  return header;
}

const wire = new Uint8Array(TCP_HEADER_MAX);

/** Through bytes. */
function crossed(tcp: TcpHeader): TcpHeader {
  const length = writeTcpHeader(tcp, wire, 0);
  const header = new TcpHeader();
  if (parseTcpHeader(header, wire, 0, length) !== length) throw new Error('a header was not read as it was written');
  return header;
}
