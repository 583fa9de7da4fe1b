/**
 * Two stacks on one simulated link, and a clock that jumps from one event to the next.
 */
import { IPV4_PREFIX_BITS, parseAddress } from '../address.ts';
import type { IpAddress } from '../address.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { Allocate } from '../packet.ts';
import { SocketAddress } from '../socket-address.ts';
import { Stack } from '../stack.ts';
import { SeededRandom } from './random.ts';
import { SimulatedLink } from './simulated-link.ts';
import type { SimulatedLinkOptions } from './simulated-link.ts';

export function ipAddress(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === null) throw new Error(`not an address: ${text}`);
  return address;
}

export function socketAddress(text: string, port: number, scope = 0): SocketAddress {
  return new SocketAddress().set(ipAddress(text), port, scope);
}

export class StackPair {
  readonly left: Stack;
  readonly right: Stack;
  readonly link: SimulatedLink;
  readonly leftLink: NetworkInterface;
  readonly rightLink: NetworkInterface;
  nowNs = 1e9;

  /** 10.0.0.1/24 and 10.0.0.2/24, fd00::1/64 and fd00::2/64 besides what IPv6 configures by itself. Both are up and have settled. */
  constructor(options: SimulatedLinkOptions, allocate: Allocate) {
    this.link = new SimulatedLink(options, allocate);
    const random = new SeededRandom(options.seed ^ 0x5bd1e995);
    this.left = new Stack({ allocate, random: random.word });
    this.right = new Stack({ allocate, random: random.word });
    this.setTime();
    this.leftLink = this.attach(this.left, this.link.left, '10.0.0.1', 'fd00::1');
    this.rightLink = this.attach(this.right, this.link.right, '10.0.0.2', 'fd00::2');
    this.run(3e9);
  }

  private attach(stack: Stack, device: SimulatedLink['left'], ipv4: string, ipv6: string): NetworkInterface {
    const owner = stack.addDevice('eth0', device);
    if (typeof owner === 'number') throw new Error('no interface');
    stack.interfaces.setUp(owner);
    stack.interfaces.addAddress(owner, ipAddress(ipv4), IPV4_PREFIX_BITS + 24);
    stack.interfaces.addAddress(owner, ipAddress(ipv6), 64);
    return owner;
  }

  private setTime(): void {
    this.left.setTime(this.nowNs);
    this.right.setTime(this.nowNs);
    this.link.nowNs = this.nowNs;
  }

  /** Lets `durationNs` pass, event by event; `step` is called after each, and ends it by returning true. */
  run(durationNs: number, step?: () => boolean): boolean {
    const endNs = this.nowNs + durationNs;
    for (;;) {
      this.left.poll(this.nowNs);
      this.right.poll(this.nowNs);
      if (step?.() === true) return true;
      const next = Math.min(this.left.nextDeadline, this.right.nextDeadline);
      if (next > endNs) break;
      this.nowNs = Math.max(this.nowNs, next);
      this.setTime();
    }
    this.nowNs = endNs;
    this.setTime();
    return false;
  }
}
