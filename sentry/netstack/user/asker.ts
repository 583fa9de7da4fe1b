/** Who in the sandbox a flow belongs to, for the denial report: the owner of the guest's endpoint that the flow comes from. */
import type { IpAddress } from '../address.ts';
import type { EndpointOwner } from '../endpoint/owner.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '../ip/header.ts';
import type { Stack } from '../stack.ts';

export interface Asker {
  /** 0: not known. */
  readonly pid: number;
  /** Byte string of at most 15. */
  readonly command: string;
}

const NOBODY: Asker = { pid: 0, command: '' };

/**
 * `address`, `port`: the guest's end; `peer`, `peerPort`: the other. Echo requests have their identifier as the port, which raw sockets choose freely: of those
 * nobody is named.
 */
export function findAsker(guest: Stack, protocol: number, address: IpAddress, port: number, peer: IpAddress, peerPort: number): Asker {
  const owner = protocol === IPPROTO_TCP ? ownerOfConnection(guest, address, port, peer, peerPort) : ownerOfPort(guest, protocol, port);
  return owner === null ? NOBODY : { pid: owner.group.pid, command: owner.name };
}

function ownerOfConnection(guest: Stack, address: IpAddress, port: number, peer: IpAddress, peerPort: number): EndpointOwner | null {
  return guest.tcp.context.table.find(address, port, peer, peerPort, 0)?.owner ?? null;
}

/** Of several with one port (SO_REUSEADDR) the one that was bound last. */
function ownerOfPort(guest: Stack, protocol: number, port: number): EndpointOwner | null {
  const endpoints = protocol === IPPROTO_UDP ? guest.udp.ports.at(port) : guest.raw.pings.at(port);
  return endpoints.at(-1)?.owner ?? null;
}
