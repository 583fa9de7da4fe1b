/** The flows of datagrams of a gateway, found by the four numbers that tell them apart (echo requests: identifier and 0 for the ports). Bounded: the one that was silent for longest makes room. */
import type { HostMemory } from '#platform/contract/host.ts';
import type { IpAddress } from '../address.ts';
import type { FlowContext } from './flow-context.ts';
import type { SocketAddress } from '../socket-address.ts';
import { UDP_FLOWS_MAX } from './limits.ts';
import type { DatagramFlow } from './datagram-flow.ts';

const DATAGRAM_ROOM = 65_536;

type FlowKind<F> = new (context: FlowContext, scratch: HostMemory, onClosed: (flow: DatagramFlow) => void) => F;

export class DatagramFlows {
  size = 0;
  private readonly buckets = new Map<number, DatagramFlow>();
  private readonly context: FlowContext;
  /** Room for a datagram. */
  readonly scratch: HostMemory;

  constructor(context: FlowContext) {
    this.context = context;
    this.scratch = context.host.allocate(DATAGRAM_ROOM);
  }

  find(guest: IpAddress, guestPort: number, peer: IpAddress, peerPort: number): DatagramFlow | null {
    let flow = this.buckets.get(hashOf(guest, guestPort, peer, peerPort)) ?? null;
    while (flow !== null && !isOf(flow, guest, guestPort, peer, peerPort)) flow = flow.nextInBucket;
    return flow;
  }

  /** A new flow, to be opened or accepted. */
  add<F extends DatagramFlow>(Kind: FlowKind<F>, guest: SocketAddress, peer: SocketAddress): F {
    if (this.size >= UDP_FLOWS_MAX) this.stalest()?.close();
    const flow = new Kind(this.context, this.scratch, (closed) => this.remove(closed));
    flow.guest.copy(guest);
    flow.peer.copy(peer);
    const hash = hashOf(guest.address, guest.port, peer.address, peer.port);
    flow.nextInBucket = this.buckets.get(hash) ?? null;
    this.buckets.set(hash, flow);
    this.size++;
    return flow;
  }

  private remove(flow: DatagramFlow): void {
    const hash = hashOf(flow.guest.address, flow.guest.port, flow.peer.address, flow.peer.port);
    const first = this.buckets.get(hash)!;
    if (first === flow && flow.nextInBucket === null) this.buckets.delete(hash);
    else if (first === flow) this.buckets.set(hash, flow.nextInBucket!);
    else {
      let before = first;
      while (before.nextInBucket !== flow) before = before.nextInBucket!;
      before.nextInBucket = flow.nextInBucket;
    }
    this.size--;
  }

  private stalest(): DatagramFlow | null {
    let found: DatagramFlow | null = null;
    for (const first of this.buckets.values())
      for (let flow: DatagramFlow | null = first; flow !== null; flow = flow.nextInBucket)
        if (found === null || flow.lastUsedNs < found.lastUsedNs) found = flow;
    return found;
  }
}

function isOf(flow: DatagramFlow, guest: IpAddress, guestPort: number, peer: IpAddress, peerPort: number): boolean {
  return flow.guest.port === guestPort && flow.peer.port === peerPort && flow.peer.address.equals(peer) && flow.guest.address.equals(guest);
}

/** Thirty bits, so that it stays a small integer. */
function hashOf(guest: IpAddress, guestPort: number, peer: IpAddress, peerPort: number): number {
  return (Math.imul(guest.hash ^ Math.imul(peer.hash, 0x9e3779b1), 0x85ebca6b) ^ ((guestPort << 16) | peerPort)) & 0x3fff_ffff;
}
