/**
 * Two link devices joined in memory: what one sends the other's `poll` hands over, the very packet, with its offloads. For stacks of one
 * process: a guest's and its gateway's.
 *
 *     const [ours, theirs] = devicePair({ kind: 'ip', mtu: 65_535 });
 *
 * Both stacks may have pools of their own: a packet goes back to the pool it came from.
 */
import { ENOBUFS } from '#sentry/abi/errno.ts';
import { BACKLOG_PACKETS_MAX } from '../limits.ts';
import type { Packet } from '../packet.ts';
import { Offload } from './device.ts';
import type { FrameReceiver, LinkDevice, LinkKind } from './device.ts';

export interface PairOptions {
  readonly kind: LinkKind;
  readonly mtu: number;
  /** Byte strings of six bytes, for Ethernet. */
  readonly hardwareAddresses?: readonly [string, string];
  /** Somebody hears that frames wait for `poll` on the end given (0 or 1). */
  readonly onFrame?: (end: 0 | 1) => void;
}

class Slot {
  packet: Packet | null = null;
  readonly offload = new Offload();
  next: Slot | null = null;
}

/** Frames on their way to one end. */
class Lane {
  length = 0;
  private head: Slot | null = null;
  private tail: Slot | null = null;
  private free: Slot | null = null;

  put(packet: Packet, offload: Offload): boolean {
    if (this.length >= BACKLOG_PACKETS_MAX) return false;
    const slot = this.free ?? new Slot();
    this.free = slot.next;
    slot.next = null;
    slot.packet = packet.hold();
    slot.offload.copy(offload);
    if (this.tail === null) this.head = slot;
    else this.tail.next = slot;
    this.tail = slot;
    this.length++;
    return true;
  }

  /** Hands the first frame over; false when there is none. */
  deliver(receiver: FrameReceiver, nowNs: number): boolean {
    const slot = this.head;
    if (slot === null) return false;
    this.head = slot.next;
    if (this.head === null) this.tail = null;
    this.length--;
    const packet = slot.packet!;
    slot.packet = null;
    receiver.frame(packet, slot.offload, nowNs);
    packet.release();
    slot.next = this.free;
    this.free = slot;
    return true;
  }
}

class PairEnd implements LinkDevice {
  readonly kind: LinkKind;
  readonly mtu: number;
  readonly hardwareAddress: string;
  readonly canChecksum = true;
  readonly segmentationMax = 65_535;
  private readonly incoming: Lane;
  private readonly outgoing: Lane;
  private readonly onFrame: () => void;

  constructor(options: PairOptions, end: 0 | 1, incoming: Lane, outgoing: Lane) {
    this.kind = options.kind;
    this.mtu = options.mtu;
    this.hardwareAddress = options.hardwareAddresses?.[end] ?? '';
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.onFrame = () => options.onFrame?.(end === 0 ? 1 : 0);
  }

  send(packet: Packet, _linkLength: number, offload: Offload): number {
    if (!this.outgoing.put(packet, offload)) return -ENOBUFS;
    this.onFrame();
    return 0;
  }

  poll(receiver: FrameReceiver, budget: number, nowNs: number): number {
    let count = 0;
    while (count < budget && this.incoming.deliver(receiver, nowNs)) count++;
    return count;
  }

  get nextDeadline(): number {
    return this.incoming.length > 0 ? 0 : Infinity;
  }
}

/** The two ends. */
export function devicePair(options: PairOptions): readonly [LinkDevice, LinkDevice] {
  const toFirst = new Lane();
  const toSecond = new Lane();
  return [new PairEnd(options, 0, toFirst, toSecond), new PairEnd(options, 1, toSecond, toFirst)];
}
