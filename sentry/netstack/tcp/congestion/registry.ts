/** Congestion controls by the name TCP_CONGESTION knows (net.ipv4.tcp_available_congestion_control). */
import type { CongestionControl } from './congestion-control.ts';
import { Cubic } from './cubic.ts';
import { Reno } from './reno.ts';

/** A new object for one connection; null: no such name. */
export function createCongestionControl(name: string): CongestionControl | null {
  if (name === 'cubic') return new Cubic();
  return name === 'reno' ? new Reno() : null;
}
