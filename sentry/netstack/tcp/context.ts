/**
 * What all connections of a stack share: the layer below, memory, tables, counters, the clock of the present call, and the scratch objects
 * that output fills.
 *
 * The clock is set by whoever enters TCP (`setTime`) and stands still until the next call. Besides nanoseconds it is kept in wrapping 32-bit
 * micro- and milliseconds: those are small integers, and differences of up to 35 minutes or 24 days come out right.
 */
import { TimerQueue } from '../../lib/timer-queue.ts';
import type { FilterView } from '../endpoint/filter-view.ts';
import { IpHeader } from '../ip/header.ts';
import { Path } from '../ip/path.ts';
import { Payload } from '../packet.ts';
import type { PacketPool } from '../packet.ts';
import { AckResult } from './ack-result.ts';
import { Arrival } from './arrival.ts';
import { ConnectionTable } from './connection-table.ts';
import type { ControlBlock } from './control-block.ts';
import { TcpCounters } from './counters.ts';
import { TcpHeader } from './header.ts';
import { CHALLENGE_ACKS_PER_SECOND, RESETS_PER_SECOND } from './limits.ts';
import { ListenerTable } from './listener-table.ts';
import type { TcpLower } from './lower.ts';
import { TcpOptions } from './options.ts';
import { PortTable } from './ports.ts';
import { RateLimit } from './rate-limit.ts';
import type { NetworkSettings } from '../settings.ts';
import { Secrets } from './secrets.ts';
import { SegmentPool } from './segment.ts';

export interface TcpParts {
  readonly lower: TcpLower;
  readonly packets: PacketPool;
  /** 32 random bits a call, as a signed integer. */
  readonly random: () => number;
  readonly settings?: NetworkSettings;
  /** Without it sockets have no filters. */
  readonly filterView?: FilterView;
}

export class TcpContext {
  // Fixed.
  readonly lower: TcpLower;
  readonly packets: PacketPool;
  readonly random: () => number;
  readonly filterView: FilterView | null;
  readonly timers = new TimerQueue();
  readonly segments = new SegmentPool();
  readonly counters = new TcpCounters();
  readonly table: ConnectionTable;
  readonly ports: PortTable;
  readonly listeners = new ListenerTable();
  readonly secrets: Secrets;
  readonly challengeLimit = new RateLimit(CHALLENGE_ACKS_PER_SECOND);
  readonly resetLimit = new RateLimit(RESETS_PER_SECOND);
  /** Makes a connection in state CLOSED. Given by tcp.ts, so that the passive open need not know the class. */
  readonly create: (context: TcpContext) => ControlBlock;

  // The clock.
  nowNs = 0;
  nowUs = 0;
  nowMs = 0;

  // Counted against limits.
  orphans = 0;
  timeWaits = 0;
  heldSyns = 0;
  /** Moves on with each port chosen, so that neighbours in time do not collide. */
  portShift = 0;

  // Scratch of output and input.
  readonly ip = new IpHeader();
  readonly header = new TcpHeader();
  readonly payload = new Payload();
  readonly path = new Path();
  readonly ack = new AckResult();
  readonly arrival = new Arrival();

  /** Options of what has no socket yet. */
  readonly defaults = new TcpOptions();

  constructor(parts: TcpParts, create: (context: TcpContext) => ControlBlock) {
    this.lower = parts.lower;
    this.packets = parts.packets;
    this.random = parts.random;
    this.filterView = parts.filterView ?? null;
    this.create = create;
    this.table = new ConnectionTable(parts.random);
    this.ports = new PortTable(parts.random, parts.settings);
    this.secrets = new Secrets(parts.random);
  }

  setTime(nowNs: number): void {
    this.nowNs = nowNs;
    this.nowUs = (nowNs / 1000) | 0;
    this.nowMs = (nowNs / 1_000_000) | 0;
  }
}
