/**
 * What the gateway asks of the world outside: the network helper (helper-connection.ts) and the host's descriptors. Answers come later, by a call back
 * from the kernel's loop, never from within the question. The
 * asker is for the report: nothing is decided by it.
 */
import type { Host, HostFd } from '#platform/contract/host.ts';
import type { IpAddress } from '../address.ts';
import type { Asker } from './asker.ts';

/** The part of the host that flows use. */
export type FlowHost = Pick<Host, 'allocate' | 'read' | 'write' | 'close' | 'shutdown' | 'socketError' | 'resetOnClose'>;

/** `fd`: a socket connected or on its way, which is now the caller's; or -errno. `isByName`: what it claims has to be asked for (`claim`). */
export type FlowOpened = (fd: number, isByName: boolean) => void;

export interface Outside {
  /** False: too much is being asked already; nobody will call back. */
  openFlow(protocol: number, address: IpAddress, port: number, asker: Asker, opened: FlowOpened): boolean;
  /** `question`: a DNS message. null: there is no answer. */
  resolve(transport: 'udp' | 'tcp', question: string, asker: Asker, answered: (answer: string | null) => void): boolean;
  claim(address: IpAddress, port: number, name: string, asker: Asker, judged: (isAllowed: boolean) => void): boolean;
  /** Calls back when `fd` is ready for `events` (EPOLL* bits). 0 or -errno. */
  watch(fd: HostFd, events: number, callback: (events: number) => void): number;
  unwatch(fd: HostFd): void;
}

/** What the helper reports unasked: somebody came to a published port. */
export interface Arrivals {
  /** `published`: which. `datagram`: of UDP, that came with the descriptor or (fd -1) after it. The descriptor is the callee's. */
  arrived(published: number, from: IpAddress, port: number, datagram: string, fd: number): void;
}
