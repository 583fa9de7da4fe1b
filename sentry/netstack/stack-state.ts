/**
 * What all parts of one stack share: packets, timers, counters, chance, and the time of the call that is being served.
 *
 * Time is a parameter of every entry into the stack (`Stack.poll`, an endpoint's send …), which sets `nowNs` here first; what goes on
 * inside reads it, so that it need not be passed, boxed, through every function.
 */
import { TimerQueue } from '../lib/timer-queue.ts';
import { StackCounters } from './counters.ts';
import type { PacketPool } from './packet.ts';
import { NetworkSettings } from './settings.ts';

/** 32 random bits as an int32. Must not be predictable by guests or peers. */
export type Random = () => number;

export class StackState {
  readonly pool: PacketPool;
  readonly random: Random;
  readonly settings: NetworkSettings;
  readonly timers = new TimerQueue();
  readonly counters = new StackCounters();
  /** CLOCK_MONOTONIC. */
  nowNs = 0;
  /** Of addresses, routes and path MTUs: a `Path` of an older one asks again. */
  generation = 1;

  constructor(pool: PacketPool, random: Random, settings = new NetworkSettings()) {
    this.pool = pool;
    this.random = random;
    this.settings = settings;
  }

  /** A random number of nanoseconds in [0, `boundNs`). */
  randomDelay(boundNs: number): number {
    return (this.random() >>> 8) * (boundNs / 0x1000000);
  }
}

export const MILLISECOND = 1e6;
export const SECOND = 1e9;
