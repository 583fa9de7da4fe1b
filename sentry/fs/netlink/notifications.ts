/**
 * News of links, addresses and routes for the sockets that joined a group of rtnetlink(7): what `ip monitor` shows.
 *
 *     const news = new Notifications(network);
 *     news.join(socket);             // with the first one the stack's tables are listened to
 *     news.leave(socket);
 */
import * as abi from '#sentry/abi/netlink.ts';
import type { InterfaceListener } from '../../netstack/link/interface-table.ts';
import type { InterfaceAddress, NetworkInterface } from '../../netstack/link/interface.ts';
import type { Route, RouteListener } from '../../netstack/route/routing-table.ts';
import type { Network } from '../inet/network.ts';
import { writeAddress } from './addresses.ts';
import { writeLink } from './links.ts';
import { MessageWriter } from './message-writer.ts';
import { Reply } from './protocol.ts';
import { writeRoute } from './routes.ts';

/** Who is told. */
export interface Subscriber {
  /** Bit n - 1 for group n. */
  readonly groups: number;
  /** A message to the groups of `groups`. The bytes are the receiver's. */
  tell(bytes: Uint8Array, groups: number): void;
}

function bit(group: number): number {
  return 1 << (group - 1);
}

export class Notifications implements InterfaceListener, RouteListener {
  private readonly network: Network;
  private readonly subscribers = new Set<Subscriber>();
  private isListening = false;
  private readonly writer = new MessageWriter();
  /** News answers nobody: no sequence number, no port. */
  private readonly reply = new Reply(this.writer, 0, 0, 0);

  constructor(network: Network) {
    this.network = network;
  }

  join(subscriber: Subscriber): void {
    this.subscribers.add(subscriber);
    if (this.isListening) return;
    this.isListening = true;
    this.network.stack.interfaces.listen(this);
    this.network.stack.routes.listen(this);
  }

  leave(subscriber: Subscriber): void {
    this.subscribers.delete(subscriber);
  }

  private tell(group: number, write: (reply: Reply) => void): void {
    let bytes: Uint8Array | null = null;
    for (const subscriber of this.subscribers) {
      if ((subscriber.groups & bit(group)) === 0) continue;
      if (bytes === null) {
        write(this.reply);
        bytes = this.writer.take();
      }
      subscriber.tell(bytes, bit(group));
    }
  }

  interfaceAdded(owner: NetworkInterface): void {
    this.tell(abi.RTNLGRP_LINK, (reply) => {
      writeLink(reply, abi.RTM_NEWLINK, owner);
    });
  }

  interfaceChanged(owner: NetworkInterface): void {
    this.interfaceAdded(owner);
  }

  interfaceRemoved(owner: NetworkInterface): void {
    this.tell(abi.RTNLGRP_LINK, (reply) => {
      writeLink(reply, abi.RTM_DELLINK, owner);
    });
  }

  addressAdded(address: InterfaceAddress): void {
    this.tellAddress(abi.RTM_NEWADDR, address);
  }

  addressChanged(address: InterfaceAddress): void {
    this.tellAddress(abi.RTM_NEWADDR, address);
  }

  addressRemoved(address: InterfaceAddress): void {
    this.tellAddress(abi.RTM_DELADDR, address);
  }

  private tellAddress(type: number, address: InterfaceAddress): void {
    const group = address.address.isIpv4 ? abi.RTNLGRP_IPV4_IFADDR : abi.RTNLGRP_IPV6_IFADDR;
    this.tell(group, (reply) => {
      writeAddress(reply, type, address, this.network.stack.state.nowNs);
    });
  }

  routeAdded(route: Route): void {
    this.tellRoute(abi.RTM_NEWROUTE, route);
  }

  routeRemoved(route: Route): void {
    this.tellRoute(abi.RTM_DELROUTE, route);
  }

  private tellRoute(type: number, route: Route): void {
    this.tell(route.isIpv4 ? abi.RTNLGRP_IPV4_ROUTE : abi.RTNLGRP_IPV6_ROUTE, (reply) => {
      writeRoute(reply, type, route);
    });
  }
}
