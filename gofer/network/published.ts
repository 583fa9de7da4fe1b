/**
 * Published ports (`--publish`): sockets of the host that listen, opened before the helper is confined. What comes to them is given to the sentry, which
 * carries it on to the guest.
 *
 * UDP: the sentry must not get the listening socket, with which it could send anywhere. The first datagram of a peer makes a socket of the same
 * address that is connected to the peer; the host prefers that one for all that follows. Datagrams that were waiting in the listening socket
 * before it existed are sent along as messages.
 */
import { EAGAIN } from '#sentry/abi/errno.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '#sentry/netstack/ip/header.ts';
import { SocketAddress } from '#sentry/netstack/socket-address.ts';
import { DATAGRAM_MAX } from '#gofer/protocol/network-messages.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import type { ParsedConfig } from './config.ts';
import type { EventLoop } from './event-loop.ts';
import { acceptConnection, openForPeer, openListening, receiveFrom } from './host-socket.ts';
import type { NetworkServer } from './server.ts';

const EPOLLIN = 1;
/** Connections or datagrams taken before others get their turn. */
const BATCH = 16;
/** Datagrams that follow the first of a peer so closely that its socket cannot have been there: peers remembered for that. */
const RECENT_PEERS = 64;

export type PublishedSetup = ParsedConfig['published'][number];

/** Opens them all: descriptors in the order of `ports`, or which one failed and why (errno, positive). */
export function openPublished(ports: readonly PublishedSetup[]): number[] | { readonly port: PublishedSetup; readonly errno: number } {
  const opened: number[] = [];
  for (const port of ports) {
    const fd = openListening(port.protocol, new SocketAddress().set(port.listenAt, port.port));
    if (fd < 0) return { port, errno: -fd };
    opened.push(fd);
  }
  return opened;
}

/** Serves one published port. */
export class PublishedListener {
  private readonly server: Pick<NetworkServer, 'arrived'>;
  private readonly fd: number;
  private readonly index: number;
  private readonly local: SocketAddress;
  private readonly peer = new SocketAddress();
  private readonly memory = allocateMemory(DATAGRAM_MAX);
  private readonly recent: string[] = [];

  constructor(loop: EventLoop, server: Pick<NetworkServer, 'arrived'>, fd: number, index: number, port: PublishedSetup) {
    this.server = server;
    this.fd = fd;
    this.index = index;
    this.local = new SocketAddress().set(port.listenAt, port.port);
    loop.watch(fd, EPOLLIN, () => (port.protocol === IPPROTO_TCP ? this.accept() : this.datagrams()));
  }

  private accept(): void {
    for (let i = 0; i < BATCH; i++) {
      const accepted = acceptConnection(this.fd, this.peer);
      // No descriptors left, too: the connection waits in the backlog.
      if (accepted < 0) return;
      this.arrived('', accepted);
    }
  }

  private datagrams(): void {
    for (let i = 0; i < BATCH; i++) {
      const length = receiveFrom(this.fd, this.memory.address, DATAGRAM_MAX, this.peer);
      if (length === -EAGAIN || length < 0) return;
      const datagram = this.memory.latin1(0, length);
      const key = `${this.peer.port} ${this.peer.address.toString()}`;
      const isKnown = this.recent.includes(key);
      const fd = isKnown ? -1 : openForPeer(IPPROTO_UDP, this.local, this.peer);
      if (!isKnown && fd < 0) continue; // dropped, as a full socket would
      this.remember(key);
      this.arrived(datagram, fd);
    }
  }

  private remember(key: string): void {
    const at = this.recent.indexOf(key);
    if (at >= 0) this.recent.splice(at, 1);
    this.recent.push(key);
    if (this.recent.length > RECENT_PEERS) this.recent.shift();
  }

  private arrived(datagram: string, fd: number): void {
    const { w0, w1, w2, w3 } = this.peer.address;
    const address = { w0: w0 >>> 0, w1: w1 >>> 0, w2: w2 >>> 0, w3: w3 >>> 0 };
    this.server.arrived({ published: this.index, address, port: this.peer.port, datagram }, fd);
  }
}
