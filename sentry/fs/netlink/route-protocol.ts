/**
 * NETLINK_ROUTE, rtnetlink(7): links, addresses, routes, neighbours and rules, which `ip` shows and changes. One row for each kind of
 * request; changes need CAP_NET_ADMIN.
 */
import { EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { capable, CAP_NET_ADMIN } from '../../vfs/credentials.ts';
import type { Network } from '../inet/network.ts';
import type { SocketCaller } from '../socket/socket.ts';
import { addAddress, dumpAddresses, removeAddress } from './addresses.ts';
import { changeLink, dumpLinks, showLink } from './links.ts';
import type { NetlinkRequest } from './message-reader.ts';
import { addNeighbour, dumpNeighbours, removeNeighbour } from './neighbours.ts';
import type { DumpItem, NetlinkProtocol, Reply } from './protocol.ts';
import { lookUpRoute } from './route-lookup.ts';
import { addRoute, dumpRoutes, removeRoute } from './routes.ts';
import { dumpRules } from './rules.ts';

type Dumper = (network: Network, request: NetlinkRequest) => DumpItem[] | number;
type Server = (network: Network, request: NetlinkRequest, reply: Reply, caller: SocketCaller) => number;

const DUMPS: Readonly<Record<number, Dumper>> = {
  [abi.RTM_GETLINK]: dumpLinks,
  [abi.RTM_GETADDR]: dumpAddresses,
  [abi.RTM_GETROUTE]: dumpRoutes,
  [abi.RTM_GETNEIGH]: dumpNeighbours,
  [abi.RTM_GETRULE]: dumpRules,
  [abi.RTM_GETQDISC]: () => [],
};

const QUESTIONS: Readonly<Record<number, Server>> = {
  [abi.RTM_GETLINK]: showLink,
  [abi.RTM_GETROUTE]: lookUpRoute,
};

const CHANGES: Readonly<Record<number, Server>> = {
  [abi.RTM_NEWLINK]: changeLink,
  [abi.RTM_SETLINK]: changeLink,
  [abi.RTM_NEWADDR]: addAddress,
  [abi.RTM_DELADDR]: removeAddress,
  [abi.RTM_NEWROUTE]: addRoute,
  [abi.RTM_DELROUTE]: removeRoute,
  [abi.RTM_NEWNEIGH]: addNeighbour,
  [abi.RTM_DELNEIGH]: removeNeighbour,
};

export class RouteProtocol implements NetlinkProtocol {
  private readonly network: Network;

  constructor(network: Network) {
    this.network = network;
  }

  dump(request: NetlinkRequest, _caller: SocketCaller): DumpItem[] | number {
    return DUMPS[request.type]?.(this.network, request) ?? -EOPNOTSUPP;
  }

  answer(request: NetlinkRequest, reply: Reply, caller: SocketCaller): number {
    const isQuestion = (request.type & 3) === 2;
    if (!isQuestion && (this.network.isOfHost || !capable(caller.credentials, CAP_NET_ADMIN))) return -EPERM;
    const serve = isQuestion ? QUESTIONS[request.type] : CHANGES[request.type];
    return serve === undefined ? -EOPNOTSUPP : serve(this.network, request, reply, caller);
  }
}
