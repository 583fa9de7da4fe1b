/**
 * A link between two stacks for tests: frames arrive after a delay, and by a seed some are lost, duplicated, changed, or overtaken by
 * others. Time is the stacks' own; nothing happens by itself.
 *
 *     const link = new SimulatedLink({ seed, lossRate: 0.05, delayNs: 1e6 }, allocate);
 *     left.addDevice('eth0', link.left); right.addDevice('eth0', link.right);
 *
 * Each frame is copied: neither side sees what the other does to its packets, as on a wire.
 */
import type { FrameReceiver, LinkDevice, LinkKind } from '../link/device.ts';
import { NO_OFFLOAD } from '../link/device.ts';
import type { Offload } from '../link/device.ts';
import { copyBytes, PacketPool } from '../packet.ts';
import type { Allocate, Packet } from '../packet.ts';
import { SeededRandom } from './random.ts';

export interface SimulatedLinkOptions {
  readonly seed: number;
  readonly kind?: LinkKind;
  readonly mtu?: number;
  readonly delayNs?: number;
  /** Each frame is delayed by up to this much more, so that frames overtake each other. */
  readonly jitterNs?: number;
  readonly lossRate?: number;
  readonly duplicateRate?: number;
  readonly corruptRate?: number;
  /** Frames on their way in one direction; more are lost. */
  readonly queueMax?: number;
}

interface Flight {
  readonly packet: Packet;
  readonly dueNs: number;
  readonly order: number;
}

export class SimulatedLink {
  readonly left: LinkDevice;
  readonly right: LinkDevice;
  /** What became of the frames. */
  readonly counts = { sent: 0, lost: 0, duplicated: 0, corrupted: 0, delivered: 0 };
  /** Sees every frame sent, before chance does: true means it is lost. */
  filter: ((frame: Packet) => boolean) | null = null;
  nowNs = 0;
  readonly options: Required<SimulatedLinkOptions>;
  readonly random: SeededRandom;
  private readonly pool: PacketPool;
  private order = 0;

  constructor(options: SimulatedLinkOptions, allocate: Allocate) {
    this.options = {
      kind: 'ethernet',
      mtu: 1500,
      delayNs: 0,
      jitterNs: 0,
      lossRate: 0,
      duplicateRate: 0,
      corruptRate: 0,
      queueMax: 1000,
      ...options,
    };
    this.random = new SeededRandom(options.seed);
    this.pool = new PacketPool(allocate);
    const toLeft: Flight[] = [];
    const toRight: Flight[] = [];
    this.left = new SimulatedEnd(this, '\x02\x00\x00\x00\x00\x01', toLeft, toRight);
    this.right = new SimulatedEnd(this, '\x02\x00\x00\x00\x00\x02', toRight, toLeft);
  }

  /** Puts a frame on its way. */
  launch(packet: Packet, lane: Flight[]): void {
    const { options, random, counts } = this;
    counts.sent++;
    if (this.filter?.(packet) === true || random.fraction() < options.lossRate || lane.length >= options.queueMax) {
      counts.lost++;
      return;
    }
    this.enqueue(packet, lane);
    if (random.fraction() >= options.duplicateRate) return;
    counts.duplicated++;
    this.enqueue(packet, lane);
  }

  private enqueue(packet: Packet, lane: Flight[]): void {
    const { options, random } = this;
    const copy = this.pool.takeUrgent(packet.length)!;
    copyBytes(packet.memory, packet.start, copy.memory, copy.start, packet.length);
    copy.end += packet.length;
    if (random.fraction() < options.corruptRate) this.corrupt(copy);
    const dueNs = this.nowNs + options.delayNs + random.fraction() * options.jitterNs;
    lane.push({ packet: copy, dueNs, order: this.order++ });
    lane.sort((a, b) => a.dueNs - b.dueNs || a.order - b.order);
  }

  private corrupt(packet: Packet): void {
    this.counts.corrupted++;
    const at = packet.start + this.random.below(packet.length);
    packet.memory.bytes[at]! ^= 1 << this.random.below(8);
  }
}

class SimulatedEnd implements LinkDevice {
  readonly hardwareAddress: string;
  readonly canChecksum = false;
  readonly segmentationMax = 0;
  private readonly link: SimulatedLink;
  private readonly incoming: Flight[];
  private readonly outgoing: Flight[];

  constructor(link: SimulatedLink, hardwareAddress: string, incoming: Flight[], outgoing: Flight[]) {
    this.link = link;
    this.hardwareAddress = link.options.kind === 'ethernet' ? hardwareAddress : '';
    this.incoming = incoming;
    this.outgoing = outgoing;
  }

  get kind(): LinkKind {
    return this.link.options.kind;
  }

  get mtu(): number {
    return this.link.options.mtu;
  }

  send(packet: Packet, _linkLength: number, _offload: Offload): number {
    this.link.launch(packet, this.outgoing);
    return 0;
  }

  poll(receiver: FrameReceiver, budget: number, nowNs: number): number {
    this.link.nowNs = nowNs;
    let count = 0;
    while (count < budget && this.incoming.length > 0 && this.incoming[0]!.dueNs <= nowNs) {
      const { packet } = this.incoming.shift()!;
      receiver.frame(packet, NO_OFFLOAD, nowNs);
      packet.release();
      this.link.counts.delivered++;
      count++;
    }
    return count;
  }

  get nextDeadline(): number {
    return this.incoming.length > 0 ? this.incoming[0]!.dueNs : Infinity;
  }
}
