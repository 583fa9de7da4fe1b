/**
 * The layers above IP, as input hands packets to them. Each is called from `Stack.poll` only.
 */
import type { TcpUpper } from '../tcp/lower.ts';
import type { Payload } from '../packet.ts';
import type { Arrival, ErrorReport } from './arrival.ts';
import type { IpHeader } from './header.ts';

export interface UdpUpper {
  /** A datagram with a good checksum. False: nobody has the port. */
  input(ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): boolean;
  unreachable(report: ErrorReport, sourcePort: number, destinationPort: number): void;
}

export interface RawUpper {
  /** Whether anybody listens to this protocol. */
  wants(protocol: number): boolean;
  /** A packet; every socket that matches gets it. False: none does. */
  input(arrival: Arrival): boolean;
  /** An echo reply for ping sockets (icmp(7)). */
  echoReply(arrival: Arrival): boolean;
  unreachable(report: ErrorReport): void;
}

export interface Protocols {
  readonly tcp: TcpUpper;
  readonly udp: UdpUpper;
  readonly udpLite: UdpUpper;
  readonly raw: RawUpper;
}
